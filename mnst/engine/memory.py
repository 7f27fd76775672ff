"""How much memory a run may take: what is free on this machine, in its containers, on its GPU."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil

from mnst.backend import keeps_memory, tf
from mnst.engine import devices
from mnst.errors import calls_within_mnst

PROCESS = 960_000_000
"""Bytes of the process with its network, as benchmarks/large.py measures them on a CPU."""

_OWN_GROUPS = Path("/proc/self/cgroup")
_ALL_GROUPS = Path("/sys/fs/cgroup")


class _Files(NamedTuple):
    """What the files of a control group are called."""

    limit: str
    used: str
    reclaimable: tuple[str, ...]  # in memory.stat


# The pages of files count as used, though the kernel gives them up as soon as memory is asked for.
_V2 = _Files("memory.max", "memory.current", ("inactive_file", "active_file", "slab_reclaimable"))
_V1 = _Files(
    "memory.limit_in_bytes", "memory.usage_in_bytes", ("total_inactive_file", "total_active_file")
)


def memory_limit() -> int:
    """Returns how many bytes a run may take, if nobody says: most of what is free.

    On a GPU that is most of the GPU's, since TensorFlow takes it for itself at the start; where
    its size can't be found out, a warning says so, and it is planned as on a CPU.
    """
    if devices.uses_gpu():
        of_gpu = devices.gpu_memory()
        if of_gpu is not None:
            return int(0.9 * of_gpu)
        warnings.warn(
            "how much memory the GPU has is unknown, so the machine's own is planned with; "
            "say it by memory=, as in memory='16GB'",
            stacklevel=1 + calls_within_mnst(),
        )
    free = min([psutil.virtual_memory().available, *_left_to_groups()])
    # Of what a plan counts, the process and its network are there already. All else that this
    # process holds, such as a user's arrays, stays where it is, and is not free.
    there = min(psutil.Process().memory_info().rss, PROCESS)
    return max(int(0.9 * free) + there + _kept(), 1)


def _kept() -> int:
    """Returns how many bytes TensorFlow keeps, and computes with next; see `keep_memory`."""
    if not keeps_memory():
        return 0
    try:
        held = tf.config.experimental.get_memory_info("CPU:0")
    except ValueError:  # it was told too late, and gives them back
        return 0
    return int(held["peak"] - held["current"])


def _left_to_groups() -> Iterator[int]:
    """Yields what Linux leaves to each control group that this process is in, if it is limited."""
    for place, files in _groups():
        try:
            limit, used = (int((place / name).read_text()) for name in (files.limit, files.used))
            counted = dict(
                line.split() for line in (place / "memory.stat").read_text().splitlines()
            )
        except (OSError, ValueError):  # no such files, or the limit is "max"
            continue
        yield limit - used + sum(int(counted.get(name, 0)) for name in files.reclaimable)


def _groups() -> Iterator[tuple[Path, _Files]]:
    """Yields the control groups of this process, each from its own up to the outermost.

    A container may see itself as the root, or a path that only its host has: what isn't there is
    passed over.
    """
    listed = _OWN_GROUPS.read_text().splitlines() if _OWN_GROUPS.is_file() else []
    for line in listed:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        root, files = (_ALL_GROUPS / "memory", _V1) if controllers else (_ALL_GROUPS, _V2)
        own = root / os.path.normpath("/" + path).lstrip("/")
        for place in (own, *own.parents):
            if place.is_relative_to(root):
                yield place, files
