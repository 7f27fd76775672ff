"""TensorFlow and Keras, imported when something of them is first asked for, and in silence.

Every room takes `tf` and `keras` from here, at its top like any import. Importing the room costs
nothing: all that a user gives is checked before TensorFlow is loaded, which takes seconds. `keras`
alone runs on any of its backends; `tf` is for what paints, and needs Keras on TensorFlow.

TensorFlow writes lines about CPU instructions and missing CUDA drivers to the C++ standard error,
some of them before it looks at TF_CPP_MIN_LOG_LEVEL. They are left out; every other line still
comes through. Where TF_CPP_MIN_LOG_LEVEL asks for more, nothing is touched. `mnst info` tells what
those lines would have told about a GPU.
"""

from __future__ import annotations

import contextlib
import functools
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, NoReturn

import psutil

_LOG_NOISE = (
    r"WARNING: All log messages before absl::InitializeLog"
    r"|To enable the following instructions:"
    r"|[IWE]\d{4} \d\d:\d\d:"  # absl: I0000 00:00:1795216468.357475 2162 port.cc:153] ...
    r"|INFO: Created TensorFlow Lite "  # LiteRT, about its own CPU kernels
    r"|\d{4}-\d\d-\d\d \d\d:\d\d:[\d.]+: [IWE] "  # TensorFlow up to 2.18
)


# What passes lines on. It imports no more than it needs, and so is there before TensorFlow speaks.
_FILTER = """
import os, re, sys
noise = re.compile(sys.argv[1].encode())
for line in sys.stdin.buffer:
    if not noise.match(line):
        os.write(2, line)
"""


@contextlib.contextmanager
def without_log_noise() -> Iterator[None]:
    """Passes on what is written to file descriptor 2, but for the noise.

    It goes through a pipe to a process of its own, which takes 0.02 s. A file that is read
    afterwards, or a thread of this process, would keep back what a TensorFlow that aborts has to
    say: then nobody here reads it any more.

    TF_CPP_MIN_LOG_LEVEL is set meanwhile, when TensorFlow looks at it, and not left so: what this
    process is, and the processes that it starts, is for the program to say. Those of mnst come by
    here themselves.
    """
    level = os.environ.get("TF_CPP_MIN_LOG_LEVEL")
    if level not in (None, "3"):
        yield
        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    try:
        with _filtered_stderr():
            yield
    finally:
        if level is None:
            os.environ.pop("TF_CPP_MIN_LOG_LEVEL", None)


@contextlib.contextmanager
def _filtered_stderr() -> Iterator[None]:
    if getattr(sys, "frozen", False):  # then sys.executable is no Python
        yield
        return
    try:
        stderr = os.dup(2)
    except OSError:  # a process without standard error has no noise either
        yield
        return
    try:
        # A session of its own: Ctrl-C is for this process, whose words it still passes on.
        passing_on = subprocess.Popen(
            [sys.executable, "-ISc", _FILTER, _LOG_NOISE],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:  # where no process may be started, noise is the lesser evil
        os.close(stderr)
        yield
        return
    assert passing_on.stdin is not None
    os.dup2(passing_on.stdin.fileno(), 2)
    passing_on.stdin.close()
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        # Not for ever: who was started meanwhile, and goes on, still speaks through it.
        end = threading.Thread(target=passing_on.wait, daemon=True)
        end.start()
        end.join(5)


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


def keep_memory() -> None:
    """Lets TensorFlow keep the CPU's memory from one operation to the next, until the process ends.

    Else each large tensor goes back to the system, which clears the next one page by page: that is
    a fifth of a step. It is for processes that end with what they paint, and before TensorFlow is
    loaded. Of a machine that has more than 64 GiB TensorFlow would take no more, without a limit.
    """
    os.environ.setdefault("TF_CPU_ALLOCATOR_USE_BFC", "true")
    limit = psutil.virtual_memory().total >> 20  # in MiB
    os.environ.setdefault("TF_CPU_BFC_MEM_LIMIT_IN_MB", str(limit))


def keeps_memory() -> bool:
    """Returns whether TensorFlow was told so, by `keep_memory` or by the user."""
    return os.environ.get("TF_CPU_ALLOCATOR_USE_BFC", "").lower() in ("1", "true")


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
