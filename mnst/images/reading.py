"""Pictures in: whatever people have becomes float32 [1, H, W, 3], RGB, 0..255.

Paths, addresses, PIL images, arrays, tensors, in any mode that Pillow knows; where it can't be
read, one line says what is wrong.
"""

from __future__ import annotations

import contextlib
import io
import numbers
import os
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import PIL
from PIL import Image, ImageCms, ImageOps

from mnst.images.downloading import download, is_address


def load_image(
    source: Any, *, size: int | None = 512, enlarge: bool = False, name: str | None = None
) -> np.ndarray:
    """Reads a picture as float32 [1, H, W, 3], RGB, 0..255.

    Args:
        source: One of

            - a path, or an http(s) address;
            - bytes, a picture file's contents;
            - a PIL image;
            - a NumPy array or a tensor, [H, W], [H, W, 1], [H, W, 3] or [H, W, 4], optionally
              with a leading 1. Integers are 0..255; uint16 is 0..65535. Floats that all lie in
              0..1 are taken as 0..1, otherwise as 0..255.

            EXIF orientation is applied and an embedded colour profile converted to sRGB. Alpha is
            composited on white. Of an animation the first frame is taken, with a warning.
        size: The longest the long side may be, in pixels. Larger pictures are reduced with
            Lanczos; None leaves them as they are.
        enlarge: Bring the long side to `size` even where the picture is smaller.
        name: What to call the picture in errors; its path or kind, if not given.

    Returns:
        The picture.

    Raises:
        FileNotFoundError: If there is no such file.
        OSError: If an address can't be reached, or a file can't be opened.
        ValueError: If it isn't a whole picture, or `size` or the pixel values are out of range.
        TypeError: If it is something else than the kinds above.

    Example:
        >>> import mnst, numpy as np
        >>> mnst.load_image(np.zeros((300, 1024, 3), "uint8"), size=512).shape
        (1, 150, 512, 3)
    """
    if size is not None and not _is_whole(size):
        raise ValueError(f"size is {size!r}: give a whole number of pixels, 1 or more")
    name = name or describe(source)
    if isinstance(source, (str, os.PathLike, bytes, Image.Image)):
        pixels = _read(source, name)
    elif hasattr(source, "__array__"):
        pixels = _from_array(np.asarray(source), name)
    else:
        raise TypeError(
            f"{name}: a picture is a path, an http(s) address, a file's bytes, a PIL image, an "
            f"array or a tensor"
        )
    height, width = pixels.shape[:2]
    scale = 1.0 if size is None else size / max(height, width)
    if scale < 1 or enlarge:
        pixels = _resized(pixels, max(1, round(height * scale)), max(1, round(width * scale)))
    return np.expand_dims(pixels, 0)


def _is_whole(size: Any) -> bool:
    """True for whole numbers from 1 on; NaN and infinity have no remainder that equals 0."""
    number = isinstance(size, numbers.Real) and not isinstance(size, bool)
    return number and size >= 1 and size % 1 == 0


def resize_image(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resamples a picture, [1, H, W, 3] float32, to [1, height, width, 3] with Lanczos."""
    if image.shape[1:3] == (height, width):
        return image
    return _resized(image[0], height, width)[np.newaxis]


def to_uint8(image: Any) -> np.ndarray:
    """Returns a picture, [1, H, W, 3] float in 0..255, as uint8 [H, W, 3], rounded."""
    pixels: np.ndarray = np.rint(np.clip(np.asarray(image)[0], 0, 255))
    return pixels.astype(np.uint8)


def describe(source: Any) -> str:
    """Returns what to call a picture in a message: its path, or its kind and shape."""
    if isinstance(source, (str, os.PathLike)):
        return os.fspath(source)
    if isinstance(source, bytes):
        return f"{len(source)} bytes"
    kind = type(source).__name__
    shape = getattr(source, "shape", None)
    return f"{kind} of shape {tuple(shape)}" if shape is not None else kind


def _read(source: str | os.PathLike[str] | bytes | Image.Image, name: str) -> np.ndarray:
    with opened(source, name) as image:
        with damage_named(name):
            frames = getattr(image, "n_frames", 1)
            image.load()
            upright = ImageOps.exif_transpose(image)
        # Phones put previews and gain maps behind a JPEG, which Pillow then calls MPO.
        if frames > 1 and image.format != "MPO":
            warnings.warn(f"{name}: has {frames} frames, the first is taken", stacklevel=3)
        return _to_rgb(upright, name)


@contextlib.contextmanager
def damage_named(name: str) -> Iterator[None]:
    """Names the picture in what Pillow's readers raise on a damaged one, which is anything."""
    try:
        yield
    except Exception as error:
        known = (PIL.UnidentifiedImageError, Image.DecompressionBombError, MemoryError, Warning)
        if isinstance(error, known) or getattr(error, "errno", None):
            raise
        reason = " ".join(str(error).split())
        raise ValueError(f"{name}: damaged or broken off ({reason}); get a whole copy") from None


@contextlib.contextmanager
def opened(
    source: str | os.PathLike[str] | bytes | Image.Image, name: str
) -> Iterator[Image.Image]:
    """Opens a picture, and closes it unless it is the caller's own."""
    if isinstance(source, Image.Image):
        yield source
        return
    file: Any = io.BytesIO(source) if isinstance(source, bytes) else os.fspath(source)
    if isinstance(file, str) and is_address(file):
        file = io.BytesIO(download(file))
    with warnings.catch_warnings():
        # Between one and two times its limit Pillow only warns, and large photos are no bombs.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            with damage_named(name):
                image = Image.open(file)
        except FileNotFoundError:
            raise FileNotFoundError(f"{name}: there is no such file") from None
        except IsADirectoryError:
            raise IsADirectoryError(f"{name}: is a folder; give a picture") from None
        except PIL.UnidentifiedImageError:
            raise ValueError(
                f"{name}: not a picture that Pillow can read; give a PNG, JPEG, WebP or TIFF"
            ) from None
        except Image.DecompressionBombError:
            raise ValueError(
                f"{name}: claims more than {2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels, which "
                f"looks like an attack; if you trust it, raise PIL.Image.MAX_IMAGE_PIXELS"
            ) from None
    with image:
        yield image


def _to_rgb(image: Image.Image, name: str) -> np.ndarray:
    """Brings any of Pillow's modes to float32 [H, W, 3], 0..255."""
    if image.mode.startswith("I;16"):
        return _from_array(np.asarray(image).astype(np.uint16), name)
    if image.mode == "I":  # 16-bit grey as some formats open it, in 32 bits
        return _from_array(np.asarray(image), name, full_scale=65535)
    if image.mode == "F":
        return _from_array(np.asarray(image), name)
    alpha = None
    if image.has_transparency_data:
        image = image.convert("LA" if image.mode in ("1", "L", "LA") else "RGBA")
        alpha = image.getchannel("A")
        image = image.convert(image.mode.removesuffix("A"))
    elif image.mode not in ("RGB", "L", "CMYK"):
        image = image.convert("RGB")
    image = _to_srgb(image, name).convert("RGB")
    if alpha is not None:
        image.putalpha(alpha)
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.asarray(image.convert("RGB"), np.float32)


def _to_srgb(image: Image.Image, name: str) -> Image.Image:
    """Converts out of an embedded colour profile (phones save Display P3, printers CMYK)."""
    profile = image.info.get("icc_profile")
    if not profile:
        return image
    embedded, srgb = io.BytesIO(profile), ImageCms.createProfile("sRGB")
    try:
        converted = ImageCms.profileToProfile(image, embedded, srgb, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError):
        warnings.warn(
            f"{name}: its colour profile is damaged or does not fit, and is not applied",
            stacklevel=5,
        )
        return image
    return converted or image


def _from_array(array: np.ndarray, name: str, full_scale: int | None = None) -> np.ndarray:
    """Brings an array to float32 [H, W, 3], 0..255; `full_scale` is what white is in integers."""
    pixels = array[0] if array.ndim == 4 and array.shape[0] == 1 else array
    pixels = pixels[..., np.newaxis] if pixels.ndim == 2 else pixels
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3, 4) or 0 in pixels.shape:
        raise ValueError(f"{name}: give [H, W], or [H, W, C] with 1, 3 or 4 channels C")
    if pixels.dtype.kind in "iu":
        sixteen = pixels.dtype.kind == "u" and pixels.dtype.itemsize == 2  # in either byte order
        white = full_scale or (65535 if sixteen else 255)
        pixels = pixels.astype(np.float64)
    elif pixels.dtype.kind == "b":
        raise ValueError(f"{name}: is an array of booleans, a mask; give pixel values")
    else:
        pixels = _floats(pixels, name)
        white = 1 if pixels.min() >= 0 and pixels.max() <= 1 else 255
    if pixels.min() < 0 or pixels.max() > white:
        raise ValueError(
            f"{name}: values from {pixels.min():g} to {pixels.max():g}; give 0..{white}"
            + (" or 0..1" if pixels.dtype == np.float32 else "")
        )
    pixels = (pixels * (255 / white)).astype(np.float32)
    if pixels.shape[2] == 4:
        alpha = pixels[..., 3:] / np.float32(255)
        pixels = np.float32(255) + (pixels[..., :3] - np.float32(255)) * alpha
    return pixels if pixels.shape[2] == 3 else pixels.repeat(3, axis=2)


def _floats(array: np.ndarray, name: str) -> np.ndarray:
    if array.dtype.kind not in "fV":  # NumPy has no kind of its own for TensorFlow's bfloat16
        raise TypeError(f"{name}: is an array of {array.dtype}; give integers or floats")
    with np.errstate(over="ignore"):
        pixels = np.asarray(array, np.float32)
    if not np.isfinite(pixels).all():
        raise ValueError(f"{name}: has NaN or infinite pixels; give finite values")
    return pixels


def _resized(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    # A channel at a time in float, so that pictures given as floats are not rounded to 8 bits.
    bands = [Image.fromarray(band) for band in np.ascontiguousarray(np.moveaxis(pixels, -1, 0))]
    resized = [band.resize((width, height), Image.Resampling.LANCZOS) for band in bands]
    pixels = np.stack([np.asarray(band) for band in resized], axis=-1)
    return pixels.clip(0, 255)  # Lanczos overshoots at sharp edges
