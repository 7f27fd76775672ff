"""Pictures in: whatever people have becomes float32 [1, H, W, 3], RGB, 0..255.

Paths, addresses, PIL images, arrays, tensors, in any mode that Pillow knows; where it can't be
read, one line says what is wrong.
"""

from __future__ import annotations

import contextlib
import functools
import io
import math
import os
import warnings
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import numpy as np
import PIL
from PIL import ExifTags, Image, ImageCms, ImageOps

from mnst.checks import check_whole
from mnst.errors import calls_within_mnst
from mnst.images.damage import check_before_decoding, check_decoded, libtiff_heard
from mnst.images.downloading import download, is_address, without_password
from mnst.images.files import named, open_file
from mnst.images.transparency import colours_beneath

# What people have, and no more: Pillow also reads PostScript, by starting Ghostscript, and dozens
# of formats that nobody has attacked for long. HEIF is there once `pillow_heif` is registered.
_READABLE = (
    "PNG", "JPEG", "MPO", "WEBP", "TIFF", "GIF", "BMP", "AVIF", "HEIF", "JPEG2000", "PPM",
)  # fmt: skip

# Up to here a picture is resampled from all of its pixels. Beyond, Lanczos sees the means of
# squares, at least `_GAP` of them for each of its own pixels, which can't be told from that by eye
# (Pillow's `reducing_gap` says the same), and takes a fraction of the memory and the time.
_LARGE = 2**25  # pixels
_GAP = 3
_STRIP = 2**20  # pixels that are converted at a time
_LONGEST = 2**20  # pixels of a side, so that a row is a strip

_Box = tuple[float, float, float, float]
"""Left, top, right and bottom of a part of a picture, in pixels."""

# Bytes that decoding takes for each pixel, as measured; two of Pillow's pictures for all others.
_DECODING = {"WEBP": 16, "AVIF": 10, "JPEG2000": 20}

# Between one and two times its limit Pillow only warns, and large photos are no bombs. This is said
# once, behind the user's own filters: `catch_warnings` around every picture would change those of
# all other threads.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning, append=True)


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

            Files are PNG, JPEG, WebP, TIFF, GIF, BMP, AVIF, JPEG 2000 or PPM, and HEIF once
            `pillow_heif` is registered; no other kind is opened. They are regular files: no
            pipes, no devices. EXIF orientation is applied and an embedded colour profile converted
            to sRGB. Alpha is composited on white. Of an animation the first frame is taken, with a
            warning.
        size: The longest the long side may be, in pixels. Larger pictures are reduced with
            Lanczos; None leaves them as they are. Those of more than 33 million pixels are first
            brought near it by means of squares of pixels.
        enlarge: Bring the long side to `size` even where the picture is smaller.
        name: What to call the picture in errors; its path or kind, if not given.

    Returns:
        The picture.

    Raises:
        FileNotFoundError: If there is no such file.
        OSError: If an address can't be reached, or a file can't be opened or isn't a regular one.
        ValueError: If it isn't a whole picture, takes too much memory to decode, or `size` or the
            pixel values are out of range.
        TypeError: If it is something else than the kinds above, such as an array with a mask.

    Example:
        >>> import mnst, numpy as np
        >>> mnst.load_image(np.zeros((300, 1024, 3), "uint8"), size=512).shape
        (1, 150, 512, 3)
    """
    return _load(source, size, name, enlarge=enlarge)[np.newaxis]


def load_with_alpha(
    source: Any, *, size: int | None = 512, name: str | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Reads a picture as `load_image` does, but with its transparency rather than on white.

    Returns:
        The picture, float32 [1, H, W, 3], RGB, 0..255, with colours also where it is transparent;
        and how opaque it is, uint8 [H, W], or None where all of it is.
    """
    pixels = _load(source, size, name, with_alpha=True)
    alpha = np.rint(pixels[..., 3:]).clip(0, 255)
    if not (alpha < 255).any():  # also of one that has no alpha
        return np.ascontiguousarray(pixels[np.newaxis, ..., :3]), None
    colours = colours_beneath(pixels[..., :3], pixels[..., 3])
    return colours[np.newaxis], alpha[..., 0].astype(np.uint8)


def _load(
    source: Any,
    size: int | None,
    name: str | None,
    *,
    enlarge: bool = False,
    with_alpha: bool = False,
) -> np.ndarray:
    """Reads a picture on white as float32 [H, W, 3], 0..255, or [H, W, 4], with its alpha."""
    size = None if size is None else check_whole("size", size)
    name = name or describe(source)
    if isinstance(source, str) and not source:
        raise FileNotFoundError(f"{name}: is no path; give one")
    if isinstance(source, (str, os.PathLike, bytes, Image.Image)):
        pixels = _read(source, name, size)
    elif isinstance(source, np.ma.MaskedArray):
        raise TypeError(f"{name}: is a masked array; give a plain one, such as its filled(0)")
    elif hasattr(source, "__array__"):
        pixels = _from_array(np.asarray(source), name)
    else:
        raise TypeError(
            f"{name}: a picture is a path, an http(s) address, a file's bytes, a PIL image, an "
            f"array or a tensor"
        )
    if pixels.shape[2] == 4 and not with_alpha:
        pixels = pixels[..., :3].clip(0, 255)
    height, width = _sides(pixels.shape[0], pixels.shape[1], size)
    if enlarge or height < pixels.shape[0] or width < pixels.shape[1]:
        pixels = _resized(pixels, height, width)
    pixels = np.ascontiguousarray(pixels, np.float32)
    return pixels.repeat(3, axis=2) if pixels.shape[2] == 1 else pixels


def _sides(height: float, width: float, size: int | None) -> tuple[int, int]:
    """Returns the sides of a picture whose long one is brought to `size`."""
    scale = 1.0 if size is None else size / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def resize_image(image: np.ndarray, height: int, width: int, *, wraps: bool = False) -> np.ndarray:
    """Resamples a picture, [1, H, W, 3] float32, to [1, height, width, 3] with Lanczos.

    Where it wraps, opposite borders are neighbours, and a pattern without seams stays one.
    """
    tall, wide = image.shape[1:3]
    if (tall, wide) == (height, width):
        return image
    if not wraps:
        return _resized(image[0], height, width)[np.newaxis]
    reach = 3 * math.ceil(max(tall / height, wide / width, 1))  # of Lanczos, in pixels
    around = np.pad(image[0], [(reach, reach), (reach, reach), (0, 0)], "wrap")
    box = reach, reach, reach + wide, reach + tall
    return _resized(around, height, width, box)[np.newaxis]


def resize_to(image: np.ndarray, side: int) -> np.ndarray:
    """Resamples a picture, [1, H, W, 3] float32, until its long side is so many pixels."""
    height, width = image.shape[1:3]
    return resize_image(image, *_sides(height, width, side))


def long_side(source: Any) -> int:
    """Returns how long the long side of a picture is, in pixels, without reading the pixels."""
    if isinstance(source, (str, os.PathLike, bytes)):
        with opened(source, describe(source)) as (image, _):
            width, height = image.size
            return max(width, height)
    if isinstance(source, Image.Image):
        return max(source.size)
    height, width = load_image(source, size=None).shape[1:3]
    return int(max(height, width))


def is_named_as_picture(path: str | os.PathLike[str]) -> bool:
    """True for a name that does not begin with a dot, and ends as those of pictures do."""
    name = os.path.basename(os.fspath(path))  # noqa: PTH119, a text will do
    kind = Image.registered_extensions().get(os.path.splitext(name)[1].lower())  # noqa: PTH122
    return kind in _READABLE and not name.startswith(".")


def to_uint8(image: Any) -> np.ndarray:
    """Returns a picture, [1, H, W, 3] float in 0..255, as uint8 [H, W, 3], rounded."""
    pixels: np.ndarray = np.rint(np.clip(np.asarray(image)[0], 0, 255))
    return pixels.astype(np.uint8)


def describe(source: Any) -> str:
    """Returns what to call a picture in a message: its path, or its kind and shape.

    It is one line, whatever a path's letters are, and has no password, whatever an address's.
    """
    if isinstance(source, str) and is_address(source):
        return named(without_password(source))
    if isinstance(source, (str, os.PathLike)):
        return named(source)
    if isinstance(source, bytes):
        return f"{len(source)} bytes"
    kind = type(source).__name__
    shape = getattr(source, "shape", None)
    return f"{kind} of shape {tuple(shape)}" if shape is not None else kind


def name_of(argument: str, source: Any) -> str:
    """Returns what to call a picture in errors: its path, or else its argument, and its kind."""
    path = isinstance(source, (str, os.PathLike)) and os.fspath(source)
    return describe(source) if path else f"{argument} ({describe(source)})"


def _read(
    source: str | os.PathLike[str] | bytes | Image.Image, name: str, size: int | None
) -> np.ndarray:
    """Reads a picture as [H, W, 1, 3 or 4], 0..255, in uint8 where it holds no more."""
    if isinstance(source, Image.Image):
        with damage_named(name, "is it closed, or its file gone?"):
            several = getattr(source, "n_frames", 1) > 1 and source.format != "MPO"
            with libtiff_heard():
                source.load()
            upright = ImageOps.exif_transpose(source)
        return _pixels(upright, (0, 0, *upright.size), name, size, several)
    with opened(source, name) as (image, file):
        _check_cost(image, name)
        with damage_named(name):
            several = _has_several_frames(image)
            check_before_decoding(image, file)
            whole = image.size
            if size is not None and image.width * image.height > _LARGE:
                height, width = _sides(image.height, image.width, size)
                image.draft(None, (_GAP * width, _GAP * height))  # a JPEG is decoded small
            with libtiff_heard():
                image.load()
            check_decoded(image, file)
            box = _upright(image, whole)
        return _pixels(image, box, name, size, several)


def _upright(image: Image.Image, whole: tuple[int, int]) -> _Box:
    """Turns a picture as its Exif says, and returns the part of it that it fills.

    `whole` was its size. Decoded smaller, its last column and row may be there only in part, and
    the last become the first where it is turned.
    """
    scale = round(max(whole) / max(image.size))
    turned = image.getexif().get(ExifTags.Base.Orientation, 1)
    ImageOps.exif_transpose(image, in_place=True)
    width, height = (side / scale for side in (whole if turned < 5 else whole[::-1]))
    left = image.width - width if turned in (2, 3, 6, 7) else 0
    top = image.height - height if turned in (3, 4, 7, 8) else 0
    return left, top, left + width, top + height


def _pixels(
    image: Image.Image, box: _Box, name: str, size: int | None, several: bool
) -> np.ndarray:
    """Returns a picture's pixels; those of a large one in the size that was asked for.

    Of one that was decoded smaller, `box` is what it fills.
    """
    if several:
        level = 1 + calls_within_mnst()
        warnings.warn(f"{name}: has several frames, the first is taken", stacklevel=level)
    height, width = _sides(box[3] - box[1], box[2] - box[0], size)
    whole = box == (0, 0, *image.size)
    if whole and (image.width * image.height <= _LARGE or height >= image.height):
        return _converted(image, name)
    times = min(image.width // (_GAP * width), image.height // (_GAP * height))
    times = max(1, min(times, 4 * _STRIP // image.width))  # for strips that are not much larger
    left, top, right, bottom = (side / times for side in box)  # the last squares may be parts
    return _resized(_converted(image, name, times), height, width, (left, top, right, bottom))


def _check_cost(image: Image.Image, name: str) -> None:
    """Refuses what takes much more memory to decode than the largest PNG that Pillow takes."""
    if max(image.size) > _LONGEST:
        raise ValueError(
            f"{name}: is {image.width} x {image.height} pixels; a side may have {_LONGEST:,}"
        )
    pixels = Image.MAX_IMAGE_PIXELS or float("inf")
    needed = image.width * image.height * _DECODING.get(image.format or "", 8)
    if needed > 16 * pixels:
        raise ValueError(
            f"{name}: takes {needed / 1e9:.1f} GB to decode, {image.width} x {image.height} pixels "
            f"as {image.format}; make it smaller, or raise PIL.Image.MAX_IMAGE_PIXELS"
        )


def _has_several_frames(image: Image.Image) -> bool:
    # Counting them all goes through the whole file. Phones put previews and gain maps behind a
    # JPEG, which Pillow then calls MPO.
    if image.format == "TIFF":
        try:
            image.seek(1)
        except EOFError:
            return False
        image.seek(0)
        return True
    return getattr(image, "is_animated", False) and image.format != "MPO"


@contextlib.contextmanager
def damage_named(name: str, advice: str = "get a whole copy") -> Iterator[None]:
    """Names the picture in what Pillow's readers raise on a damaged one, which is anything."""
    try:
        yield
    except Exception as error:
        known = (PIL.UnidentifiedImageError, Image.DecompressionBombError, MemoryError, Warning)
        if isinstance(error, known) or getattr(error, "errno", None):
            raise
        reason = " ".join(str(error).split())
        raise ValueError(f"{name}: damaged or broken off ({reason}); {advice}") from None


@contextlib.contextmanager
def opened(
    source: str | os.PathLike[str] | bytes, name: str
) -> Iterator[tuple[Image.Image, BinaryIO]]:
    """Opens a picture's file, and closes it."""
    with _file(source) as file:
        try:
            with damage_named(name), libtiff_heard():
                Image.init()
                image = Image.open(file, formats=[kind for kind in _READABLE if kind in Image.OPEN])
        except PIL.UnidentifiedImageError:
            raise ValueError(
                f"{name}: not a picture of a kind that mnst reads; give a PNG, JPEG, WebP or TIFF"
            ) from None
        except Image.DecompressionBombError:
            raise ValueError(
                f"{name}: claims more than {2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels, which "
                f"looks like an attack; if you trust it, raise PIL.Image.MAX_IMAGE_PIXELS"
            ) from None
        with image:
            yield image, file


def fetched(source: Any) -> Any:
    """Returns the file that an address holds, as bytes, and any other picture as it is."""
    return file_bytes(source) if isinstance(source, str) and is_address(source) else source


def file_bytes(source: str | os.PathLike[str] | bytes) -> bytes:
    """Returns the file of a picture as it is: a path's, or what an address holds."""
    with _file(source) as file:
        return file.read()


def _file(source: str | os.PathLike[str] | bytes) -> BinaryIO:
    if isinstance(source, bytes):
        return io.BytesIO(source)
    if isinstance(source, str) and is_address(source):
        return io.BytesIO(download(source))
    return open_file(source)


def _converted(image: Image.Image, name: str, times: int = 1) -> np.ndarray:
    """Brings any of Pillow's modes to [H, W, 1, 3 or 4], 0..255, in uint8 where it holds no more.

    It goes by strips, so that what each conversion takes is little. With `times` squares of as
    many pixels become one, their mean.
    """
    convert = _converter(image, name)
    width, height = image.size
    rows = max(1, _STRIP // width // times) * times
    pixels: np.ndarray | None = None
    for top in range(0, height, rows):
        strip = convert(image.crop((0, top, width, min(top + rows, height))))
        if times > 1:
            bands = np.moveaxis(strip, -1, 0).astype(np.float32)
            means = [np.asarray(Image.fromarray(band).reduce(times)) for band in bands]
            strip = np.stack(means, axis=-1)
        if pixels is None:
            sides = -(-height // times), -(-width // times)
            pixels = np.empty((*sides, strip.shape[2]), strip.dtype)
        pixels[top // times : top // times + len(strip)] = strip
    assert pixels is not None
    return pixels


def _converter(image: Image.Image, name: str) -> Callable[[Image.Image], np.ndarray]:
    """Returns what brings a strip of a picture to [H, W, 1, 3 or 4], 0..255."""
    if image.mode.startswith("I;16"):
        return lambda strip: _from_array(np.asarray(strip).astype(np.uint16), name)
    if image.mode == "I":  # 16-bit grey as some formats open it, in 32 bits
        return lambda strip: _from_array(np.asarray(strip), name, white=65535)
    if image.mode == "F":
        white = _white_of_floats(*image.getextrema())
        return lambda strip: _from_array(np.asarray(strip), name, white=white)
    mode = "L" if image.mode in ("1", "LA") and image.has_transparency_data else image.mode
    mode = mode if mode in ("RGB", "L", "CMYK") else "RGB"
    return functools.partial(_to_rgb, mode=mode, profile=_profile(image, mode, name))


def _to_rgb(
    image: Image.Image, mode: str, profile: ImageCms.ImageCmsTransform | None
) -> np.ndarray:
    """Brings 8 bits of whatever to uint8 [H, W, 3], by way of the mode that the profile takes.

    What has transparency is laid on white, and its alpha comes fourth: all four may be resampled.
    """
    alpha = None
    if image.has_transparency_data:
        image = image.convert("LA" if mode == "L" else "RGBA")
        alpha = image.getchannel("A")
    image = image.convert(mode)
    if profile is not None:
        image = profile.apply(image)
    image = image.convert("RGB")
    if alpha is None:
        return np.asarray(image)
    image.putalpha(alpha)
    laid = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    laid.putalpha(alpha)
    return np.asarray(laid)


def _profile(image: Image.Image, mode: str, name: str) -> ImageCms.ImageCmsTransform | None:
    """Returns the way out of an embedded colour profile: phones save Display P3, printers CMYK."""
    embedded = image.info.get("icc_profile")
    if not embedded:
        return None
    try:
        profile = io.BytesIO(embedded)
        return ImageCms.buildTransform(profile, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError):
        warnings.warn(
            f"{name}: its colour profile is damaged or does not fit, and is not applied",
            stacklevel=1 + calls_within_mnst(),
        )
        return None


def _from_array(array: np.ndarray, name: str, white: int | None = None) -> np.ndarray:
    """Brings an array to [H, W, 1, 3 or 4], 0..255; `white` is the highest value it may hold.

    One with alpha is laid on white.
    """
    pixels = array[0] if array.ndim == 4 and array.shape[0] == 1 else array
    pixels = pixels[..., np.newaxis] if pixels.ndim == 2 else pixels
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3, 4) or 0 in pixels.shape:
        raise ValueError(f"{name}: give [H, W], or [H, W, C] with 1, 3 or 4 channels C")
    if pixels.dtype.kind in "iu":
        sixteen = pixels.dtype.kind == "u" and pixels.dtype.itemsize == 2  # in either byte order
        white = white or (65535 if sixteen else 255)
        pixels = pixels.astype(np.float64)
    elif pixels.dtype.kind == "b":
        raise ValueError(f"{name}: is an array of booleans, a mask; give pixel values")
    else:
        pixels = _floats(pixels, name)
        white = white or _white_of_floats(pixels.min(), pixels.max())
    if pixels.min() < 0 or pixels.max() > white:
        raise ValueError(
            f"{name}: values from {pixels.min():g} to {pixels.max():g}; give 0..{white}"
            + (" or 0..1" if pixels.dtype == np.float32 else "")
        )
    pixels = (pixels * (255 / white)).astype(np.float32)
    if pixels.shape[2] == 4:
        alpha = pixels[..., 3:] / np.float32(255)
        pixels[..., :3] = np.float32(255) + (pixels[..., :3] - np.float32(255)) * alpha
    return pixels


def _white_of_floats(least: float, most: float) -> int:
    return 1 if least >= 0 and most <= 1 else 255


def _floats(array: np.ndarray, name: str) -> np.ndarray:
    # NumPy has no kind of its own for TensorFlow's bfloat16, which is one of "V" like a record.
    if array.dtype.kind not in "fV" or issubclass(array.dtype.type, np.void):
        raise TypeError(f"{name}: is an array of {array.dtype}; give integers or floats")
    with np.errstate(over="ignore"):
        pixels = np.asarray(array, np.float32)
    if not np.isfinite(pixels).all():
        raise ValueError(f"{name}: has NaN or infinite pixels; give finite values")
    return pixels


def _resized(
    pixels: np.ndarray,
    height: int,
    width: int,
    box: _Box | None = None,
) -> np.ndarray:
    # A channel at a time in float, so that pictures given as floats are not rounded to 8 bits.
    resized = np.empty((height, width, pixels.shape[2]), np.float32)
    for channel in range(pixels.shape[2]):
        band = Image.fromarray(np.ascontiguousarray(pixels[..., channel])).convert("F")
        resized[..., channel] = np.asarray(
            band.resize((width, height), Image.Resampling.LANCZOS, box)
        )
    # Lanczos overshoots at sharp edges; of colours and alpha alike, which will yet be divided.
    return resized if pixels.shape[2] == 4 else resized.clip(0, 255, out=resized)
