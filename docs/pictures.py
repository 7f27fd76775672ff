"""Draws the pictures of the README and the documentation: `python docs/pictures.py`.

The curves are drawn from the runs of `notebooks/article_figures`, or from new ones.
"""

from pathlib import Path

from matplotlib import cbook
from matplotlib.figure import Figure
from PIL import Image

import mnst
from mnst import figures
from mnst.paintings import glass, swirls

HERE = Path(__file__).parent / "images"
GAP = 8


def crossfade() -> Image.Image:
    """The photo painted from all style 2 to all style 1, with the two styles in the corners."""
    transfer = mnst.StyleTransfer(
        cbook.get_sample_data("grace_hopper.jpg", asfileobj=False), [swirls(), glass()], size=384
    )
    row = [transfer.run(gamma=gamma, sigma="auto").image for gamma in (0, 0.25, 0.5, 0.75, 1)]
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


def curves() -> Figure:
    """Relative improvement over gamma, without sigma and with it."""
    runs = Path(__file__).parent.parent / "notebooks" / "runs" / "hopper"
    return figures.article(folder=runs).curves()


if __name__ == "__main__":
    HERE.mkdir(exist_ok=True)
    crossfade().save(HERE / "crossfade.jpg", quality=90)
    curves().savefig(HERE / "curves.png", dpi=100)
