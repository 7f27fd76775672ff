"""Copies of pictures, as a page shows them or has them saved."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from mnst import images
from mnst.masks.pixels import resize_mask
from mnst.studio.pictures import STAGE, THUMBNAIL, Picture
from mnst.studio.store import Entry, Store

TYPES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".mp4": "video/mp4",
}
"""What browsers call the files that come out, by their endings."""

_LARGEST = 8192  # pixels of a side of what a page is shown
_TINT = (255, 140, 0, 140)  # of people, as they are shown: RGB and how opaque


def passing(image: np.ndarray, *, rough: bool) -> bytes:
    """Returns a picture of now, uint8 [H, W, 3 or 4], as a JPEG file."""
    laid = images.on_white(image[..., :3], image[..., 3]) if image.shape[2] == 4 else image
    encoded = io.BytesIO()
    Image.fromarray(laid).save(encoded, "JPEG", quality=82 if rough else 92)
    return encoded.getvalue()


def kept(store: Store, entry: Entry, size: str) -> tuple[str, bytes]:
    """Returns the type and the bytes of a copy of a painting or a film.

    Args:
        store: Where it is.
        entry: Which one.
        size: "full", as it fills a page; or else small, of a film one of its pictures.
    """
    film = entry.kind == "film"
    if film and size == "full":
        return TYPES[entry.suffix], store.file(entry).read_bytes()
    side = min(_LARGEST, max(entry.height, entry.width)) if size == "full" else THUMBNAIL
    source = store.still(entry) if film else store.file(entry)
    pixels, alpha = images.load_with_alpha(source, size=side)
    shown = images.with_alpha(images.to_uint8(pixels), alpha)
    return "image/webp", images.encode(shown, "WEBP")


def as_kind(file: Path, suffix: str) -> bytes:
    """Returns a painting as another kind of file, with its settings."""
    pixels, alpha = images.load_with_alpha(file, size=None)
    picture = images.with_alpha(images.to_uint8(pixels), alpha)
    return images.encode_with_settings(picture, images.FORMATS[suffix], images.read_settings(file))


def tinted(mask: np.ndarray, photo: Picture) -> bytes:
    """Returns a mask, float32 [H, W], as a PNG file to be laid over the photo."""
    scale = min(1.0, STAGE / max(photo.height, photo.width))
    small = resize_mask(mask, round(photo.height * scale), round(photo.width * scale))
    tint = np.empty((*small.shape, 4), np.uint8)
    tint[...] = _TINT
    tint[..., 3] = np.rint(_TINT[3] * small)
    return images.encode(tint, "PNG")
