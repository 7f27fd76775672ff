"""Pictures out: files in one of four formats, which carry the settings they were made with."""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image

from mnst import __version__
from mnst.images.files import check_place, named, write_atomically
from mnst.images.reading import damage_named, describe, long_side, opened, resize_image, to_uint8
from mnst.images.transparency import on_white

FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
"""File name endings that can be written."""

_LONGEST = {"JPEG": 65500, "WEBP": 16383, "GIF": 65535}  # pixels that a side can have

_QUALITY: dict[str, dict[str, Any]] = {
    "PNG": {"optimize": True},
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"quality": 95},
    "TIFF": {"compression": "tiff_adobe_deflate"},
}

# Exif's UserComment holds the settings in all four formats alike. The caption, ImageDescription,
# would be simpler, but viewers show it to people.
_COMMENT_PREFIX = b"ASCII\0\0\0"


def save_image(
    path: str | os.PathLike[str], image: np.ndarray, settings: Mapping[str, Any] | None = None
) -> None:
    """Writes a picture as PNG, JPEG, WebP or TIFF, whole or not at all.

    A crash or a full disk leaves the file that was there before, or none.

    Args:
        path: Where to; its ending says the format.
        image: uint8 [H, W, 3], RGB; or [H, W, 4], with alpha, which a JPEG has laid on white.
        settings: What `read_settings` shall give back: anything that JSON can hold.

    Raises:
        ValueError: If the ending is not that of a format above, the format can't hold the picture
            or its settings, or the picture has another shape.
        TypeError: If the picture is no array of uint8, or JSON can't hold the settings.
        OSError: If the file can't be written, or something else than a regular file is there.

    Example:
        >>> import mnst, numpy as np
        >>> mnst.save_image("grey.png", np.full((8, 8, 3), 128, "uint8"), {"gamma": [1.0]})
        >>> mnst.read_settings("grey.png")
        {'gamma': [1.0]}
    """
    check_output(path)
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        raise TypeError(f"image is {describe(image)}: give a NumPy array of uint8, [H, W, 3]")
    if image.ndim != 3 or image.shape[2] not in (3, 4) or 0 in image.shape:
        raise ValueError(f"image has shape {image.shape}: give [H, W, 3], or [H, W, 4] with alpha")
    kind = FORMATS[Path(path).suffix.lower()]
    try:
        data = encode_with_settings(image, kind, settings)
    except (OSError, ValueError) as error:
        raise ValueError(f"{named(path)}: can't be written as {kind} ({error})") from None
    write_atomically(path, data)


def encode_with_settings(
    image: np.ndarray, kind: str, settings: Mapping[str, Any] | None = None
) -> bytes:
    """Returns what `save_image` writes: a picture, uint8 [H, W, C], that carries its settings."""
    exif = Image.Exif()
    exif[ExifTags.Base.Software] = f"mnst {__version__}"
    if settings is not None:
        text = json.dumps({"mnst": dict(settings)}, ensure_ascii=True)
        # In the main directory: libtiff can't write Exif's own, nor can Pillow before 11.
        exif[ExifTags.Base.UserComment] = _COMMENT_PREFIX + text.encode("ascii")
    return encode(image, kind, exif=exif)


def encode(image: np.ndarray, kind: str, **options: Any) -> bytes:
    """Returns a picture, uint8 [H, W, 3 or 4], as the bytes of a file of one of the `FORMATS`."""
    if kind == "JPEG" and image.shape[2] == 4:
        image = on_white(image[..., :3], image[..., 3])
    encoded = io.BytesIO()
    Image.fromarray(image).save(encoded, format=kind, **_QUALITY[kind], **options)
    return encoded.getvalue()


def side_by_side(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Puts pictures, uint8 [H, W, 3] each, next to each other, as high as the first one."""
    height, gap = pictures[0].shape[0], 8
    row = []
    for picture in pictures:
        width = round(picture.shape[1] * height / picture.shape[0])
        scaled = resize_image(picture[np.newaxis].astype(np.float32), height, width)
        row += [to_uint8(scaled), np.full((height, gap, 3), 255, np.uint8)]
    return np.concatenate(row[:-1], axis=1)


def check_output(path: str | os.PathLike[str]) -> Path:
    """Returns where a picture would be written, or raises what stands against it.

    Called before a run, so that nobody waits for a picture that can't be kept.

    Raises:
        ValueError: If the ending is not that of a format in `FORMATS`.
        OSError: As `check_place`.
    """
    if Path(path).suffix.lower() not in FORMATS:
        raise ValueError(f"{named(path)}: the name must end in one of {', '.join(FORMATS)}")
    return check_place(path)


def check_fits(path: str | os.PathLike[str], photo: Any, size: int | None) -> None:
    """Checks that a file of a name's kind can hold a photo, painted in a size.

    The photo is opened only where the size alone leaves it open, and its pixels are not read.

    Args:
        path: Where the picture will be written.
        photo: Anything that `load_image` takes.
        size: The longest its long side may be painted.

    Raises:
        ValueError: If it would have too many pixels.
    """
    kind = FORMATS.get(Path(path).suffix.lower(), Path(path).suffix[1:].upper())
    most = _LONGEST.get(kind)
    if most is None or (size is not None and size <= most):
        return
    long = min(long_side(photo), size or most + 1)
    if long > most:
        raise ValueError(
            f"{named(path)}: {kind} holds at most {most} pixels a side, and the picture would have "
            f"{long}; give a size of {most} or less, or a name that ends in .png"
        )


def read_settings(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Returns the settings that a picture was made with, from its file's metadata.

    Args:
        path: A picture that `Result.save` or `save_image` wrote.

    Raises:
        FileNotFoundError: If there is no such file.
        OSError: If it can't be opened, or is no regular file.
        ValueError: If it isn't a picture, or carries no settings.

    Example:
        >>> import mnst
        >>> mnst.read_settings("out.png")["gamma"]  # doctest: +SKIP
        [0.4, 0.6]
    """
    name = describe(path)
    with opened(path, name) as (image, _), damage_named(name):
        comment = image.getexif().get(ExifTags.Base.UserComment)
    if isinstance(comment, bytes) and comment.startswith(_COMMENT_PREFIX):
        with contextlib.suppress(ValueError, KeyError, TypeError):
            return dict(json.loads(comment[len(_COMMENT_PREFIX) :])["mnst"])
    raise ValueError(f"{name}: carries no settings; it was not saved by mnst, or was edited since")
