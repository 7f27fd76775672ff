"""Models from TensorFlow Hub: fetched whole or not at all, kept in its cache, and made to run.

SavedModels come through `tensorflow_hub`, `.tflite` files through LiteRT.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import shutil
import socket
import tarfile
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from mnst import __version__, images
from mnst.backend import tf, without_log_noise
from mnst.errors import WeightsError
from mnst.images import sha256
from mnst.networks.weights import socket_timeout

Run = Callable[[np.ndarray], np.ndarray]
"""From a square of bytes, uint8 [S, S, 3], to what the model says of it."""

TIMEOUT = 30  # seconds without a byte
RETRY_PAUSES = (1, 4, 16)  # seconds before another try
_GRAPH_FILES = ("saved_model.pb", "saved_model.pbtxt")


def cache_folder() -> Path:
    """Returns the folder where TensorFlow Hub keeps downloaded models."""
    default = Path(tempfile.gettempdir()) / "tfhub_modules"
    return Path(os.environ.get("TFHUB_CACHE_DIR") or default).expanduser()


def fetch(address: str, *, variable: str, instead: str = "") -> Path:
    """Returns the folder of a SavedModel or the path of a `.tflite` file.

    It is downloaded or unpacked where that is needed, and kept where TensorFlow Hub keeps its own.
    A server that refuses for the moment (403, 429, 5xx) or breaks off is asked again, after growing
    pauses.

    Args:
        address: An http(s) address, or the path of a folder, a `.tar.gz` or a `.tflite` file.
        variable: The environment variable that an error shall name.
        instead: What else an error shall propose.

    Raises:
        WeightsError: If the download fails (the message says how to do without), or what is there
            is no model.
    """
    if images.is_address(address):
        get = _download_lite if names_lite(address) else _resolve
        return _with_retries(get, address, variable, instead)
    path = Path(address).expanduser()
    if path.is_dir():
        return _checked(path)
    if tarfile.is_tarfile(path):
        return _unpack(path)
    with open(path, "rb") as file:
        if file.read(8)[4:] == b"TFL3":  # what a .tflite file begins with
            return path
    raise _not_a_model(path)


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
            with socket_timeout(TIMEOUT):
                return get(address)
        except ImportError:
            raise
        except Exception as error:  # the resolver raises what TensorFlow, tarfile and urllib raise
            reason, again = _failure(error)
        if pause is None or not again:
            break
        time.sleep(pause)
    place = cache_folder() / _key(address)
    by_hand = f"unpack it into {place}"
    if names_lite(address):
        by_hand = f"put it at {place}.tflite"
    raise WeightsError(
        f"{address} can't be downloaded ({reason}): get it on a machine that reaches it, and "
        f"{by_hand}, or leave it anywhere and name it by the variable {variable}, or to segment by "
        f"model= (--model)" + (f"; or {instead}" if instead else "")
    )


def _failure(error: Exception) -> tuple[str, bool]:
    """Returns what went wrong, in words, and whether to ask again."""
    if isinstance(error, urllib.error.HTTPError):
        error.close()
        return f"{error.code} {error.reason}", error.code in (403, 429) or error.code >= 500
    inner = getattr(error, "reason", error)
    text = " ".join(str(inner).split()) or type(inner).__name__
    if isinstance(inner, http.client.IncompleteRead):
        text = f"broken off after {len(inner.partial)} bytes"
    broken_off = (TimeoutError, ConnectionResetError, EOFError, http.client.HTTPException)
    return text, isinstance(inner, broken_off) or isinstance(error, _BrokenOffError)


class _BrokenOffError(OSError):
    """What came is not the whole of it."""


def _resolve(address: str) -> Path:
    """Lets tensorflow_hub download, unpack and cache a SavedModel."""
    hub = _tensorflow_hub()
    folder = cache_folder() / _key(address)
    _drop_lock_of_the_dead(folder)
    try:
        return _checked(Path(hub.resolve(address)))
    except WeightsError:
        # Hub keeps whatever was in the archive, and would never ask again.
        shutil.rmtree(folder, ignore_errors=True)
        folder.with_name(f"{folder.name}.descriptor.txt").unlink(missing_ok=True)
        raise _BrokenOffError("what came holds no SavedModel") from None
    except (tarfile.TarError, EOFError, tf.errors.OpError) as error:
        raise _BrokenOffError(f"what came is broken off or no model: {error}") from None
    except OSError as error:
        if "does not appear to be a valid module" in str(error):
            raise _BrokenOffError("what came is broken off or no model") from None
        raise


def _download_lite(address: str) -> Path:
    """Downloads a `.tflite` file beside tensorflow_hub's SavedModels."""
    path = cache_folder() / f"{_key(address)}.tflite"
    if path.is_file():
        return path
    asked = address
    if not urllib.parse.urlsplit(address).path.endswith(".tflite"):
        asked += ("&" if "?" in address else "?") + "lite-format=tflite"
    request = urllib.request.Request(asked, headers={"User-Agent": f"mnst/{__version__}"})
    with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
        data = response.read()
    try:
        _interpreter(model_content=data)
    except (RuntimeError, ValueError):
        raise _BrokenOffError("what came is broken off or no .tflite file") from None
    path.parent.mkdir(parents=True, exist_ok=True)
    images.write_atomically(path, data)
    return path


def _drop_lock_of_the_dead(folder: Path) -> None:
    """Removes the lock of a process that was killed here; Hub would wait for it for ten minutes."""
    lock = folder.with_name(f"{folder.name}.lock")
    if not lock.is_file():
        return
    host, _, rest = lock.read_text(errors="replace").rpartition(f"{socket.gethostname()}.")
    number, _, task = rest.partition(".")
    if host or not number.isdigit() or psutil.pid_exists(int(number)):
        return
    lock.unlink(missing_ok=True)
    shutil.rmtree(folder.with_name(f"{folder.name}.{task}.tmp"), ignore_errors=True)


def _unpack(archive: Path) -> Path:
    """Unpacks a SavedModel's archive into the cache, under its hash, and returns the folder."""
    folder = cache_folder() / sha256(archive)[:40]
    if folder.is_dir():
        return _checked(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as place:
        whole = Path(place) / "model"
        try:
            with tarfile.open(archive) as opened:
                opened.extractall(whole, filter="data")  # nothing outside, no devices
        except (tarfile.TarError, EOFError, OSError) as error:
            raise _unusable_model(archive, error) from None
        _checked(whole, archive).rename(folder)
    return folder


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
