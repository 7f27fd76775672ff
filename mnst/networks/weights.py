"""What a network has to say of itself, and where its weights come from."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import ClassVar, Protocol, runtime_checkable

from mnst import images
from mnst.backend import keras
from mnst.checks import user_path
from mnst.errors import WeightsError, calls_within_mnst, one_line
from mnst.images import sha256
from mnst.sources import files, hubs
from mnst.sources.releases import Release, release_at

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
            holds its weights itself, or a hub's own cache will have it.
        release: What the file has to be, and how to get it. None for a file of the user's.
        fallback: Takes this one's place where the file can't be downloaded.
        digest: Stands for the weights of a backbone without a file.
    """

    backbone: Backbone
    origin: str
    path: Path | None = None
    release: KerasFile | LiteFile | HubFile | None = None
    fallback: WeightsSource | None = None
    digest: str | None = None

    @property
    def sha256(self) -> str | None:
        """SHA-256 of the file, in hex; the digest where there is none. The file has to be there."""
        return self.digest if self.path is None else _sha256_of(self.path)

    @property
    def place(self) -> str:
        """Where the weights are, as messages say it: a path, or an address on a hub."""
        return str(self.release.address if isinstance(self.release, HubFile) else self.path)

    def fetch(self) -> WeightsSource:
        """Returns a source whose file is there, after downloading it where that is needed.

        A file in Keras' cache whose hash is not that of Keras' own is downloaded again. Where all
        downloads fail, a warning says so, and the fallback is returned, if there is one. Nothing
        takes the place of weights that the user named.

        Raises:
            WeightsError: If they fail, and the message says how to get the file by hand;
                or if the weights inside the package are damaged.
        """
        if self.release is None:
            return self
        try:
            return dataclasses.replace(self, path=self.release.fetch())
        except WeightsError as error:
            if self.fallback is None or isinstance(self.release, HubFile):
                instead = "" if self.origin == "embedded" else _OR_LITE
                raise WeightsError(f"{error}; {self.release.how_to_get}{instead}") from None
            warnings.warn(
                f"{error}, so the small {self.fallback.backbone.name} paints; `mnst info` says "
                f"how to get {self.release.network}",
                stacklevel=1 + calls_within_mnst(),
            )
            return self.fallback.fetch()

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
        release: Where they are published. The cache has them under the first address' file name.
        variable: Environment variable that may hold the path or the address of such a file.
        timeout: Seconds of silence after which a download is given up.
    """

    network: str
    release: Release
    variable: str
    timeout: float = 30

    @property
    def address(self) -> str:
        """Where Keras downloads them."""
        return self.release.addresses[0]

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

    def find(self, backbone: Backbone, weights: Path | str | None) -> WeightsSource:
        """Returns the first of: the argument, what the variable names, Keras' cache, a download."""
        hint = f"; {self.network}'s weights are at {self.address}"
        if weights is not None:
            return _named(backbone, weights, "weights argument", "weights", hint)
        if named := os.environ.get(self.variable):
            return _named(backbone, named, self.variable, self.variable, hint)
        origin = "Keras cache" if self.cached.is_file() else "download"
        return WeightsSource(backbone, origin, self.cached, release=self)

    def fetch(self) -> Path:
        """Returns the file's path, after downloading it unless it is there already.

        Raises:
            WeightsError: If it can't be downloaded.
        """
        path = self.cached
        if path.is_file():
            with contextlib.suppress(images.DownloadError):
                self.release.check(self.address, functools.partial(images.file_digest, path))
                return path

        def download(address: str) -> Path:
            try:
                return files.download(self.release, address, path, timeout=self.timeout)
            except images.DownloadError as error:
                if not path.is_file():
                    raise
                reason = f"{error.reason}; what lies in the cache is not Keras' file"
                raise images.DownloadError(address, reason) from None

        return self.release.fetch(download, ".h5")


@dataclass(frozen=True)
class HubFile:
    """Weights of the user's own choice, on Hugging Face or on Kaggle.

    Attributes:
        address: Where they are.
        named_by: What has named the address, as messages call it.
    """

    address: str
    named_by: str

    @property
    def how_to_get(self) -> str:
        """What to do where they can't be downloaded."""
        return f"get them on a machine that reaches them, and let {self.named_by} name the file"

    def fetch(self) -> Path:
        """Returns the file's path, after downloading it unless it is in the hub's cache.

        Raises:
            WeightsError: If it can't be downloaded.
        """
        path = release_at(self.address).fetch(Path, ending_of(self.address))
        if path.is_dir():
            raise WeightsError(f"{self.address}: is the folder {path}; name a file in it")
        return path


@dataclass(frozen=True)
class LiteFile:
    """A small network's weights, inside the package; docs/vgg19-lite.md tells of them."""

    path: Path
    sha256: str
    network: ClassVar[str] = "vgg19-lite"
    how_to_get: ClassVar[str] = "install mnst again (pip install --force-reinstall --no-deps mnst)"

    def find(self, backbone: Backbone, weights: Path | str | None) -> WeightsSource:
        """Returns the argument, or the file inside the package."""
        if weights is None:
            return WeightsSource(backbone, "embedded", self.path, release=self)
        return _named(backbone, weights, "weights argument", "weights")

    def fetch(self) -> Path:
        """Makes sure that the file is the one that was put into the package."""
        if not self.path.is_file() or _sha256_of(self.path) != self.sha256:
            raise WeightsError(f"{self.path}: missing or damaged")
        return self.path


def _sha256_of(path: Path) -> str:
    """Returns a file's SHA-256; weights are large, and read again only if they have changed."""
    found = path.stat()
    return _sha256_then(path, found.st_ino, found.st_size, found.st_mtime_ns)


@functools.lru_cache(maxsize=8)
def _sha256_then(path: Path, *_: int) -> str:
    return sha256(path)


def ending_of(weights: Path | str) -> str:
    """Returns how the name of a weights file ends; Keras' ending for a hub's model as a whole."""
    if isinstance(weights, str) and hubs.is_hub_address(weights):
        return PurePosixPath(hubs.parse("weights", weights).path).suffix or ".h5"
    return Path(weights).suffix


def _named(
    backbone: Backbone, weights: Path | str, origin: str, named_by: str, hint: str = ""
) -> WeightsSource:
    """Returns the source that the user named, a file or an address on a hub."""
    place = hubs.check_place(named_by, weights)
    if isinstance(place, str):
        return WeightsSource(backbone, origin, release=HubFile(place, named_by))
    return WeightsSource(backbone, origin, _existing_file(place, named_by, hint))


def _existing_file(path: str | os.PathLike[str], named_by: str, hint: str = "") -> Path:
    """Returns the path of a file that the user named; its absence is no reason to look further."""
    found = user_path(path)
    try:
        images.open_file(found).close()
    except OSError as error:
        raise type(error)(f"{one_line(error)}, but {named_by} names it{hint}") from None
    return found
