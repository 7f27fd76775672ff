"""Processes of this machine that paint side by side, each with its share of the cores."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.connection import wait
from typing import Any

from mnst.backend import keep_memory
from mnst.checks import check_whole, shown
from mnst.engine.devices import cores

_THREADS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")


def check_processes(processes: Any, executor: Any) -> int | None:
    """Returns a number of processes, or says why it is none.

    Raises:
        ValueError: If it is out of range, or others are to paint as well.
    """
    if processes is None:
        return None
    if executor is not None:
        raise ValueError(
            f"processes is {shown(processes)}, and an executor was given, too: give one of them"
        )
    return check_whole("processes", processes)


@contextlib.contextmanager
def processes_here(count: int) -> Iterator[ProcessPoolExecutor]:
    """Lends as many processes as are asked for, which end with this one, however it ends."""
    threads = max(1, cores() // count)
    pool = ProcessPoolExecutor(
        count,
        mp_context=multiprocessing.get_context("spawn"),  # TensorFlow does not survive a fork
        initializer=_begin,
        initargs=(threads,),
    )
    try:
        yield pool
    finally:
        # Whoever was interrupted does not wait for runs that may take minutes yet.
        for process in list((pool._processes or {}).values()):
            process.kill()
        pool.shutdown()


def _begin(threads: int) -> None:
    """Makes a process ready, before it loads TensorFlow."""
    for name in _THREADS:
        os.environ.setdefault(name, str(threads))
    keep_memory()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one that gives out the runs
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Ends this process when the other has: one that was killed tells nobody."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
