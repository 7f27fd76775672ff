"""A small network that learns one photo and its styles, and then paints them in milliseconds."""
