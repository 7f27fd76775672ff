"""Models from TensorFlow Hub: fetched whole or not at all, kept with their hashes, made to run.

SavedModels come through `tensorflow_hub`, `.tflite` files through LiteRT.
"""

from __future__ import annotations

import contextlib
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
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import numpy as np

from mnst import images
from mnst.backend import tf, without_log_noise
from mnst.checks import user_path
from mnst.errors import WeightsError, calls_within_mnst, one_line
from mnst.images import sha256

Run = Callable[[np.ndarray], np.ndarray]
"""From a square of bytes, uint8 [S, S, 3], to what the model says of it."""

TIMEOUT = 30  # seconds without a byte
SECONDS = 3600  # that a model may take in all
LARGEST = 2**31  # bytes of a model, packed or unpacked
RETRY_PAUSES = (1, 4, 16)  # seconds before another try
_BROKEN = (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError, ValueError)
_GRAPH_FILES = ("saved_model.pb", "saved_model.pbtxt")


def cache_folder() -> Path:
    """Returns the folder where downloaded models are kept: TensorFlow Hub's own, if it is set.

    Hub's default is in the folder for temporary files, where everybody may put another model.
    """
    named = os.environ.get("TFHUB_CACHE_DIR")
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return user_path(named) if named else user_path(home) / "mnst" / "models"


def fetch(address: str, *, variable: str, instead: str = "") -> Path:
    """Returns the folder of a SavedModel or the path of a `.tflite` file.

    It is downloaded or unpacked where that is needed, and kept in `cache_folder`. What lies there
    is compared with the hash that it had at first, and fetched again, with a warning, if it has
    changed. A server that refuses for the moment (403, 429, 5xx) or breaks off is asked again,
    after growing pauses.

    Args:
        address: An http(s) address, or the path of a folder, a `.tar.gz` or a `.tflite` file.
        variable: The environment variable that an error shall name.
        instead: What else an error shall propose.

    Raises:
        WeightsError: If the download fails (the message says how to do without), or what is there
            is no model.
        OSError: If the path is no regular file, or can't be opened.
    """
    if images.is_address(address):
        get = _download_lite if names_lite(address) else _download_archive
        return _with_retries(get, address, variable, instead)
    path = user_path(address)
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
            raise _unusable_model(path, error) from None


def fingerprint(path: Path) -> str:
    """Returns the SHA-256 of a `.tflite` file, or of a SavedModel's graph."""
    graphs = [path / part for part in _GRAPH_FILES if (path / part).is_file()]
    return sha256(graphs[0] if graphs else path)


def load(
    path: Path, *, size: int | None = None, scaling: tuple[float, float] | None = None
) -> tuple[Run, int]:
    """Loads a model that takes one square picture.

    Args:
        path: What `fetch` gave.
        size: The side of its input, in pixels; None is what the file says.
        scaling: (d, s), where its input is pixels / d + s; None is right for files that take bytes.

    Returns:
        The model as a function, and its input's side.

    Raises:
        WeightsError: If it can't be loaded, or takes something else than a picture.
        ValueError: If the file does not say size or scaling, and they aren't given either.
    """
    return (_load_saved_model if path.is_dir() else _load_lite)(path, size, scaling)


def _load_saved_model(
    path: Path, size: int | None, scaling: tuple[float, float] | None
) -> tuple[Run, int]:
    try:
        loaded = _tensorflow_hub().load(str(path))
        signatures = loaded.signatures
        signature = signatures.get("serving_default") or next(iter(signatures.values()))
        ((name, spec),) = signature.structured_input_signature[1].items()
        shape = spec.shape.as_list()
    except Exception as error:  # TensorFlow raises anything on a damaged file
        raise _unusable_model(path, error) from None
    kind = spec.dtype.as_numpy_dtype
    side = _input_side(path, shape, size)
    _check_scaling(path, np.dtype(kind), scaling)

    def run(square: np.ndarray, loaded: Any = loaded) -> np.ndarray:  # which must stay alive
        inputs = {name: tf.constant(_model_input(square, kind, scaling)[np.newaxis])}
        output: np.ndarray = next(iter(signature(**inputs).values())).numpy()[0]
        return output

    return run, side


def _load_lite(
    path: Path, size: int | None, scaling: tuple[float, float] | None
) -> tuple[Run, int]:
    try:
        interpreter = _interpreter(model_path=str(path))
        (image,) = interpreter.get_input_details()
    except (RuntimeError, ValueError) as error:
        raise _unusable_model(path, error) from None
    side = _input_side(path, list(image["shape_signature"]), size)
    interpreter.resize_tensor_input(image["index"], [1, side, side, 3])
    with without_log_noise():
        interpreter.allocate_tensors()
    _check_scaling(path, np.dtype(image["dtype"]), scaling)
    labels = interpreter.get_output_details()[0]

    def run(square: np.ndarray) -> np.ndarray:
        values = _model_input(square, image["dtype"], scaling, *image["quantization"])
        interpreter.set_tensor(image["index"], values[np.newaxis])
        interpreter.invoke()
        output: np.ndarray = interpreter.get_tensor(labels["index"])[0]
        return output

    return run, side


def names_lite(address: str) -> bool:
    """True for addresses and paths of `.tflite` files."""
    path = urllib.parse.urlsplit(address).path.lower()
    return path.endswith(".tflite") or "/lite-model/" in path or "/tflite/" in path


def _interpreter(**source: Any) -> Any:
    """Makes LiteRT's interpreter of a model, given as `model_path` or `model_content`."""
    with without_log_noise():
        from ai_edge_litert.interpreter import Interpreter

        return Interpreter(num_threads=os.cpu_count(), **source)


def _input_side(path: Path, shape: list[int | None], size: int | None) -> int:
    """Returns the input's side, from the file or, where that leaves it open, from `size`."""
    if len(shape) != 4 or shape[3] != 3:
        raise WeightsError(f"{path}: takes {shape}; give a model of pictures, [1, S, S, 3]")
    known = {side for side in shape[1:3] if side is not None and side > 0}
    if len(known) > 1 or (known and size not in (None, *known)):
        wanted = "a square one" if len(known) > 1 else f"size={known.pop()}"
        raise ValueError(f"{path}: takes pictures of {shape[1]} x {shape[2]}; give {wanted}")
    if not known and size is None:
        raise ValueError(
            f"{path}: doesn't say its input's size; give a SegmentationModel with size"
        )
    return int(size or known.pop())


def _check_scaling(path: Path, kind: np.dtype[Any], scaling: object) -> None:
    if kind.kind == "f" and scaling is None:
        raise ValueError(
            f"{path}: takes floats, but nobody says of which range; give a SegmentationModel with "
            f"scaling, such as (127.5, -1) for pixels / 127.5 - 1"
        )


def _model_input(
    square: np.ndarray,
    kind: Any,
    scaling: tuple[float, float] | None,
    step: float = 0.0,
    zero: int = 0,
) -> np.ndarray:
    """Brings bytes to a model's input; `step` and `zero` are a quantised file's own."""
    if np.dtype(kind).kind == "f":
        assert scaling is not None
        return (square / scaling[0] + scaling[1]).astype(kind)
    if np.dtype(kind) == np.uint8:  # as all converters have it: 0..255 is the whole range
        return square
    if scaling is not None and step:
        bounds = np.iinfo(kind)
        values = np.rint((square / scaling[0] + scaling[1]) / step + zero)
        return values.clip(bounds.min, bounds.max).astype(kind)
    return square.astype(kind)


# Downloads


def _with_retries(get: Callable[[str], Path], address: str, variable: str, instead: str) -> Path:
    """Asks again where that may help; whatever stands against it becomes one line."""
    for pause in (*RETRY_PAUSES, None):
        try:
            return get(address)
        except (images.DownloadError, _NoModelError) as error:
            reason, again = error.reason, error.again
        except (OSError, ValueError) as error:
            reason, again = one_line(error), False
        if pause is None or not again:
            break
        time.sleep(pause)
    place = cache_folder() / _key(address)
    by_hand = f"unpack it into {place}"
    if names_lite(address):
        by_hand = f"put it at {place}.tflite"
    raise WeightsError(
        f"{images.describe(address)} can't be downloaded ({reason}): get it on a machine that "
        f"reaches it, and {by_hand}, or leave it anywhere and name it by the variable {variable}, "
        f"or to segment by model= (--model)" + (f"; or {instead}" if instead else "")
    )


class _NoModelError(Exception):
    """What came is no model, or not the whole of it."""

    def __init__(self, reason: str) -> None:
        self.reason = f"what came {reason}"
        self.again = True


def _download_archive(address: str) -> Path:
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


def _download_lite(address: str) -> Path:
    """Downloads a `.tflite` file."""
    path = cache_folder() / f"{_key(address)}.tflite"
    if kept := _kept(path):
        return kept
    whole_name = urllib.parse.urlsplit(address).path.endswith(".tflite")
    with _downloaded(address, "" if whole_name else "lite-format=tflite") as file:
        data = file.read()
    try:
        _interpreter(model_content=data)
    except (RuntimeError, ValueError):
        raise _NoModelError("is broken off or no .tflite file") from None
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
    if not any((folder / part).is_file() for part in _GRAPH_FILES):
        raise _not_a_model(source or folder)
    return folder


def _not_a_model(path: Path) -> WeightsError:
    return WeightsError(
        f"{path}: not a model; give a SavedModel's folder, its .tar.gz, or a .tflite file"
    )


def _unusable_model(path: Path, error: Exception) -> WeightsError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return WeightsError(f"{path}: can't be used as a model ({reason}); get a whole copy of it")


def _tensorflow_hub() -> Any:
    _ = tf.__version__  # loads TensorFlow, without its noise

    with warnings.catch_warnings(), without_log_noise():
        warnings.simplefilter("ignore")  # it imports pkg_resources, which setuptools deprecates
        import tensorflow_hub
    return tensorflow_hub
