"""Where a model's weights come from.

VGG19's: the argument, the variable, Keras' cache, or its download. Those of `vgg19-lite`, the small
network that stands in for it: the argument, or the package itself.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import socket
import sys
import tempfile
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mnst.backend import keras
from mnst.errors import WeightsError
from mnst.images import file_digest, sha256, write_atomically

VGG19_VARIABLE = "MNST_VGG19_WEIGHTS"
"""Environment variable that holds the path of VGG19's weights."""

# As in keras.applications.VGG19(include_top=False), where they have no public names.
VGG19_FILE = "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5"
VGG19_ADDRESS = f"https://storage.googleapis.com/tensorflow/keras-applications/vgg19/{VGG19_FILE}"
VGG19_MD5 = "253f8cb515780f3b799900260a226db6"

LITE_FILE = Path(__file__).with_name("vgg19-lite.npz")
"""The weights of `vgg19-lite` that come with the package; docs/vgg19-lite.md tells of them."""

LITE_SHA256 = "9da573fa7bd1aa6e921944ed311d7c6d56fe5d27aad6e3887443d5dab7a12ba8"

BACKBONES = ("auto", "vgg19", "vgg19-lite")
"""What `backbone=` may be."""

Width = tuple[int, int]
"""Channels of a narrow convolution: behind its first 1 x 1, and behind its 3 x 3."""

_TIMEOUT = 30


@dataclass(frozen=True)
class WeightsSource:
    """Where the weights of a run come from.

    Attributes:
        backbone: Which network they are for.
        origin: Who named the place.
        path: The file; where it will be, if it has yet to be downloaded.
        replaceable: True if `vgg19-lite` takes its place where it can't be had.
    """

    backbone: str
    origin: Literal["weights argument", "MNST_VGG19_WEIGHTS", "Keras cache", "download", "embedded"]
    path: Path
    replaceable: bool = False


def find_weights(
    weights: str | os.PathLike[str] | None = None, *, backbone: str = "auto"
) -> WeightsSource:
    """Says which weights would be used, without loading or downloading anything.

    For VGG19 the first of these is taken: the `weights` argument, the file named by the environment
    variable MNST_VGG19_WEIGHTS, Keras' cache, Keras' download. A file that was named but isn't
    there is an error, never a reason to look further.

    Args:
        weights: Path of VGG19's weights without its top, as Keras saves them (`.h5`), or of a
            small network's, as `mnst.distill` saves them (`.npz`), or None.
        backbone: "vgg19"; "vgg19-lite", whose weights come with the package; or "auto", which is
            VGG19, and `vgg19-lite` where its download fails.

    Raises:
        ValueError: If there is no such backbone, or the file is another backbone's.
        FileNotFoundError: If a named file isn't there.

    Example:
        >>> from mnst.networks.weights import find_weights
        >>> find_weights(backbone="vgg19-lite").origin
        'embedded'
    """
    if backbone not in BACKBONES:
        raise ValueError(f"backbone is {backbone!r}: give one of {', '.join(BACKBONES)}")
    if weights is not None:
        path = _existing(weights, "weights")
        suits = "vgg19-lite" if path.suffix == ".npz" else "vgg19"
        if backbone not in ("auto", suits):
            raise ValueError(
                f"weights is {path.name}, which is {suits}'s by its ending, but backbone is "
                f"{backbone!r}: VGG19's end in .h5, those of mnst.distill in .npz"
            )
        return WeightsSource(suits, "weights argument", path)
    if backbone == "vgg19-lite":
        return WeightsSource(backbone, "embedded", LITE_FILE)
    if os.environ.get(VGG19_VARIABLE):
        path = _existing(os.environ[VGG19_VARIABLE], VGG19_VARIABLE)
        return WeightsSource("vgg19", "MNST_VGG19_WEIGHTS", path)
    path = keras_cache() / VGG19_FILE
    return WeightsSource(
        "vgg19",
        "Keras cache" if path.is_file() else "download",
        path,
        replaceable=backbone == "auto",
    )


def keras_cache() -> Path:
    """Returns the folder where Keras keeps downloaded weights."""
    home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras").expanduser()
    return home / "models"


def fetch_weights(source: WeightsSource) -> WeightsSource:
    """Returns a source whose file is there, after downloading it where that is needed.

    Keras downloads, checks the hash and caches. A file in the cache whose hash is not that of
    Keras' own is downloaded again. Where the download fails and the source is replaceable, a
    warning says so, and the source of `vgg19-lite` is returned.

    Raises:
        WeightsError: If the download fails, and the message says how to get the file by hand; or
            if the weights inside the package are damaged.
    """
    if source.origin == "embedded":
        return _checked(source)
    if source.origin not in ("Keras cache", "download"):
        return source
    if source.path.is_file() and file_digest(source.path, "md5") == VGG19_MD5:
        return source
    try:
        _download(source.path)
    except Exception as error:  # get_file raises bare Exception for an address it can't reach
        reason = " ".join((str(error).rpartition(" -- ")[2] or type(error).__name__).split())
        if source.path.is_file():
            reason += "; what lies in the cache is not Keras' file"
        if source.replaceable:
            warnings.warn(
                f"VGG19's weights can't be downloaded ({reason}), so the small vgg19-lite paints; "
                f"`mnst info` says how to get VGG19",
                stacklevel=2,
            )
            return fetch_weights(find_weights(backbone="vgg19-lite"))
        raise WeightsError(
            f"VGG19's weights can't be downloaded ({reason}): {how_to_get_vgg19()}; or paint with "
            f"the small network that comes with mnst, backbone='vgg19-lite'"
        ) from None
    return source


def how_to_get_vgg19() -> str:
    """Returns what to do where VGG19's weights can't be downloaded."""
    return (
        f"get {VGG19_ADDRESS} on a machine that reaches it, and put it at "
        f"{keras_cache() / VGG19_FILE}, or anywhere and name it by weights= (--weights) or by the "
        f"variable {VGG19_VARIABLE}"
    )


def read_lite(path: Path) -> tuple[dict[str, Width | None], dict[str, np.ndarray]]:
    """Reads a small network's file, as `write_lite` writes it.

    Returns:
        The width of each convolution by its name, None for one as wide as VGG19's; and the float32
        values of each weight, by the path that Keras gives it.

    Raises:
        WeightsError: If the file is damaged, or no such file.
    """
    try:
        # Opened here, since NumPy leaves a file open that turns out to be no archive.
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            values = {name: arrays[name] for name in arrays.files}
        widths = json.loads(str(values.pop("widths")))
        return (
            {
                name: None if width is None else (width[0], width[1])
                for name, width in widths.items()
            },
            {name: value.astype(np.float32) for name, value in values.items()},
        )
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
    ):
        raise WeightsError(f"{path}: damaged, or not a network that mnst.distill made") from None


def write_lite(
    path: Path, widths: Mapping[str, Width | None], values: Mapping[str, np.ndarray]
) -> None:
    """Writes a small network's weights, as float16."""
    data = io.BytesIO()
    arrays: dict[str, Any] = {name: value.astype(np.float16) for name, value in values.items()}
    arrays["widths"] = np.array(json.dumps(dict(widths)))
    np.savez_compressed(data, **arrays)
    write_atomically(path, data.getvalue())


def _download(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Beside its place, and moved there once its hash is right: Keras itself deletes what was
    # there where a download fails, and leaves a file of a wrong hash behind. It shows its
    # progress on standard output, which belongs to the caller's own output.
    with (
        tempfile.TemporaryDirectory(dir=path.parent) as folder,
        contextlib.redirect_stdout(sys.stderr),
        socket_timeout(_TIMEOUT),
    ):
        whole = keras.utils.get_file(
            VGG19_FILE,
            VGG19_ADDRESS,
            cache_dir=folder,
            cache_subdir="",
            file_hash=VGG19_MD5,
        )
        Path(whole).replace(path)


def _checked(source: WeightsSource) -> WeightsSource:
    """Makes sure that the weights inside the package are those that were put there."""
    if not source.path.is_file() or sha256(source.path) != LITE_SHA256:
        raise WeightsError(
            f"{source.path}: missing or damaged; install mnst again (pip install "
            f"--force-reinstall --no-deps mnst)"
        )
    return source


def _existing(path: str | os.PathLike[str], named_by: str) -> Path:
    found = Path(path).expanduser()
    if not found.is_file():
        raise FileNotFoundError(
            f"{found}: there is no such file, but {named_by} names it; VGG19's weights are at "
            f"{VGG19_ADDRESS}"
        )
    return found


@contextlib.contextmanager
def socket_timeout(seconds: float) -> Iterator[None]:
    """Keras and TensorFlow Hub set no time limit; a stalled download would hang for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
