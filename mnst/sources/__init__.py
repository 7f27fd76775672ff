"""Where models come from: what is published under which addresses, and how it is fetched."""
