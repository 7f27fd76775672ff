"""Draws the pictures of the README and the documentation: `python docs/pictures.py`."""

from pathlib import Path

import numpy as np
from matplotlib import cbook
from PIL import Image

import mnst
from mnst.paintings import glass, swirls

HERE = Path(__file__).parent / "images"
GAP = 8


def crossfade() -> Image.Image:
    """The photo painted from all style 2 to all style 1, with the two styles in the corners."""
    transfer = mnst.StyleTransfer(
        cbook.get_sample_data("grace_hopper.jpg", asfileobj=False), [swirls(), glass()], size=384
    )
    # Equal relative improvement at gamma = 0.5 asks for this ratio of the two; see the design page.
    first, second = transfer.start_losses
    sigma = (1, float(np.sqrt(first / second)))
    row = [transfer.run(gamma=gamma, sigma=sigma).image for gamma in (0, 0.25, 0.5, 0.75, 1)]
    height, width = row[0].shape[:2]
    sheet = Image.new("RGB", (5 * width + 4 * GAP, height), "white")
    for place, image in enumerate(row):
        sheet.paste(Image.fromarray(image), (place * (width + GAP), 0))
    small = height // 3
    for style, corner in ((glass(), 0), (swirls(), sheet.width - small - 2 * GAP)):
        framed = Image.new("RGB", (small + 2 * GAP, small + 2 * GAP), "white")
        framed.paste(Image.fromarray(style).resize((small, small)), (GAP, GAP))
        sheet.paste(framed, (corner, height - small - 2 * GAP))
    return sheet


if __name__ == "__main__":
    HERE.mkdir(exist_ok=True)
    crossfade().save(HERE / "crossfade.jpg", quality=90)
