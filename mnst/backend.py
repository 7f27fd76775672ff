"""TensorFlow and Keras, imported when something of them is first asked for, and in silence.

Every room takes `tf` and `keras` from here, at its top like any import. Importing the room costs
nothing: all that a user gives is checked before TensorFlow is loaded, which takes seconds. `keras`
alone runs on any of its backends; `tf` is for what paints, and needs Keras on TensorFlow.

TensorFlow writes lines about CPU instructions and missing CUDA drivers to the C++ standard error,
some of them before it looks at TF_CPP_MIN_LOG_LEVEL. They are kept back during the import; every
other line still comes through. Where TF_CPP_MIN_LOG_LEVEL asks for more, nothing is touched.
`mnst info` tells what those lines would have told about a GPU.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, NoReturn

_LOG_NOISE = re.compile(
    rb"WARNING: All log messages before absl::InitializeLog"
    rb"|To enable the following instructions:"
    rb"|[IWE]\d{4} \d\d:\d\d:"  # absl: I0000 00:00:1795216468.357475 2162 port.cc:153] ...
    rb"|INFO: Created TensorFlow Lite "  # LiteRT, about its own CPU kernels
    rb"|\d{4}-\d\d-\d\d \d\d:\d\d:[\d.]+: [IWE] "  # TensorFlow up to 2.18
)


@contextlib.contextmanager
def without_log_noise() -> Iterator[None]:
    """Holds back what is written to file descriptor 2, and passes on all but the noise."""
    # Processes that this one starts inherit the 3, and are to be as quiet.
    if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") != "3":
        yield
        return
    try:
        stderr = os.dup(2)
    except OSError:  # a process without standard error has no noise either
        yield
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            held.seek(0)
            kept = b"".join(line for line in held if not _LOG_NOISE.match(line))
            if kept:
                os.write(2, kept)


class _LateModule(ModuleType):
    """Stands for a module that `load` imports when its first attribute is asked for."""

    def __init__(self, name: str, load: Callable[[], Any]) -> None:
        super().__init__(name)
        self._load = load

    def __getattr__(self, name: str) -> Any:
        return getattr(self._load(), name)


@functools.cache
def _load_keras() -> Any:
    # Painting needs TensorFlow (GradientTape, tf.function), whatever ~/.keras/keras.json says.
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    with without_log_noise():
        import keras
    return keras


@functools.cache
def _load_tensorflow() -> Any:
    name = _load_keras().config.backend()
    if name != "tensorflow":
        raise RuntimeError(
            f"mnst needs Keras on TensorFlow, but this process runs Keras on {name}: unset "
            f"KERAS_BACKEND, or set it to tensorflow, before keras is imported"
        )
    with without_log_noise():
        import tensorflow
    return tensorflow


keras: Any = _LateModule("keras", _load_keras)
tf: Any = _LateModule("tensorflow", _load_tensorflow)


def _refuse() -> NoReturn:
    raise RuntimeError(
        "this process was forked from one in which TensorFlow is loaded, and would hang: start it "
        "with multiprocessing.get_context('spawn')"
    )


def _after_fork() -> None:
    """TensorFlow's threads are not forked, and its first operation would wait for them."""
    if "tensorflow" in sys.modules:
        for module in (keras, tf):
            module._load = _refuse


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_after_fork)
