"""Pictures in and out: float32 arrays [1, H, W, 3], RGB, 0..255 inside; files outside.

Reading takes whatever people have (paths, addresses, PIL images, arrays, tensors, in any mode that
Pillow knows), and says in one line what was wrong where it can't. Writing is atomic, and puts the
settings of the run into the file.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import numbers
import os
import shutil
import sys
import urllib.error
import urllib.parse
import urllib.request
import uuid
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import PIL
from PIL import ExifTags, Image, ImageCms, ImageOps

from mnst import __version__

FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
"""File name endings that can be written."""

_QUALITY: dict[str, dict[str, Any]] = {
    "PNG": {"optimize": True},
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"quality": 95},
    "TIFF": {"compression": "tiff_adobe_deflate"},
}

_DOWNLOAD_LIMIT = 256 * 2**20
_DOWNLOAD_TIMEOUT = 30

# Exif's UserComment holds the settings in all four formats alike. The caption, ImageDescription,
# would be simpler, but viewers show it to people.
_COMMENT_PREFIX = b"ASCII\0\0\0"


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


def save_image(
    path: str | os.PathLike[str], image: np.ndarray, settings: Mapping[str, Any] | None = None
) -> None:
    """Writes a picture as PNG, JPEG, WebP or TIFF, whole or not at all.

    A crash or a full disk leaves the file that was there before, or none.

    Args:
        path: Where to; its ending says the format.
        image: uint8 [H, W, 3], RGB.
        settings: What `read_settings` shall give back: anything that JSON can hold.

    Raises:
        ValueError: If the ending is not that of a format above.
        OSError: If the file can't be written.

    Example:
        >>> import mnst, numpy as np
        >>> mnst.save_image("grey.png", np.full((8, 8, 3), 128, "uint8"), {"gamma": [1.0]})
        >>> mnst.read_settings("grey.png")
        {'gamma': [1.0]}
    """
    target = check_output(path)
    kind = FORMATS[Path(path).suffix.lower()]
    try:
        data = encode_with_settings(image, kind, settings)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: can't be written as {kind} ({error})") from None
    write_atomically(target, data)


def encode_with_settings(
    image: np.ndarray, kind: str, settings: Mapping[str, Any] | None = None
) -> bytes:
    """Returns what `save_image` writes: a picture, uint8 [H, W, 3], that carries its settings."""
    exif = Image.Exif()
    exif[ExifTags.Base.Software] = f"mnst {__version__}"
    if settings is not None:
        text = json.dumps({"mnst": dict(settings)}, ensure_ascii=True)
        # In the main directory: libtiff can't write Exif's own, nor can Pillow before 11.
        exif[ExifTags.Base.UserComment] = _COMMENT_PREFIX + text.encode("ascii")
    return encode(image, kind, exif=exif)


def encode(image: np.ndarray, kind: str, **options: Any) -> bytes:
    """Returns a picture, uint8 [H, W, 3], as the bytes of a file of one of the `FORMATS`."""
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


def calls_within_mnst() -> int:
    """Returns how many calls lead from the caller's up to the first that isn't mnst's own.

    A warning's `stacklevel`, 1 and these, points at what the user wrote, however deep it arose.
    """
    frame: FrameType | None = sys._getframe(1)
    calls = 0
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "mnst":
        frame, calls = frame.f_back, calls + 1
    return calls


def check_output(path: str | os.PathLike[str]) -> Path:
    """Returns where a picture would be written, or raises what stands against it.

    Called before a run, so that nobody waits for a picture that can't be kept.

    Raises:
        ValueError: If the ending is not that of a format in `FORMATS`.
        OSError: If the folder does not exist or can't be written to.
    """
    if Path(path).suffix.lower() not in FORMATS:
        raise ValueError(f"{path}: the name must end in one of {', '.join(FORMATS)}")
    return check_place(path)


def check_place(path: str | os.PathLike[str]) -> Path:
    """Returns where a file of any kind would be written, or raises what stands against it."""
    # A link is followed: the file that it points to is replaced, not the link.
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError(f"{path}: is a folder; give the name of a file in it")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{path}: there is no folder {target.parent}; make it first")
    if not os.access(target.parent, os.W_OK) or (
        target.exists() and not os.access(target, os.W_OK)
    ):
        raise PermissionError(f"{path}: can't be written; choose a place that you may write to")
    return target


def write_atomically(target: Path, data: bytes) -> None:
    """Writes a file beside its place and moves it there once it is whole and on the disk."""
    part = target.with_name(f".mnst-{uuid.uuid4().hex[:12]}.part")
    try:
        with open(part, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            shutil.copymode(target, part)
        part.replace(target)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(target)) from error
    finally:
        part.unlink(missing_ok=True)


def read_settings(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Returns the settings that a picture was made with, from its file's metadata.

    Args:
        path: A picture that `Result.save` or `save_image` wrote.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it isn't a picture, or carries no settings.

    Example:
        >>> import mnst
        >>> mnst.read_settings("out.png")["gamma"]  # doctest: +SKIP
        [0.4, 0.6]
    """
    with _opened(path, str(path)) as image, _damage_named(str(path)):
        comment = image.getexif().get(ExifTags.Base.UserComment)
    if isinstance(comment, bytes) and comment.startswith(_COMMENT_PREFIX):
        with contextlib.suppress(ValueError, KeyError, TypeError):
            return dict(json.loads(comment[len(_COMMENT_PREFIX) :])["mnst"])
    raise ValueError(f"{path}: carries no settings; it was not saved by mnst, or was edited since")


def is_address(text: str) -> bool:
    """True for http(s) addresses, which TensorFlow Hub's and Kaggle's handles are, too."""
    return text.lower().startswith(("http://", "https://"))


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
    with _opened(source, name) as image:
        with _damage_named(name):
            frames = getattr(image, "n_frames", 1)
            image.load()
            upright = ImageOps.exif_transpose(image)
        # Phones put previews and gain maps behind a JPEG, which Pillow then calls MPO.
        if frames > 1 and image.format != "MPO":
            warnings.warn(f"{name}: has {frames} frames, the first is taken", stacklevel=3)
        return _to_rgb(upright, name)


@contextlib.contextmanager
def _damage_named(name: str) -> Iterator[None]:
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
def _opened(
    source: str | os.PathLike[str] | bytes | Image.Image, name: str
) -> Iterator[Image.Image]:
    """Opens a picture, and closes it unless it is the caller's own."""
    if isinstance(source, Image.Image):
        yield source
        return
    file = _file_of(source)
    with warnings.catch_warnings():
        # Between one and two times its limit Pillow only warns, and large photos are no bombs.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            with _damage_named(name):
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


def _file_of(source: str | os.PathLike[str] | bytes) -> io.BytesIO | str:
    """Returns what Pillow opens."""
    if isinstance(source, bytes):
        return io.BytesIO(source)
    text = os.fspath(source)
    if is_address(text):
        return io.BytesIO(_download(text))
    return text


def _download(address: str) -> bytes:
    quoted = urllib.parse.quote(address, safe="%/:=&?~#+!$,;'@()*[]")  # letters beyond ASCII
    try:
        request = urllib.request.Request(quoted, headers={"User-Agent": f"mnst/{__version__}"})
        with urllib.request.urlopen(request, timeout=_DOWNLOAD_TIMEOUT) as response:
            data: bytes = response.read(_DOWNLOAD_LIMIT + 1)
            missing = response.length  # what the server announced and did not send
    except (OSError, http.client.HTTPException, ValueError) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()
        reason = getattr(error, "reason", None) or str(error) or type(error).__name__
        code = f"{error.code} " if isinstance(error, urllib.error.HTTPError) else ""
        raise OSError(f"{address}: can't be downloaded ({code}{reason})") from None
    if len(data) > _DOWNLOAD_LIMIT:
        raise ValueError(f"{address}: larger than {_DOWNLOAD_LIMIT >> 20} MiB; give a smaller file")
    if missing:
        raise OSError(f"{address}: broken off, {missing} bytes are missing; try again")
    return data


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
    try:
        converted = ImageCms.profileToProfile(
            image,
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            outputMode="RGB",
        )
    except (ImageCms.PyCMSError, OSError):
        warnings.warn(
            f"{name}: its colour profile is damaged or does not fit, and is not applied",
            stacklevel=5,
        )
        return image
    return converted if converted is not None else image


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
    bands = [
        Image.fromarray(np.ascontiguousarray(pixels[..., band])).resize(
            (width, height), Image.Resampling.LANCZOS
        )
        for band in range(3)
    ]
    resized = np.stack([np.asarray(band) for band in bands], axis=-1)
    return resized.clip(0, 255)  # Lanczos overshoots at sharp edges
