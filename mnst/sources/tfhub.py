"""SavedModels and `.tflite` files: fetched whole or not at all, kept with their hashes.

They come as TensorFlow Hub gives them, from any http(s) address, from a hub, or from a path.
"""

from __future__ import annotations

import contextlib
import functools
import gzip
import hashlib
import lzma
import os
import shutil
import tarfile
import tempfile
import time
import urllib.parse
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from mnst import images
from mnst.backend import without_log_noise
from mnst.checks import user_path
from mnst.errors import WeightsError, calls_within_mnst, one_line
from mnst.images import sha256
from mnst.sources import hubs
from mnst.sources.releases import Release, release_at

TIMEOUT = 30  # seconds without a byte
SECONDS = 3600  # that a model may take in all
LARGEST = 2**31  # bytes of a model, packed or unpacked
RETRY_PAUSES = (1, 4, 16)  # seconds before another try
_BROKEN = (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError, ValueError)
GRAPH_FILES = ("saved_model.pb", "saved_model.pbtxt")


def cache_folder() -> Path:
    """Returns the folder where downloaded models are kept: TensorFlow Hub's own, if it is set.

    Hub's default is in the folder for temporary files, where everybody may put another model.
    """
    named = os.environ.get("TFHUB_CACHE_DIR")
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return user_path(named) if named else user_path(home) / "mnst" / "models"


def fetch(place: str, *, variable: str, instead: str = "") -> Path:
    """Returns the folder of a SavedModel or the path of a `.tflite` file.

    It is downloaded or unpacked where that is needed, and kept in `cache_folder`, or in a hub's own
    cache. What lies in `cache_folder` is compared with the hash that it had at first, and fetched
    again, with a warning, if it has changed. A server that refuses for the moment (403, 429, 5xx)
    or breaks off is asked again, after growing pauses; after that, the release's next address is.

    Args:
        place: An http(s) address or one on a hub, or the path of a folder, a `.tar.gz` or a
            `.tflite` file.
        variable: The environment variable that an error shall name.
        instead: What else an error shall propose.

    Raises:
        WeightsError: If all downloads fail (the message says how to do without), or what is there
            is no model.
        OSError: If the path is no regular file, or can't be opened.
    """
    if not is_published(place):
        return _opened(user_path(place))
    release = release_at(place)
    try:
        found = release.fetch(functools.partial(_download, release), ".tflite")
    except WeightsError as error:
        raise WeightsError(
            f"{error}: get it on a machine that reaches it, and {_by_hand(place)} and name it by "
            f"the variable {variable}, or to segment by model= (--model)"
            + (f"; or {instead}" if instead else "")
        ) from None
    return _opened(found)


def is_published(place: str) -> bool:
    """True for addresses, false for paths."""
    return images.is_address(place) or hubs.is_hub_address(place)


def _opened(path: Path) -> Path:
    """Returns a folder, a `.tflite` file, or the folder that an archive was unpacked into."""
    if path.is_dir():
        return _checked(path)
    with images.open_file(path) as file:
        if file.read(8)[4:] == b"TFL3":  # what a .tflite file begins with
            return path
        file.seek(0)
        if not tarfile.is_tarfile(file):
            raise _not_a_model(path)
        file.seek(0)
        folder = cache_folder() / sha256(path)[:40]
        try:
            return _kept(folder) or _unpack(file, folder, path)
        except (*_BROKEN, OSError) as error:
            raise unusable_model(path, error) from None


def names_lite(address: str) -> bool:
    """True for addresses and paths of `.tflite` files."""
    path = urllib.parse.urlsplit(address).path.lower()
    return path.endswith(".tflite") or "/lite-model/" in path or "/tflite/" in path


def lite_interpreter(**source: Any) -> Any:
    """Makes LiteRT's interpreter of a model, given as `model_path` or `model_content`."""
    with without_log_noise():
        from ai_edge_litert.interpreter import Interpreter

        return Interpreter(num_threads=os.cpu_count(), **source)


# Downloads


def _download(release: Release, address: str) -> Path:
    """Asks again where that may help; whatever stands against it becomes a DownloadError."""
    get = _download_lite if names_lite(address) else _download_archive
    for pause in (*RETRY_PAUSES, None):
        try:
            return get(release, address)
        except (images.DownloadError, _NoModelError) as error:
            reason, again = error.reason, error.again
        except (OSError, ValueError) as error:
            reason, again = one_line(error), False
        if pause is None or not again:
            break
        time.sleep(pause)
    raise images.DownloadError(address, reason)


def _by_hand(address: str) -> str:
    """Says where else a model may be put."""
    if hubs.is_hub_address(address):
        return "leave it anywhere"
    place = cache_folder() / _key(address)
    put = f"put it at {place}.tflite" if names_lite(address) else f"unpack it into {place}"
    return f"{put}, or leave it anywhere"


class _NoModelError(Exception):
    """What came is no model, or not the whole of it."""

    def __init__(self, reason: str) -> None:
        self.reason = f"what came {reason}"
        self.again = True


def _download_archive(release: Release, address: str) -> Path:
    """Downloads and unpacks a SavedModel; tensorflow_hub looks for it in the same place."""
    folder = cache_folder() / _key(address)
    if kept := _kept(folder):
        return kept
    with _downloaded(address, "tf-hub-format=compressed") as file:
        try:
            return _unpack(file, folder, folder)
        except WeightsError:
            raise _NoModelError("holds no SavedModel") from None
        except _BROKEN as error:
            raise _NoModelError(f"is broken off or no model: {one_line(error)}") from None


def _download_lite(release: Release, address: str) -> Path:
    """Downloads a `.tflite` file."""
    path = cache_folder() / f"{_key(address)}.tflite"
    if kept := _kept(path):
        return kept
    whole_name = urllib.parse.urlsplit(address).path.endswith(".tflite")
    with _downloaded(address, "" if whole_name else "lite-format=tflite") as file:
        data = file.read()
    try:
        lite_interpreter(model_content=data)
    except (RuntimeError, ValueError):
        raise _NoModelError("is broken off or no .tflite file") from None
    release.check(address, lambda algorithm: hashlib.new(algorithm, data).hexdigest())
    images.write_atomically(_record(path), hashlib.sha256(data).hexdigest().encode())
    images.write_atomically(path, data)
    return path


@contextlib.contextmanager
def _downloaded(address: str, query: str) -> Iterator[BinaryIO]:
    """Downloads into a file without a name, of which nothing is left if the process is killed."""
    cache_folder().mkdir(parents=True, exist_ok=True)
    asked = f"{address}{'&' if '?' in address else '?'}{query}" if query else address
    with tempfile.TemporaryFile(dir=cache_folder()) as file:
        images.download_into(file, asked, limit=LARGEST, seconds=SECONDS, timeout=TIMEOUT)
        file.seek(0)
        yield file


def _unpack(file: BinaryIO, folder: Path, source: Path) -> Path:
    """Unpacks a SavedModel's archive into a folder; `source` is what an error names."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as place:
        whole = Path(place) / "model"
        whole.mkdir()
        with tarfile.open(fileobj=file) as archive:
            _extract(archive, whole)
        _checked(whole, source)
        images.write_atomically(_record(folder), _digest(whole).encode())
        with contextlib.suppress(OSError):  # another process was faster, and has the same
            whole.rename(folder)
    return _checked(folder)


def _extract(archive: tarfile.TarFile, folder: Path) -> None:
    """Writes an archive's files and folders; a SavedModel has nothing else, such as links.

    `extractall` can be told to refuse the rest from Python 3.10.12 on only, and knows no limit.
    """
    room = LARGEST
    for member in archive:
        parts = PurePosixPath(member.name).parts
        room -= member.size
        if member.name.startswith("/") or ".." in parts or "\\" in member.name or room < 0:
            raise tarfile.ReadError(f"{member.name} lies outside, or is too large")
        path = folder.joinpath(*parts)
        if member.isdir():
            path.mkdir(parents=True, exist_ok=True)
            continue
        source = archive.extractfile(member) if member.isfile() else None
        if source is None:
            raise tarfile.ReadError(f"{member.name} is neither a file nor a folder")
        path.parent.mkdir(parents=True, exist_ok=True)
        with source, open(path, "xb") as target:
            shutil.copyfileobj(source, target)


def _kept(path: Path) -> Path | None:
    """Returns what lies in the cache, if it is as it was when it was put there.

    What was put there by hand, or by tensorflow_hub, is believed the first time.
    """
    if not path.exists():
        return None
    record, digest = _record(path), _digest(path)
    if not record.exists():
        images.write_atomically(record, digest.encode())
    with images.open_file(record) as file:
        if file.read(80).decode(errors="replace").strip() == digest:
            return path if path.is_file() else _checked(path)
    warnings.warn(
        f"{path}: has changed since it was put there, and is replaced",
        stacklevel=1 + calls_within_mnst(),
    )
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    return None


def _record(path: Path) -> Path:
    """Where the hash of a model in the cache is kept."""
    return path.with_name(f"{path.name}.sha256")


def _digest(path: Path) -> str:
    """Returns the SHA-256 of a file, or of the names and the contents of a folder's files."""
    if path.is_file():
        return sha256(path)
    digest = hashlib.sha256()
    for each in sorted(path.rglob("*")):
        if not each.is_dir():
            digest.update(f"{each.relative_to(path).as_posix()}\0{sha256(each)}\n".encode())
    return digest.hexdigest()


def _key(address: str) -> str:
    """Names a model in the cache as tensorflow_hub does."""
    return hashlib.sha1(address.encode(), usedforsecurity=False).hexdigest()


def _checked(folder: Path, source: Path | None = None) -> Path:
    if not any((folder / part).is_file() for part in GRAPH_FILES):
        raise _not_a_model(source or folder)
    return folder


def _not_a_model(path: Path) -> WeightsError:
    return WeightsError(
        f"{path}: not a model; give a SavedModel's folder, its .tar.gz, or a .tflite file"
    )


def unusable_model(path: Path, error: Exception) -> WeightsError:
    """Says of a model's files that they can't be used, and why."""
    reason = " ".join(str(error).split()) or type(error).__name__
    return WeightsError(f"{path}: can't be used as a model ({reason}); get a whole copy of it")
