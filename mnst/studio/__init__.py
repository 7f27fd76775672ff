"""The crossfader to play with: in a notebook, and as a web page."""
