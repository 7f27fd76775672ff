"""Where a model's weights come from: the argument, the variable, Keras' cache, or its download."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

VGG19_VARIABLE = "MNST_VGG19_WEIGHTS"
"""Environment variable that holds the path of VGG19's weights."""

# As in keras.applications.VGG19(include_top=False), where they have no public names.
VGG19_FILE = "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5"
VGG19_ADDRESS = f"https://storage.googleapis.com/tensorflow/keras-applications/vgg19/{VGG19_FILE}"
VGG19_MD5 = "253f8cb515780f3b799900260a226db6"

BACKBONES = ("auto", "vgg19")
"""What `backbone=` may be."""

_TIMEOUT = 30


class WeightsError(RuntimeError):
    """Weights can't be had or don't fit; the message says what to do."""


@dataclass(frozen=True)
class WeightsSource:
    """Where the weights of a run come from.

    Attributes:
        backbone: Which network they are for.
        origin: Who named the place.
        path: The file; where it will be, if it has yet to be downloaded.
    """

    backbone: str
    origin: Literal["weights argument", "MNST_VGG19_WEIGHTS", "Keras cache", "download"]
    path: Path


def find_weights(
    weights: str | os.PathLike[str] | None = None, *, backbone: str = "auto"
) -> WeightsSource:
    """Says which weights would be used, without loading or downloading anything.

    The first of these is taken: the `weights` argument, the file named by the environment variable
    MNST_VGG19_WEIGHTS, Keras' cache, Keras' download. A file that was named but isn't there is an
    error, never a reason to look further.

    Args:
        weights: Path of VGG19's weights without its top, as Keras saves them (`.h5`), or None.
        backbone: "auto" or "vgg19".

    Raises:
        ValueError: If there is no such backbone.
        FileNotFoundError: If a named file isn't there.

    Example:
        >>> from mnst.weights import find_weights
        >>> find_weights().origin  # doctest: +SKIP
        'Keras cache'
    """
    if backbone not in BACKBONES:
        raise ValueError(f"backbone is {backbone!r}: give one of {', '.join(BACKBONES)}")
    if weights is not None:
        return WeightsSource("vgg19", "weights argument", _existing(weights, "weights"))
    if os.environ.get(VGG19_VARIABLE):
        path = _existing(os.environ[VGG19_VARIABLE], VGG19_VARIABLE)
        return WeightsSource("vgg19", "MNST_VGG19_WEIGHTS", path)
    path = keras_cache() / VGG19_FILE
    return WeightsSource("vgg19", "Keras cache" if path.is_file() else "download", path)


def keras_cache() -> Path:
    """Returns the folder where Keras keeps downloaded weights."""
    home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras").expanduser()
    return home / "models"


def fetch_weights(source: WeightsSource) -> Path:
    """Returns the path of the weights, after downloading them where that is needed.

    Keras downloads, checks the hash and caches. A file in the cache whose hash is not that of
    Keras' own is downloaded again.

    Raises:
        WeightsError: If the download fails; the message says how to get the file by hand.
    """
    if source.origin not in ("Keras cache", "download"):
        return source.path
    if source.path.is_file() and _digest(source.path, "md5") == VGG19_MD5:
        return source.path
    from mnst._tensorflow import keras

    try:
        source.path.parent.mkdir(parents=True, exist_ok=True)
        # Beside its place, and moved there once its hash is right: Keras itself deletes what was
        # there where a download fails, and leaves a file of a wrong hash behind. It shows its
        # progress on standard output, which belongs to the caller's own output.
        with (
            tempfile.TemporaryDirectory(dir=source.path.parent) as folder,
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
            Path(whole).replace(source.path)
        return source.path
    except Exception as error:  # get_file raises bare Exception for an address it can't reach
        reason = str(error).rpartition(" -- ")[2] or type(error).__name__
        if source.path.is_file():
            reason += "; what lies in the cache is not Keras' file"
        raise WeightsError(
            f"VGG19's weights can't be downloaded ({' '.join(reason.split())}): get "
            f"{VGG19_ADDRESS} on a machine that reaches it, and put it at "
            f"{keras_cache() / VGG19_FILE}, or anywhere and name it by weights= (--weights) or "
            f"by the variable {VGG19_VARIABLE}"
        ) from None


def sha256(path: Path) -> str:
    """Returns the SHA-256 of a file, in hex."""
    return _digest(path, "sha256")


def _digest(path: Path, algorithm: str) -> str:
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with open(path, "rb") as file:
        while chunk := file.read(2**20):
            digest.update(chunk)
    return digest.hexdigest()


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
