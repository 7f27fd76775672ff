"""What the studio keeps on this machine: finished paintings, their pictures, and the table."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import math
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mnst import images
from mnst.checks import check_folder
from mnst.studio.pictures import Picture

_UNUSED = 24 * 3600  # seconds, after which a picture that no painting has is let go


_TIMES = (2, 4)  # as large as it was, a painting can be painted again


@dataclass(frozen=True)
class Entry:
    """A finished painting, or a film, as the history has it.

    Attributes:
        id: What tells it from all others; also its file's name.
        kind: "painting" or "film".
        suffix: Of its file: ".png", or a film's.
        name: What to call it.
        text: How it was made, in words.
        made: When, as ISO 8601 has it.
        seconds: How long it took.
        height: In pixels.
        width: In pixels.
        photo: The key of its photo.
        styles: The keys of its styles, in their order.
        wish: Where the controls stood; see `Wish.as_dict`.
        complete: False for one that was stopped.
        quality: The name of its quality.
        size: The longest side that was asked for, in pixels.
        most: The photo's longer side, in pixels; 0, if it isn't known.
    """

    id: str
    kind: str
    suffix: str
    name: str
    text: str
    made: str
    seconds: float
    height: int
    width: int
    photo: str
    styles: tuple[str, ...]
    wish: dict[str, Any]
    complete: bool = True
    quality: str = "fine"
    size: int = 0
    most: int = 0

    def larger(self, most: float) -> dict[int, int]:
        """Returns the longer sides of what it can be painted again as, by how many times as large.

        A photo is not enlarged, so the last of them may be as large as the photo, and no larger.

        Args:
            most: Pixels that a longer side may have.
        """
        side, most = max(self.height, self.width), min(most, self.most or math.inf)
        sizes: dict[int, int] = {}
        for times in _TIMES:
            size = int(min(times * side, most))
            if size > max(side, *sizes.values(), 0):
                sizes[times] = size
        return sizes

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Entry:
        """Returns the entry that `dataclasses.asdict` gave.

        Raises:
            ValueError: If it can't be one.
        """
        try:
            entry = cls(**{**values, "styles": tuple(values["styles"])})
        except (TypeError, KeyError) as error:
            raise ValueError(f"no entry of the studio's ({error})") from None
        text = (entry.id, entry.kind, entry.suffix, entry.name, entry.text, entry.made)
        whole = (entry.height, entry.width, entry.size, entry.most)
        if not all(isinstance(each, str) for each in (*text, entry.photo, *entry.styles)):
            raise ValueError("no entry of the studio's")
        if not all(isinstance(each, int) for each in whole) or not isinstance(entry.wish, dict):
            raise ValueError("no entry of the studio's")
        return entry


def new_id() -> str:
    """Returns what a new painting is called: the time, so that they are in order."""
    return datetime.datetime.now().strftime("%Y%m%d-%H%M%S-%f")


def default_folder() -> Path:
    """Returns where the studio keeps things: MNST_STUDIO, or where programs keep their data."""
    named = os.environ.get("MNST_STUDIO")
    if named:
        return check_folder("MNST_STUDIO", named)
    try:
        import platformdirs
    except ImportError:
        raise ImportError(
            "the studio needs platformdirs: pip install 'mnst[app]', or set MNST_STUDIO to a folder"
        ) from None
    return Path(platformdirs.user_data_dir("mnst", appauthor=False)) / "studio"


class Store:
    """A folder with everything that is to be there tomorrow.

    Every file is written whole or not at all. Several studios may share it, such as a page and a
    notebook; each sees what the others have painted when it looks anew.

    Args:
        folder: Where; it is made when there is something to keep.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = check_folder("folder", folder)
        self._paintings = self.folder / "paintings"
        self._pictures = self.folder / "pictures"
        self._removed = self.folder / "removed"

    # Paintings

    def entries(self) -> list[Entry]:
        """Returns all of the history, the newest first. What is damaged is left out."""
        found = (self._entry(path) for path in self._paintings.glob("*.json"))
        there = (entry for entry in found if entry is not None and self.file(entry).is_file())
        return sorted(there, key=lambda entry: entry.id, reverse=True)

    def _entry(self, path: Path) -> Entry | None:
        with contextlib.suppress(OSError, ValueError):
            entry = Entry.from_dict(json.loads(path.read_text()))
            if entry.id == path.stem and re.fullmatch(r"\.[a-z0-9]{1,5}", entry.suffix):
                return entry
        return None

    def file(self, entry: Entry) -> Path:
        """Returns where a painting is."""
        return self._paintings / f"{entry.id}{entry.suffix}"

    def still(self, entry: Entry) -> Path:
        """Returns where a picture of a film is."""
        return self._paintings / f"{entry.id}.still.png"

    def keep(
        self,
        entry: Entry,
        data: bytes,
        pictures: Sequence[Picture],
        still: np.ndarray | None = None,
    ) -> None:
        """Keeps a painting, with the photo and the styles that it was made of.

        Args:
            entry: What the history says of it.
            data: Its file's bytes.
            pictures: What it was made of.
            still: Of a film, one of its pictures, uint8 [H, W, 3].
        """
        for picture in pictures:
            self.keep_picture(picture)
        self._paintings.mkdir(parents=True, exist_ok=True)
        if still is not None:
            images.save_image(self.still(entry), still)
        images.write_atomically(self.file(entry), data)
        self._write(self._paintings / f"{entry.id}.json", dataclasses.asdict(entry))

    def remove(self, entries: Sequence[Entry]) -> None:
        """Takes paintings away; `restore` brings back those that were taken away last."""
        shutil.rmtree(self._removed, ignore_errors=True)
        self._removed.mkdir(parents=True, exist_ok=True)
        for entry in entries:
            _move(self._of(entry, self._paintings), self._removed)

    def restore(self) -> None:
        """Brings back what was taken away last, if it is still there."""
        if self._removed.is_dir():
            _move(sorted(self._removed.iterdir()), self._paintings)

    def _of(self, entry: Entry, folder: Path) -> list[Path]:
        names = self.file(entry).name, f"{entry.id}.json", self.still(entry).name
        return [folder / name for name in names]

    # Pictures

    def keep_picture(self, picture: Picture) -> None:
        """Keeps a photo or a style, once."""
        self._pictures.mkdir(parents=True, exist_ok=True)
        place = self._pictures / picture.key
        if place.is_file():
            place.touch()
        else:
            images.write_atomically(place, picture.data)
        known = {name: getattr(picture, name) for name in ("name", "height", "width", "credit")}
        self._write(place.with_suffix(".json"), known)

    def picture(self, key: Any) -> Picture | None:
        """Returns a photo or a style that was kept; None, if it is gone or damaged."""
        if not isinstance(key, str) or not re.fullmatch("[0-9a-f]{64}", key):
            return None
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            place = self._pictures / key
            known = json.loads(place.with_suffix(".json").read_text())
            sides = int(known["height"]), int(known["width"])
            found = Picture(place.read_bytes(), str(known["name"]), *sides, str(known["credit"]))
            if found.key == key:
                return found
        return None

    # The table

    def leave(self, table: Mapping[str, Any], pictures: Sequence[Picture]) -> None:
        """Keeps what lies on the table, for the next time."""
        for picture in pictures:
            self.keep_picture(picture)
        self._write(self.folder / "left.json", table)

    def left(self) -> dict[str, Any]:
        """Returns what was left on the table; nothing, if nothing was, or it is damaged."""
        with contextlib.suppress(OSError, ValueError):
            found = json.loads((self.folder / "left.json").read_text())
            if isinstance(found, dict):
                return found
        return {}

    def tidy(self) -> None:
        """Lets go of pictures that nothing has used for a day, and of what was taken away."""
        shutil.rmtree(self._removed, ignore_errors=True)
        left = self.left()
        used = {left.get("photo"), *_texts(left.get("styles"))}
        for entry in self.entries():
            used |= {entry.photo, *entry.styles}
        for place in self._files(self._pictures):
            with contextlib.suppress(OSError):  # another studio may have been faster
                if place.stem not in used and time.time() - place.stat().st_mtime > _UNUSED:
                    place.unlink()

    def _files(self, folder: Path) -> Iterator[Path]:
        yield from folder.iterdir() if folder.is_dir() else ()

    def _write(self, place: Path, values: Mapping[str, Any]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        images.write_atomically(place, json.dumps(values, indent=1).encode())


def _texts(values: Any) -> list[str]:
    return [each for each in values if isinstance(each, str)] if isinstance(values, list) else []


def _move(files: Sequence[Path], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        with contextlib.suppress(FileNotFoundError):  # another studio has taken it away
            file.replace(folder / file.name)
