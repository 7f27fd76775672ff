"""Where runs are painted: in this process, or by any executor, a bounded number of them at once."""

from __future__ import annotations

import functools
import itertools
import multiprocessing
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    ProcessPoolExecutor,
    wait,
)
from typing import Any, Protocol

from mnst.checks import shown
from mnst.errors import WeightsError, tell
from mnst.painting.result import Result
from mnst.recipes import Recipe
from mnst.sweeping.course import Shared, Task
from mnst.sweeping.photos import Photo
from mnst.sweeping.worker import Worker

_KILLED = "a worker of the executor was killed, or ended by itself: it may have run out of memory"
_DROPPED = "the executor has dropped its runs: its scheduler may be gone; sweep again to go on"
_UNKNOWN = 256  # runs that are given to an executor that does not say how many workers it has

Outcome = tuple[Task, Result | Exception]


class Painter(Protocol):
    """What a sweep asks of whoever paints."""

    def open(
        self, shared: Shared, photo: Photo, recipes: Sequence[Recipe], gammas: Sequence[Any]
    ) -> str | Exception:
        """Opens scenes; see `Worker.open`."""

    def painted(self, shared: Shared, tasks: Iterable[Task]) -> Iterator[Outcome]:
        """Yields what runs give, or the errors that they failed with, as they come.

        A task is taken from `tasks` when there is somebody to paint it.
        """


class Here:
    """Paints in this process, one run after the other."""

    def __init__(self, total: int | None, *, progress: bool) -> None:
        self._worker = Worker()
        self._of = "" if total is None else f" of {total}"
        self._progress = progress

    def open(
        self, shared: Shared, photo: Photo, recipes: Sequence[Recipe], gammas: Sequence[Any]
    ) -> str | Exception:
        """Opens scenes."""
        return self._worker.open(shared, photo, recipes, gammas)

    def painted(self, shared: Shared, tasks: Iterable[Task]) -> Iterator[Outcome]:
        """Yields what runs give."""
        for task in tasks:
            if self._progress:
                tell(f"run {task.place + 1}{self._of}: {task.stem}")
            paint = functools.partial(self._worker.paint, shared, task, progress=self._progress)
            yield task, _outcome(paint)


class Elsewhere:
    """Paints by an executor of `concurrent.futures`; each task carries what all of them share."""

    def __init__(self, executor: Any) -> None:
        check_executor(executor)
        self.executor: Any = executor

    @property
    def ahead(self) -> int:
        """How many runs are given to it at once: one for each worker, and one that waits."""
        workers: int = getattr(self.executor, "_max_workers", _UNKNOWN // 2)
        return 2 * workers

    def open(
        self, shared: Shared, photo: Photo, recipes: Sequence[Recipe], gammas: Sequence[Any]
    ) -> str | Exception:
        """Opens scenes, where they will be painted."""
        try:
            photo = photo.loaded()
        except ValueError as error:
            return error
        opened: str | Exception = result_of(self._submitted(_open, shared, photo, recipes, gammas))
        return opened

    def painted(self, shared: Shared, tasks: Iterable[Task]) -> Iterator[Outcome]:
        """Yields what runs give; those that nobody has begun are left, if it is ended early."""
        waiting = iter(tasks)
        running: dict[Future[Result], Task] = {}
        try:
            while True:
                more = max(0, self.ahead - len(running))  # workers may have left meanwhile
                for task in itertools.islice(waiting, more):
                    running[self.submit(shared, task)] = task
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    yield running.pop(future), _outcome(functools.partial(result_of, future))
        finally:
            for future in running:
                future.cancel()

    def submit(self, shared: Shared, task: Task) -> Future[Result]:
        """Gives a run to the executor; where that can't be done, its future says why."""
        try:
            task = task.loaded()
        except ValueError as error:
            return lost(error)
        return self._submitted(_paint, shared, task)

    def _submitted(self, function: Callable[..., Any], *given: Any) -> Future[Any]:
        # Once more, now that workers may be started: TensorFlow may have been loaded meanwhile.
        check_executor(self.executor)
        try:
            future: Future[Any] = self.executor.submit(function, *given)
            return future
        except BrokenExecutor as error:
            return lost(error)


_WORKERS = threading.local()


def worker_here() -> Worker:
    """Returns the worker of an executor's thread or process; each of them keeps one."""
    if not hasattr(_WORKERS, "worker"):
        _WORKERS.worker = Worker()
    worker: Worker = _WORKERS.worker
    return worker


def _open(*given: Any) -> str | Exception:
    return worker_here().open(*given)


def _paint(shared: Shared, task: Task) -> Result:
    return worker_here().paint(shared, task)


def lost(error: Exception) -> Future[Any]:
    """Returns the future of a call that can't be made."""
    future: Future[Any] = Future()
    future.set_exception(error)
    return future


def result_of(future: Future[Any]) -> Any:
    """Returns what a call gave, or says what has become of whoever was to make it.

    Raises:
        RuntimeError: If a worker was killed.
        ConnectionError: If nobody will make it any more.
    """
    try:
        return future.result()
    except BrokenExecutor:
        raise RuntimeError(_KILLED) from None
    except CancelledError:
        raise ConnectionError(_DROPPED) from None


def _outcome(run: Callable[[], Result]) -> Result | Exception:
    """Returns what a run gives, or the error that it failed with, if others need not meet it."""
    try:
        return run()
    except (OSError, ImportError, WeightsError):
        raise
    except Exception as error:  # DivergenceError, too little memory, and what nobody foresaw
        return error


def check_executor(executor: Executor) -> None:
    """Refuses what is none, and what would fork: TensorFlow hangs then at its first operation."""
    if not isinstance(executor, Executor):
        raise ValueError(
            f"executor is {shown(executor)}: give one of concurrent.futures, or Dask's"
        )
    if isinstance(executor, ProcessPoolExecutor) and "tensorflow" in sys.modules:
        context = getattr(executor, "_mp_context", None) or multiprocessing.get_context()
        if context.get_start_method() == "fork":
            raise ValueError(
                "the executor forks, and TensorFlow does not survive that: give "
                "ProcessPoolExecutor(mp_context=multiprocessing.get_context('spawn'))"
            )
