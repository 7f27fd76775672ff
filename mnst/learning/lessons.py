"""Lessons: a learner at work in a thread of its own, that can be stopped and go on."""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from mnst.engine.trainer import StepRecord
from mnst.learning.learner import Learner
from mnst.reporting.progress import watch

_SHARED_AFTER = 2.0  # seconds; it takes as long as a quarter of a step


class Lessons:
    """Lets a learner learn, while others do something else.

    Args:
        learner: Who learns.
        heading: Gives the lines that say what runs on what.
        settings: What it learns with, for logs.
        options: `progress`, `log_dir`, `preview` and `callback`; see `mnst.reporting.progress`.
        learnt: Called every other second with the step, that others may see what is learnt.
        looked: Called with every record, after `learnt`; returns it as it is to be shown, with a
            picture.

    Attributes:
        learner: The same.
        completed: Whether it has ended by itself, or after the seconds that it was given.
    """

    def __init__(
        self,
        learner: Learner,
        heading: Callable[[int], list[str]],
        settings: Mapping[str, Any],
        options: Mapping[str, Any],
        learnt: Callable[[int], None],
        looked: Callable[[StepRecord], StepRecord],
    ) -> None:
        self.learner, self.completed = learner, False
        self._heading, self._settings, self._options = heading, settings, options
        self._learnt, self._looked = learnt, looked
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    @property
    def going_on(self) -> bool:
        """Whether it learns now."""
        return self._thread is not None and self._thread.is_alive()

    def start(self, steps: int, seconds: float | None) -> None:
        """Learns on until so many steps are behind it, so many seconds are over, or it is stopped.

        Raises:
            RuntimeError: If it learns already.
        """
        if self.going_on:
            raise RuntimeError("this live picture is learning already: stop() it first, or wait()")
        self._stopping.clear()
        self._error, self.completed = None, False
        self._thread = threading.Thread(
            target=self._work, args=(steps, seconds), name="mnst live", daemon=True
        )
        self._thread.start()
        # TensorFlow must not be at work while the interpreter is taken down.
        atexit.register(self.stop)

    def stop(self) -> None:
        """Ends it after the step that it is at, and waits for that."""
        self._stopping.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def wait(self, timeout: float | None = None) -> bool:
        """Waits until it has ended; returns False if that takes longer.

        Raises what has ended it, if it was an error.
        """
        if self._thread is not None:
            self._thread.join(timeout)
        if self.going_on:
            return False
        if self._error is not None:
            raise self._error
        return True

    def _work(self, steps: int, seconds: float | None) -> None:
        try:
            self._learn(steps, seconds)
        except StopIteration:  # a callback's
            pass
        except BaseException as error:  # whatever it is, `wait` raises it
            self._error = error
        finally:
            atexit.unregister(self.stop)

    def _learn(self, steps: int, seconds: float | None) -> None:
        began = shared = time.monotonic()
        with watch(lambda: self._heading(steps), steps, self._settings, self._options) as show:
            for record in self.learner.learn(steps):
                now = time.monotonic()
                over = seconds is not None and now - began >= seconds
                if record is None and (over or self._stopping.is_set()):
                    record = self.learner.look()  # so that what it has come to is known
                if record is not None or now - shared >= _SHARED_AFTER:
                    self._learnt(self.learner.step)
                    shared = now
                if record is not None:
                    show(self._looked(record))
                if self._stopping.is_set():
                    return
                if over:
                    break
        self.completed = True
