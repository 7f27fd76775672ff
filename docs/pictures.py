"""Draws the pictures of the README and the documentation: `python docs/pictures.py [NAME ...]`.

Without names it draws them all; `gallery` is all of the gallery's small ones. The curves are drawn
from the runs of `notebooks/article_figures`, or from new ones. The others are painted with
`vgg19-lite` (`--backbone` names another); the picture that keeps a person needs MNST_DEEPLAB, or a
download. The photos come with matplotlib and scikit-image, and are free to use. `docs/gallery.py`
paints the large pictures, and the film, from other photos.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import skimage.data
from matplotlib import cbook
from matplotlib.figure import Figure
from PIL import Image

import mnst
from mnst import figures, paintings
from mnst.paintings import glass, ink, swirls

HERE = Path(__file__).parent / "images"
GAP = 8
GALLERY_SIZE = 256
HOPPER = cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)


def crossed(backbone: str) -> Image.Image:
    """A sweep's sheet: colour over the columns, form over the rows."""
    both = {"colour": [0, 0.5, 1], "form": [0, 0.5, 1]}
    sweep = mnst.sweep(
        skimage.data.chelsea(), [glass(), ink()], gamma=both, sigma="auto", **_small(backbone)
    )
    return sweep.grid(width=240)


def paths(backbone: str) -> Image.Image:
    """Every second frame of three crossfades: from colour to form, a wipe, and three styles."""
    photo = skimage.data.coffee()
    share = np.linspace(0, 1, photo.shape[1])
    turned = [{"colour": 1, "form": 0}, {"colour": 0, "form": 1}]

    def wipe(t: float) -> np.ndarray:
        return np.tile(np.clip((1.25 * t - share) / 0.25, 0, 1), (photo.shape[0], 1))

    ways = (
        ([glass(), ink()], turned),
        ([glass(), ink()], wipe),
        ([swirls(), ink(), glass()], None),
    )
    rows = []
    for styles, path in ways:
        fade = mnst.crossfade(photo, styles, path=path, frames=9, sigma="auto", **_small(backbone))
        rows.append(_row(list(fade.frames[::2])))
    return _stacked(rows)


def live(backbone: str) -> Image.Image:
    """Live: five gammas; below colour and form apart, and three strengths."""
    learnt = mnst.live(skimage.data.coffee(), [swirls(), ink()], sigma="auto", **_small(backbone))
    learnt.wait()
    apart = ({"colour": 1, "form": 0}, {"colour": 0, "form": 1})
    rows = [
        _row([learnt.paint(gamma) for gamma in (0, 0.25, 0.5, 0.75, 1)]),
        _row(
            [
                *(learnt.paint(gamma) for gamma in apart),
                *(learnt.paint(0.5, strength=strength) for strength in (0.2, 0.6, 0.9)),
            ]
        ),
    ]
    return _stacked(rows)


def curves() -> Figure:
    """Relative improvement over gamma, without sigma and with it."""
    runs = Path(__file__).parent.parent / "notebooks" / "runs" / "hopper"
    return figures.article(folder=runs).curves()


def gallery_styles(backbone: str) -> Image.Image:
    """The four paintings of the package, and the cat in each of them."""
    drawn = [getattr(paintings, name)() for name in ("swirls", "glass", "ink", "dots")]
    row = [_painted(skimage.data.chelsea(), [style], backbone).run() for style in drawn]
    height = row[0].image.shape[0]
    small = [np.asarray(Image.fromarray(style).resize((height, height))) for style in drawn]
    styles = _row([_centred(style, row[0].image.shape[1]) for style in small])
    return _stacked([_row([one.image for one in row]), styles])


def gallery_gamma(backbone: str) -> Image.Image:
    """From all ink to all glass in five steps of gamma: above without sigma, below with it."""
    transfer = _painted(skimage.data.astronaut(), [glass(), ink()], backbone)
    gammas = (0, 0.25, 0.5, 0.75, 1)
    rows = [
        _row([transfer.run(gamma=gamma, sigma=sigma).image for gamma in gammas])
        for sigma in (None, "auto")
    ]
    return _stacked(rows)


def gallery_three(backbone: str) -> Image.Image:
    """Three styles: two by two and all three, in equal shares."""
    transfer = _painted(skimage.data.coffee(), [swirls(), ink(), glass()], backbone)
    shares = ([0.5, 0.5, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], None)
    painted = [transfer.run(gamma=gamma, sigma="auto").image for gamma in shares]
    return _stacked([_row(painted[:2]), _row(painted[2:])])


def gallery_recipes(backbone: str) -> Image.Image:
    """One photo and one style with each recipe, as it stands."""
    return Image.fromarray(
        _row(
            [
                _painted(HOPPER, [swirls()], backbone, recipe=recipe).run().image
                for recipe in ("fine", "article", "paper", "tutorial")
            ]
        )
    )


def gallery_people(backbone: str) -> Image.Image:
    """The photo, its mask, the localized transfer, and the paper's way."""
    photo = skimage.data.astronaut()
    mask = mnst.segment(photo).mask("person")
    painted = [
        _painted(photo, [swirls(), glass()], backbone, mask=mask, localize=localize)
        for localize in ("guided", "composite")
    ]
    row = [transfer.run(sigma="auto").image for transfer in painted]
    size = row[0].shape[1::-1]
    shown = [Image.fromarray(photo), Image.fromarray((255 * mask).astype(np.uint8)).convert("RGB")]
    return Image.fromarray(_row([np.asarray(one.resize(size)) for one in shown] + row))


def gallery_places(backbone: str) -> Image.Image:
    """A place for each style: left and right, and the other way round."""
    photo = skimage.data.chelsea()
    left = np.zeros(photo.shape[:2], np.float32)
    left[:, : photo.shape[1] // 2] = 1
    pairs = ([left, 1 - left], [1 - left, left])
    row = [
        _painted(photo, [swirls(), ink()], backbone, style_masks=masks).run().image
        for masks in pairs
    ]
    return Image.fromarray(_row(row))


def _small(backbone: str) -> dict:
    return {"size": GALLERY_SIZE, "backbone": backbone}


def _painted(photo: object, styles: list, backbone: str, **options: object) -> mnst.StyleTransfer:
    return mnst.StyleTransfer(photo, styles, **_small(backbone), **options)


def _row(pictures: list) -> np.ndarray:
    gap = np.full((pictures[0].shape[0], GAP, 3), 255, np.uint8)
    parts = [part for picture in pictures for part in (picture, gap)]
    return np.concatenate(parts[:-1], axis=1)


def _stacked(rows: list) -> Image.Image:
    gap = np.full((GAP, rows[0].shape[1], 3), 255, np.uint8)
    parts = [part for row in rows for part in (row, gap)]
    return Image.fromarray(np.concatenate(parts[:-1]))


def _centred(picture: np.ndarray, width: int) -> np.ndarray:
    left = (width - picture.shape[1]) // 2
    return np.pad(
        picture,
        ((0, 0), (left, width - left - picture.shape[1]), (0, 0)),
        constant_values=255,
    )


GALLERY: dict[str, Callable[[str], Image.Image]] = {
    name: drawn for name, drawn in list(globals().items()) if name.startswith("gallery_")
}


# Those that a backbone paints, by their files' names.
PAINTED = {**GALLERY, "crossed": crossed, "paths": paths, "live": live}


def main() -> None:
    """Draws what was asked for."""
    names = ["curves", *PAINTED]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names)}, gallery")
    parser.add_argument("--backbone", default="vgg19-lite", help="of all but the curves")
    options = parser.parse_args()
    wanted = options.names or names
    if "gallery" in wanted:
        wanted = [name for name in wanted if name != "gallery"] + list(GALLERY)
    if unknown := set(wanted) - set(names):
        parser.error(f"no picture is called {min(unknown)}: give {', '.join(names)}, or gallery")
    HERE.mkdir(exist_ok=True)
    for name in dict.fromkeys(wanted):
        if name == "curves":
            curves().savefig(HERE / "curves.png", dpi=100)
        else:
            PAINTED[name](options.backbone).save(HERE / f"{name}.jpg", quality=85)
        print(name, flush=True)


if __name__ == "__main__":
    main()
