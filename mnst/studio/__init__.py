"""The studio: where a photo is painted by hand, in a notebook, on a page, or on the web."""
