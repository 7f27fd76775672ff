"""Four style images drawn by code, so that the demo ships no third-party picture.

All are laid out in unit coordinates (x right, y down, 0 to 1), so the size changes the resolution
and never the picture, and the seed fixes the picture.
"""

from mnst.paintings._dots import dots
from mnst.paintings._glass import glass
from mnst.paintings._ink import ink
from mnst.paintings._swirls import swirls

__all__ = ["dots", "glass", "ink", "swirls"]
