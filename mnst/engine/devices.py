"""What TensorFlow runs on: the device, the precision that suits it, and why a GPU is not used."""

from __future__ import annotations

import functools
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Literal

from mnst.backend import tf
from mnst.checks import check_choice

Precision = Literal["float32", "bfloat16"]
PRECISIONS = ("auto", "float32", "bfloat16")
"""What `precision=` may be."""

_PATIENCE = 20  # seconds for the driver's tool, which takes some for its first answer


def device_name() -> str:
    """Returns what a run would compute on, such as "GPU NVIDIA H200" or "CPU AMD EPYC, 2 cores"."""
    details = _gpu_details()
    if details is not None:
        return f"GPU {details.get('device_name', 'of unknown name')}"
    return f"CPU {_cpu_name()}, {cores()} cores"


def cores() -> int:
    """Returns how many of the CPU's cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def resolve_precision(precision: str, of_network: str | None = None) -> Precision:
    """Returns what the network computes in; Gram matrices and losses are float32 always.

    Args:
        precision: One of `PRECISIONS`.
        of_network: What a network computes in that can't compute in anything else.

    "auto" is bfloat16 where the hardware multiplies it faster: CPUs with AMX or AVX512-BF16, GPUs
    from compute capability 8.0 (Ampere) on. Elsewhere bfloat16 is emulated and slower.
    """
    check_choice("precision", precision, PRECISIONS)
    if precision == "auto" and of_network is not None:
        precision = of_network
    if precision == "auto":
        return "bfloat16" if _has_bfloat16() else "float32"
    return "bfloat16" if precision == "bfloat16" else "float32"


def unused_gpus() -> list[str]:
    """Returns the names of this machine's GPUs that TensorFlow does not use; quick."""
    present = _nvidia_gpus()
    if sys.platform == "darwin" and platform.machine() == "arm64":
        present.append("Apple GPU")
    return present if present and not uses_gpu() else []


def why_unused() -> str:
    """Returns why TensorFlow does not use the GPU, and what to do; takes seconds."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None and (not visible or visible.startswith("-1")):
        return f"it is hidden by the environment variable CUDA_VISIBLE_DEVICES={visible!r}"
    if sys.platform == "win32":
        return "TensorFlow has had no GPU support on Windows itself since 2.11; use it in WSL2"
    if sys.platform == "darwin":
        return "tensorflow-metal does not work with TensorFlow 2.18 or newer"
    if not tf.test.is_built_with_cuda():
        return "this TensorFlow is built without CUDA; install mnst[gpu] in a fresh environment"
    return gpu_reason(_log_of_looking_for_gpus())


def gpu_reason(log: str) -> str:
    """Picks from TensorFlow's log of looking for GPUs what stood in the way.

    Example:
        >>> from mnst.engine.devices import gpu_reason
        >>> gpu_reason("I0000 00:00:1.2 7 cudart_stub.cc:31] Could not find cuda drivers.")
        'TensorFlow says "Could not find cuda drivers."; try pip install mnst[gpu]'
    """
    telling = re.findall(r"\] (.*(?:cuda|gpu|dlopen|cuInit|driver).*)", log, re.IGNORECASE)
    said = " ".join(dict.fromkeys(telling)) or "nothing about it"
    return f'TensorFlow says "{said}"; try pip install mnst[gpu]'


def _log_of_looking_for_gpus() -> str:
    # A fresh process: this one's TensorFlow has looked already, and keeps silent about it.
    looked = subprocess.run(
        [sys.executable, "-c", "import tensorflow as tf; tf.config.list_physical_devices('GPU')"],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    return looked.stderr


def _nvidia_gpus() -> list[str]:
    listed = "\n".join(_nvidia_smi("-L"))
    return re.findall(r"^GPU \d+: (.*?)(?: \(UUID.*)?$", listed, re.MULTILINE)


def _nvidia_smi(*arguments: str) -> list[str]:
    """Asks the driver's own tool, which is there on Linux and Windows wherever the driver is."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    try:
        asked = subprocess.run(
            [tool, *arguments], capture_output=True, text=True, check=False, timeout=_PATIENCE
        )
    except (OSError, subprocess.TimeoutExpired):  # it is broken, or the driver hangs
        return []
    return asked.stdout.splitlines()


def uses_gpu() -> bool:
    """Returns whether TensorFlow has a GPU to use."""
    return _gpu_details() is not None


def _gpu_details() -> dict[str, object] | None:
    """Returns TensorFlow's details of its first GPU, or None if it has none."""
    gpus = tf.config.list_physical_devices("GPU")
    return dict(tf.config.experimental.get_device_details(gpus[0])) if gpus else None


@functools.cache
def gpu_memory() -> int | None:
    """Returns the bytes of memory of the GPU; None if the driver doesn't say, or isn't NVIDIA's."""
    sizes = _nvidia_smi("--query-gpu=memory.total", "--format=csv,noheader,nounits")
    # Which of several GPUs TensorFlow has taken does not show here: the smallest is safe. Those
    # that share the machine's memory give "[N/A]".
    known = sizes and all(size.strip().isdecimal() for size in sizes)
    return min(map(int, sizes)) * 2**20 if known else None


def _has_bfloat16() -> bool:
    details = _gpu_details()
    if details is not None:
        capability = details.get("compute_capability")
        return isinstance(capability, tuple) and capability >= (8, 0)
    flags = set(_cpuinfo("flags").split())
    return bool(flags & {"amx_bf16", "avx512_bf16"})


def _cpu_name() -> str:
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def _cpuinfo(field: str) -> str:
    """Returns a field of Linux's /proc/cpuinfo, or "" where there is none."""
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text(errors="replace") if cpuinfo.is_file() else ""
    found = re.search(rf"^{field}\s*: (.*)$", text, re.MULTILINE)
    return found.group(1).strip() if found else ""
