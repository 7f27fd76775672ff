"""The photos of a sweep: from a list, a folder, a pattern or an iterator, read one by one."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mnst import images
from mnst.checks import user_path
from mnst.errors import one_line
from mnst.images.downloading import download
from mnst.painting.digests import digest
from mnst.painting.scene import read_photo

Photos = list[Any] | Iterator[Any]


def photos_of(photo: Any) -> Photos:
    """Returns the photos that were given, none of them read yet.

    Args:
        photo: A picture, as `mnst.load_image` takes it; a list or an iterator of them; a folder; or
            a pattern such as "photos/**/*.jpg". A folder's pictures are those whose names end as
            pictures' do, in the order of their names.

    Raises:
        FileNotFoundError: If a folder or a pattern has no pictures.
    """
    if isinstance(photo, Iterator):
        return photo
    if isinstance(photo, (list, tuple)):
        return [*photo]
    if not _is_path(photo) or images.is_address(os.fspath(photo)):
        return [photo]
    path = str(user_path(photo))
    if os.path.isdir(path):  # noqa: PTH112, Path's raises where no file can have such a name
        found = sorted(each for each in Path(path).iterdir() if images.is_named_as_picture(each))
    elif glob.has_magic(path) and not os.path.lexists(path):
        found = sorted(map(Path, glob.glob(path, recursive=True)))  # noqa: PTH207, of any folder
    else:
        return [photo]
    if not found:
        raise FileNotFoundError(f"{images.named(photo)}: there are no pictures; give another place")
    return found


@dataclass(frozen=True, eq=False)
class Photo:
    """One of the photos: where it comes from, and what is known of it without decoding it.

    Attributes:
        index: Its number, from 0.
        given: What it is read from: a path, the bytes of a file, or a picture.
        name: What errors call it.
        label: What the files of its runs are called by: its file's name, or "photo".
        digest: A hash of its file's bytes; of what is no file, of its pixels.
        error: What it can't be read for, or None.
    """

    index: int
    given: Any
    name: str
    label: str
    digest: str
    error: Exception | None = None

    @classmethod
    def of(cls, index: int, given: Any) -> Photo:
        """Looks a photo over: reads its file, and keeps nothing of it in memory."""
        name, label = images.name_of("photo", given), _label(given)
        try:
            if isinstance(given, str) and images.is_address(given):
                given = download(given)
            return cls(index, given, name, label, _digest(given, name))
        except (OSError, ValueError, TypeError) as error:
            return cls(index, None, name, label, digest("unreadable", name), error)

    def load(self) -> Any:
        """Returns the bytes of its file, or the picture that was given.

        Raises:
            ValueError: If the file has changed, or is gone.
        """
        if not _is_path(self.given):
            return self.given
        try:
            data = _bytes(self.given)
        except OSError as error:
            raise ValueError(one_line(error)) from None
        if hashlib.sha256(data).hexdigest() != self.digest:
            raise ValueError(f"{self.name}: has changed while the sweep went on; sweep again")
        return data

    def reading_error(self, size: int) -> Exception | None:
        """Returns what it can't be read for, after trying; or None."""
        if self.error is not None:
            return self.error
        try:
            read_photo(self.load(), size=size, name=self.name)
        except (OSError, ValueError, TypeError) as error:
            return error
        return None

    def loaded(self) -> Photo:
        """Returns it with its contents, to be sent to where there is no such file."""
        return replace(self, given=self.load())


def looks_like(given: Any) -> tuple[str, Any]:
    """Returns what is the same of photos that are the same, without reading a file."""
    if not _is_path(given):
        return _label(given), _digest(given, "photo")
    with contextlib.suppress(OSError):
        return _label(given), user_path(given).stat().st_size
    return _label(given), None


def _label(given: Any) -> str:
    return re.sub(r"[^\w.-]", "_", Path(given).stem)[:60] if _is_path(given) else "photo"


def _is_path(given: Any) -> bool:
    path = isinstance(given, (str, os.PathLike)) and os.fspath(given)
    return isinstance(path, str) and path != ""


def _bytes(path: Any) -> bytes:
    with images.open_file(path) as file:
        return file.read()


def _digest(given: Any, name: str) -> str:
    if _is_path(given):
        return images.sha256(given)
    if isinstance(given, bytes):
        return hashlib.sha256(given).hexdigest()
    return digest(*images.load_with_alpha(given, size=None, name=name))
