"""What a network has to say of itself, and where its weights come from."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol, runtime_checkable

from tqdm import tqdm

from mnst import images
from mnst.backend import keras
from mnst.checks import user_path
from mnst.errors import WeightsError, calls_within_mnst, one_line
from mnst.images import file_digest, sha256

_LARGEST = 2**31  # bytes of a download
_SECONDS = 3600  # that it may take in all

_OR_LITE = "; or paint with the small network that comes with mnst, backbone='vgg19-lite'"


@runtime_checkable
class Backbone(Protocol):
    """What a network has to know of itself to measure pictures.

    `VGG` is one by configuration, and a Keras model is made one. Any object with these attributes
    and methods will do. It has to be hashable, and equal to another only if it measures the same.
    """

    @property
    def name(self) -> str:
        """What a result's settings call it."""

    @property
    def precision(self) -> str | None:
        """What it computes in, "float32" or "bfloat16"; None if `build` may say."""

    @property
    def activations(self) -> float:
        """Values that all its layers hold together for each pixel of a picture.

        A pool's output has a quarter of a value for each channel. Planning multiplies it with
        measured bytes.
        """

    def check_layers(self, names: Iterable[str]) -> tuple[str, ...]:
        """Returns the names of layers in the network's order, each once.

        Raises:
            ValueError: If one is unknown, or there is none.
        """

    def channels(self, name: str) -> int:
        """Returns how many channels N a layer has."""

    def minimum_side(self, names: Iterable[str]) -> int:
        """Returns the shortest side in pixels for which every layer still has a position."""

    def find_weights(self, weights: str | os.PathLike[str] | None = None) -> WeightsSource:
        """Returns where its weights come from, without loading or downloading anything.

        An object that holds its weights returns `WeightsSource(self, "own", digest=...)`, where
        the digest is any text that is another for other weights.

        Raises:
            ValueError: If the path can't be its weights'.
            FileNotFoundError: If there is no such file.
        """

    def build(self, path: Path | None, layers: tuple[str, ...], dtype: str) -> keras.Model:
        """Builds the network with the weights of a file, or with those that it holds.

        Args:
            path: The source's.
            layers: As `check_layers` returns them.
            dtype: What the network computes in, "float32" or "bfloat16".

        Returns:
            A Keras model from float32 [B, H, W, 3], RGB, 0..255, to a dict of layer name to
            [B, H', W', N] in the dtype.

        Raises:
            ValueError: If the network doesn't compute in the dtype.
            WeightsError: If the file isn't the network's.
        """


@dataclass(frozen=True)
class WeightsSource:
    """Which network a run is measured by, and where its weights come from.

    Attributes:
        backbone: The network.
        origin: Who named the place: "weights argument", a variable such as "MNST_VGG19_WEIGHTS",
            "Keras cache", "download", "embedded", or "Keras model".
        path: The file; where it will be, if it has yet to be downloaded. None, if the backbone
            holds its weights itself.
        release: What the file has to be, and how to get it. None for a file of the user's.
        fallback: Takes this one's place where the file can't be downloaded.
        digest: Stands for the weights of a backbone without a file.
    """

    backbone: Backbone
    origin: str
    path: Path | None = None
    release: KerasFile | LiteFile | None = None
    fallback: WeightsSource | None = None
    digest: str | None = None

    @property
    def sha256(self) -> str | None:
        """SHA-256 of the file, in hex; the digest where there is none. The file has to be there."""
        return self.digest if self.path is None else sha256(self.path)

    def fetch(self) -> WeightsSource:
        """Returns a source whose file is there, after downloading it where that is needed.

        A file in Keras' cache whose hash is not that of Keras' own is downloaded again. Where the
        download fails, a warning says so, and the fallback is returned, if there is one.

        Raises:
            WeightsError: If the download fails, and the message says how to get the file by hand;
                or if the weights inside the package are damaged.
        """
        if self.release is None or self.path is None:
            return self
        try:
            self.release.fetch(self.path)
        except WeightsError as error:
            if self.fallback is None:
                instead = "" if self.origin == "embedded" else _OR_LITE
                raise WeightsError(f"{error}; {self.release.how_to_get}{instead}") from None
            warnings.warn(
                f"{error}, so the small {self.fallback.backbone.name} paints; `mnst info` says "
                f"how to get {self.release.network}",
                stacklevel=1 + calls_within_mnst(),
            )
            return self.fallback.fetch()
        return self

    def build(self, layers: Iterable[str], dtype: str) -> keras.Model:
        """Builds the network, from a source that `fetch` returned.

        See `Backbone.build`; the layers may be named in any order.
        """
        return self.backbone.build(self.path, self.backbone.check_layers(layers), dtype)


@dataclass(frozen=True)
class KerasFile:
    """Weights that Keras publishes, downloads and caches: of a network without its top.

    Attributes:
        network: Whose they are, as messages call it.
        address: Where Keras downloads them. The cache has them under the same file name.
        md5: Their hash, in hex.
        variable: Environment variable that may hold the path of such a file.
        timeout: Seconds of silence after which a download is given up.
    """

    network: str
    address: str
    md5: str
    variable: str
    timeout: float = 30

    @property
    def cached(self) -> Path:
        """Where Keras' cache has the file, or would have it."""
        home = user_path(os.environ.get("KERAS_HOME") or "~/.keras")
        return home / "models" / self.address.rpartition("/")[2]

    @property
    def how_to_get(self) -> str:
        """What to do where the file can't be downloaded."""
        return (
            f"get {self.address} on a machine that reaches it, and put it at {self.cached}, or "
            f"anywhere and name it by weights= (--weights) or by the variable {self.variable}"
        )

    def find(self, backbone: Backbone, weights: str | os.PathLike[str] | None) -> WeightsSource:
        """Returns the first of: the argument, the variable's file, Keras' cache, its download."""
        hint = f"; {self.network}'s weights are at {self.address}"
        if weights is not None:
            path = _existing_file(weights, "weights", hint)
            return WeightsSource(backbone, "weights argument", path)
        if named := os.environ.get(self.variable):
            path = _existing_file(named, self.variable, hint)
            return WeightsSource(backbone, self.variable, path)
        origin = "Keras cache" if self.cached.is_file() else "download"
        return WeightsSource(backbone, origin, self.cached, release=self)

    def fetch(self, path: Path) -> None:
        """Downloads the file, unless it is there already.

        Raises:
            WeightsError: If it can't be downloaded.
        """
        if path.is_file() and file_digest(path, "md5") == self.md5:
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with images.replacing(path) as file, _bar(self.address) as bar:
                images.download_into(
                    file,
                    self.address,
                    limit=_LARGEST,
                    seconds=_SECONDS,
                    timeout=self.timeout,
                    arrived=bar,
                )
                file.flush()
                if file_digest(file.name, "md5") != self.md5:
                    raise ValueError("what came is another file, by its hash")
        except (OSError, ValueError) as error:
            reason = error.reason if isinstance(error, images.DownloadError) else one_line(error)
            if path.is_file():
                reason += "; what lies in the cache is not Keras' file"
            raise WeightsError(f"{self.network}'s weights can't be downloaded ({reason})") from None


@contextlib.contextmanager
def _bar(address: str) -> Iterator[Callable[[int, int | None], None]]:
    """Shows a download on standard error; gives what to call with the bytes that have come."""
    with tqdm(desc=address, unit="B", unit_scale=True, unit_divisor=1024) as bar:

        def arrived(count: int, expected: int | None) -> None:
            bar.total = expected
            bar.update(count - bar.n)

        yield arrived


@dataclass(frozen=True)
class LiteFile:
    """A small network's weights, inside the package; docs/vgg19-lite.md tells of them."""

    path: Path
    sha256: str
    network: ClassVar[str] = "vgg19-lite"
    how_to_get: ClassVar[str] = "install mnst again (pip install --force-reinstall --no-deps mnst)"

    def find(self, backbone: Backbone, weights: str | os.PathLike[str] | None) -> WeightsSource:
        """Returns the argument, or the file inside the package."""
        if weights is None:
            return WeightsSource(backbone, "embedded", self.path, release=self)
        return WeightsSource(backbone, "weights argument", _existing_file(weights, "weights"))

    def fetch(self, path: Path) -> None:
        """Makes sure that the file is the one that was put into the package."""
        if not path.is_file() or sha256(path) != self.sha256:
            raise WeightsError(f"{path}: missing or damaged")


def _existing_file(path: str | os.PathLike[str], named_by: str, hint: str = "") -> Path:
    """Returns the path of a file that the user named; its absence is no reason to look further."""
    found = user_path(path)
    try:
        images.open_file(found).close()
    except OSError as error:
        raise type(error)(f"{one_line(error)}, but {named_by} names it{hint}") from None
    return found
