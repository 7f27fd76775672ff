"""Paints the gallery's large pictures: `python docs/gallery.py --photos FOLDER --paintings FOLDER`.

The photos are of the Kodak Lossless True Color Image Suite, the paintings are in the public domain;
of both only thumbnails are kept here. The pictures are painted into a folder as PNG, unless they
are there, and go from it into docs/images/large as JPEG, with their settings. What they were
painted with, and how long it took, is written into docs/gallery.md.
"""

import argparse
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

import mnst
from mnst.backend import keep_memory
from mnst.images import side_by_side, to_uint8

PAGE = Path(__file__).parent / "gallery.md"
LARGE = PAGE.parent / "images" / "large"
BEGIN, END = "<!-- written by docs/gallery.py -->", "<!-- the end of it -->"
NAMES = {
    "composition_vii": "Kandinsky's *Composition VII*",
    "shipwreck": "Turner's *Shipwreck*",
    "starry_night": "van Gogh's *Starry Night*",
    "starry_night_vivid": "van Gogh's *Starry Night*, in a photograph of stronger colours",
    "wave": "Hokusai's *Great Wave*",
    "woman_with_a_hat": "Matisse's *Woman with a Hat*",
}


class Piece(NamedTuple):
    """A picture of the gallery: its file's name, what it shows, and what it is painted with.

    A crop, (left, top, right, bottom) in pixels, is shown beside it.
    """

    name: str
    shows: str
    photo: str
    styles: tuple[str, ...]
    options: Mapping[str, Any] = MappingProxyType({})
    crop: tuple[int, int, int, int] | None = None

    @property
    def given(self) -> dict[str, Any]:
        """The options of `stylize`, as the page shows them."""
        balanced = {"sigma": "auto"} if len(self.styles) > 1 else {}
        return {"size": 1024, **self.options, **balanced}


PIECES = (
    Piece("lighthouse", "A lighthouse", "kodim21", ("starry_night",), crop=(330, 60, 930, 420)),
    Piece("parrots", "Parrots", "kodim23", ("woman_with_a_hat",)),
    Piece("boats", "Sailing boats", "kodim09", ("wave", "starry_night"), {"gamma": 0.5}),
    Piece("market", "Houses", "kodim08", ("composition_vii", "starry_night"), {"gamma": 0.6}),
    Piece("island", "An island", "kodim16", ("shipwreck", "woman_with_a_hat"), {"gamma": 0.5}),
    Piece("window", "A window", "kodim07", ("woman_with_a_hat",)),
    Piece("fence", "Behind the fence", "kodim19", ("composition_vii", "wave"), {"gamma": 0.5}),
    Piece("house", "A painted house", "kodim24", ("wave",)),
    Piece("beach", "On the beach", "kodim12", ("shipwreck",)),
    Piece("hats", "Hats", "kodim03", ("starry_night_vivid",)),
    Piece("face", "A painted face", "kodim15", ("composition_vii",)),
)


FILM = Piece(
    "crossfade", "A lighthouse", "kodim21", ("composition_vii", "starry_night"), {"size": 512}
)


def without_border(photo: Path, size: int) -> np.ndarray:
    """Returns a photo of the suite without its border, float32 [1, H, W, 3].

    Up to six pixels on each side are grey or black, and would be painted as such. The photo may be
    enlarged, from 756 pixels: what is painted over it has a detail of its own.
    """
    return mnst.load_image(
        mnst.load_image(photo, size=None)[:, 6:-6, 6:-6], size=size, enlarge=True
    )


class Painter:
    """Paints the pieces, from the folders that hold the photos and the paintings."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.photos, self.paintings, self.folder = given.photos, given.paintings, given.folder
        self.common = {"backbone": given.backbone, "progress": False}

    def sources(self, piece: Piece) -> list[Path]:
        """Where its photo and its styles lie."""
        styles = [self.paintings / f"{name}.jpg" for name in piece.styles]
        return [self.photos / f"{piece.photo}.jpg", *styles]

    def paint(self, piece: Piece) -> Path:
        """Returns where a picture lies, which is painted unless it is there."""
        path = self.folder / f"{piece.name}.png"
        if not path.exists():
            source, *styles = self.sources(piece)
            photo = without_border(source, piece.given["size"])
            began = time.perf_counter()
            result = mnst.stylize(photo, styles, **self.common, **piece.given)
            took = time.perf_counter() - began
            mnst.save_image(path, result.image, {**result.settings, "seconds": took})
            print(f"{piece.name}: {took:.0f} s", flush=True)
        return path

    def publish(self, piece: Piece) -> None:
        """Writes a picture and what it was painted from into the documentation."""
        with Image.open(self.paint(piece)) as picture:
            to = LARGE / f"{piece.name}.jpg"
            picture.save(to, quality=82, optimize=True, exif=picture.getexif())
            if piece.crop:
                part = picture.crop(piece.crop)
                part.save(LARGE / f"{piece.name}_crop.jpg", quality=90)
        source, *styles = self.sources(piece)
        pictures = [without_border(source, 512), *(mnst.load_image(path) for path in styles)]
        row = side_by_side([to_uint8(picture) for picture in pictures])
        small = Image.fromarray(row).resize((round(row.shape[1] * 120 / row.shape[0]), 120))
        small.save(LARGE / f"{piece.name}_from.jpg", quality=80)

    def film(self) -> None:
        """The crossfade that README begins with, there and back."""
        source, *styles = self.sources(FILM)
        photo = without_border(source, FILM.given["size"])
        fade = mnst.crossfade(photo, styles, frames=13, **self.common, **FILM.given)
        frames = [Image.fromarray(frame) for frame in [*fade.frames, *fade.frames[-2:0:-1]]]
        to = {"append_images": frames[1:], "duration": 150, "loop": 0, "quality": 70, "method": 6}
        frames[0].save(LARGE.parent / "crossfade.webp", save_all=True, **to)


def told(piece: Piece) -> str:
    """What the page says of a picture."""
    settings = mnst.read_settings(LARGE / f"{piece.name}.jpg")
    height, width = settings["sizes"][-1]
    manner = " and ".join(NAMES[name] for name in piece.styles)
    options = "".join(f", {name}={value!r}" for name, value in piece.given.items())
    took = f"{width} x {height} pixels, {settings['seconds']:.0f} seconds."
    part = f"\n\n![A part of it, pixel by pixel](images/large/{piece.name}_crop.jpg)"
    return f"""### {piece.shows}

![{piece.shows}, painted](images/large/{piece.name}.jpg){part if piece.crop else ""}

![The photo, and what it is painted like](images/large/{piece.name}_from.jpg)

{piece.photo}, and {manner}: `mnst.stylize(photo, styles{options})`.
{took}"""


def write() -> None:
    """Puts what is said of the pictures into the page, between its two marks."""
    before, begin, rest = PAGE.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    there = [piece for piece in PIECES if (LARGE / f"{piece.name}.jpg").exists()]
    text = "\n\n".join(told(piece) for piece in there)
    PAGE.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}")


def main() -> None:
    """Paints what is not there, and writes the page."""
    names = [piece.name for piece in PIECES]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names)}, film")
    parser.add_argument("--photos", type=Path, required=True, help="folder of kodim*.jpg")
    parser.add_argument("--paintings", type=Path, required=True, help="folder of the paintings")
    parser.add_argument("--folder", type=Path, default=Path("build/gallery"), help="for PNG")
    parser.add_argument("--backbone", default="vgg19")
    given = parser.parse_args()
    wanted = given.names or [*names, "film"]
    if unknown := set(wanted) - {*names, "film"}:
        parser.error(f"no picture is called {min(unknown)}: give {', '.join(names)}, or film")
    for folder in (given.folder, LARGE):
        folder.mkdir(parents=True, exist_ok=True)
    keep_memory()
    painter = Painter(given)
    for piece in PIECES:
        if piece.name in wanted:
            painter.publish(piece)
    if "film" in wanted:
        painter.film()
    write()


if __name__ == "__main__":
    main()
