"""Models that label pixels, made to run.

SavedModels come through `tensorflow_hub`, `.tflite` files through LiteRT.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mnst.backend import tf, without_log_noise
from mnst.errors import WeightsError
from mnst.images import sha256
from mnst.sources.tfhub import GRAPH_FILES, lite_interpreter, unusable_model

Run = Callable[[np.ndarray], np.ndarray]
"""From a square of bytes, uint8 [S, S, 3], to what the model says of it."""


def fingerprint(path: Path) -> str:
    """Returns the SHA-256 of a `.tflite` file, or of a SavedModel's graph."""
    graphs = [path / part for part in GRAPH_FILES if (path / part).is_file()]
    return sha256(graphs[0] if graphs else path)


def load(
    path: Path, *, size: int | None = None, scaling: tuple[float, float] | None = None
) -> tuple[Run, int]:
    """Loads a model that takes one square picture.

    Args:
        path: What `mnst.sources.tfhub.fetch` gave.
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
        raise unusable_model(path, error) from None
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
        interpreter = lite_interpreter(model_path=str(path))
        (image,) = interpreter.get_input_details()
    except (RuntimeError, ValueError) as error:
        raise unusable_model(path, error) from None
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


def _tensorflow_hub() -> Any:
    _ = tf.__version__  # loads TensorFlow, without its noise

    with warnings.catch_warnings(), without_log_noise():
        warnings.simplefilter("ignore")  # it imports pkg_resources, which setuptools deprecates
        import tensorflow_hub
    return tensorflow_hub
