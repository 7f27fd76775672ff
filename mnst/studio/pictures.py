"""The pictures on the table: photos and styles as they were given, and what a gallery offers."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
import re
import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np

from mnst import images
from mnst.checks import user_path
from mnst.paintings import dots, glass, ink, swirls

THUMBNAIL = 240
"""The long side of a small copy, in pixels."""

STAGE = 1280
"""The long side of a copy that fills a page."""

_LONGEST_NAME = 60
_DRAWN = 768  # the side of a painting that the package draws
_MOST_OF_A_FOLDER = 60  # pictures that a gallery shows of a folder


@dataclass(frozen=True)
class Picture:
    """A photo or a style, as the file that it was given as: it is read anew for every size.

    Attributes:
        data: The file's bytes.
        name: What to call it.
        height: In pixels.
        width: In pixels.
        credit: Whose it is, if that is known.
    """

    data: bytes
    name: str
    height: int
    width: int
    credit: str = ""

    @classmethod
    def of(
        cls, source: Any, name: str | None = None, credit: str = "", *, argument: str | None = None
    ) -> Picture:
        """Takes a picture.

        Args:
            source: Anything that `mnst.load_image` takes.
            name: What to call it; a path's last part, if not given.
            credit: Whose it is.
            argument: What errors call it; the same, if not given.

        Raises:
            ValueError: If it is no picture.
            TypeError: If it is of another kind.
            OSError: If it can't be read or downloaded.
        """
        called = name if argument is None else images.name_of(argument, source)
        if called is None:
            called = images.describe(source)
        data = _file_of(source, called)
        height, width = images.load_image(data, size=None, name=called).shape[1:3]
        if name is None:
            name = _last_part(source)
        return cls(data, name_from(name), height, width, credit)

    @functools.cached_property
    def key(self) -> str:
        """What tells it from all others: the SHA-256 of its file, in hex."""
        return hashlib.sha256(self.data).hexdigest()

    def copy(self, size: int) -> bytes:
        """Returns it as a WebP file whose long side is at most so many pixels."""
        return _copy(self, size)


@functools.lru_cache(maxsize=64)
def _copy(picture: Picture, size: int) -> bytes:
    pixels = images.load_image(picture.data, size=size, name=picture.name)
    return images.encode(images.to_uint8(pixels), "WEBP")


def _file_of(source: Any, name: str) -> bytes:
    """Returns a picture as a file's bytes: its own, or those of a PNG."""
    if isinstance(source, bytes):
        return source
    if isinstance(source, (str, os.PathLike)):
        if not os.fspath(source):
            raise FileNotFoundError(f"{name}: is no path; give one")
        return images.file_bytes(source)
    pixels, alpha = images.load_with_alpha(source, size=None, name=name)
    return images.encode(images.with_alpha(images.to_uint8(pixels), alpha), "PNG")


def _last_part(source: Any) -> str:
    if isinstance(source, (str, os.PathLike)):
        return re.split(r"[/\\]", os.fspath(source).split("?")[0])[-1]
    return "picture"


def name_from(file: str) -> str:
    """Returns what to call a picture, given its file's name.

    Example:
        >>> from mnst.studio.pictures import name_from
        >>> name_from("starry_night.jpg"), name_from("  "), name_from("%C3%A9t%C3%A9.webp")
        ('starry night', 'picture', 'été')
    """
    stem = re.sub(r"\.[A-Za-z0-9]{1,5}$", "", unquote(file))
    printable = "".join(c if c.isprintable() else " " for c in stem.replace("_", " "))
    words = " ".join(printable.split())
    return words[:_LONGEST_NAME].strip() or "picture"


@dataclass(frozen=True)
class Exhibit:
    """A picture that is on offer, and not read before somebody wants it.

    Attributes:
        key: What a page calls it.
        name: What people call it.
        credit: Whose it is.
        source: Anything that `Picture.of` takes, or a function that draws it in a size.
    """

    key: str
    name: str
    credit: str
    source: Any

    @property
    def far(self) -> bool:
        """Whether it has to be downloaded first."""
        return isinstance(self.source, str) and images.is_address(self.source)

    def picture(self) -> Picture:
        """Reads, draws or downloads it, once; for what it raises see `Picture.of`."""
        with _LOCKS[self.key]:
            return _exhibited(self)

    def thumbnail(self) -> bytes:
        """Returns a small copy as a WebP file; to draw one small is sooner done."""
        if not callable(self.source):
            return self.picture().copy(THUMBNAIL)
        with _LOCKS[self.key]:
            return _drawn_small(self)


# Who comes while another draws or downloads it waits for that.
_LOCKS: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)


@functools.lru_cache(maxsize=32)
def _exhibited(exhibit: Exhibit) -> Picture:
    source = exhibit.source
    return Picture.of(
        source(size=_DRAWN) if callable(source) else source, exhibit.name, exhibit.credit
    )


@functools.lru_cache(maxsize=32)
def _drawn_small(exhibit: Exhibit) -> bytes:
    return images.encode(exhibit.source(size=THUMBNAIL), "WEBP")


def _drawn(painting: Callable[..., np.ndarray]) -> Exhibit:
    name = painting.__name__
    return Exhibit(name, name.capitalize(), "drawn by mnst", painting)


SWIRLS, GLASS, DOTS, INK = map(_drawn, (swirls, glass, dots, ink))

_COMMONS = "https://commons.wikimedia.org/wiki/Special:FilePath/{}?width=1280"
_PUBLIC_DOMAIN = (
    (
        "The Starry Night",
        "Vincent van Gogh, 1889, public domain",
        "Van_Gogh_-_Starry_Night_-_Google_Art_Project.jpg",
    ),
    (
        "The Great Wave",
        "Katsushika Hokusai, about 1831, public domain",
        "Tsunami_by_hokusai_19th_century.jpg",
    ),
    (
        "Composition VII",
        "Wassily Kandinsky, 1913, public domain",
        "Vassily_Kandinsky,_1913_-_Composition_7.jpg",
    ),
    (
        "Impression, Sunrise",
        "Claude Monet, 1872, public domain",
        "Claude_Monet,_Impression,_soleil_levant.jpg",
    ),
    (
        "The Scream",
        "Edvard Munch, 1893, public domain",
        "Edvard_Munch,_1893,_The_Scream,_oil,_tempera_and_pastel_on_cardboard,_91_x_73_cm,"
        "_National_Gallery_of_Norway.jpg",
    ),
)


def gallery() -> list[Exhibit]:
    """Returns the styles that are on offer: drawn ones, those of a folder, and famous ones.

    The folder is the one that the variable MNST_GALLERY names, if it does. The famous ones are
    downloaded from Wikimedia Commons when they are asked for.
    """
    far = [
        Exhibit(f"commons-{k}", name, credit, _COMMONS.format(file))
        for k, (name, credit, file) in enumerate(_PUBLIC_DOMAIN)
    ]
    return [SWIRLS, GLASS, INK, DOTS, *_in_folder(), *far]


def _in_folder() -> list[Exhibit]:
    folder = os.environ.get("MNST_GALLERY")
    if not folder or not user_path(folder).is_dir():
        return []
    files = (file for file in user_path(folder).iterdir() if file.suffix.lower() in images.FORMATS)
    return [
        Exhibit(f"folder-{k}", name_from(file.name), "from your folder", file)
        for k, file in enumerate(sorted(files)[:_MOST_OF_A_FOLDER])
    ]


def samples() -> list[Exhibit]:
    """Returns the photos that are on offer: those that libraries beside the package bring."""
    from matplotlib import cbook

    hopper = cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
    photos = [Exhibit("hopper", "Grace Hopper", "U.S. Navy, public domain", Path(str(hopper)))]
    skimage = importlib.util.find_spec("skimage")
    if skimage is not None and skimage.origin is not None:
        data = Path(skimage.origin).with_name("data")
        photos += [
            Exhibit(key, name, credit, data / file)
            for key, name, credit, file in (
                ("coffee", "A cup of coffee", "Rachel Michetti, CC0", "coffee.png"),
                ("chelsea", "Chelsea the cat", "Stéfan van der Walt, CC0", "chelsea.png"),
                ("astronaut", "Eileen Collins", "NASA, public domain", "astronaut.png"),
            )
            if (data / file).is_file()
        ]
    return photos
