"""A sweep that is going on: what is found, claimed, painted, kept, and what has failed."""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from mnst import images
from mnst.errors import calls_within_mnst, one_line, tell
from mnst.painting.result import Result
from mnst.painting.scene import read_photo
from mnst.sweeping.claims import Claims
from mnst.sweeping.course import Course, Task
from mnst.sweeping.folder import Folder, KeptRun
from mnst.sweeping.outcome import ON_A_SHEET, Sweep, SweepFailure, SweepRun
from mnst.sweeping.painters import Elsewhere, Painter
from mnst.sweeping.shards import Shard

PAUSE = 1.0
"""Seconds between two looks at runs that others paint."""


class Going:
    """A shard of a sweep on its way.

    Args:
        course: All runs.
        shard: Which of them are its own.
        folder: Where they are kept; None is in memory.
        progress: Whether to say on standard error where it is.
    """

    def __init__(
        self, course: Course, shard: Shard, folder: Folder | None, *, progress: bool
    ) -> None:
        self._course = course
        self._shard = shard
        self._folder = folder
        self._progress = progress
        self._runs: dict[int, SweepRun] = {}  # by their places, as the next
        self._failures: dict[int, SweepFailure] = {}
        self._first: tuple[int, Exception] | None = None  # the error of the first that failed
        self._others: list[Task] = []  # what others are painting

    def paint(self, painter: Painter) -> bool:
        """Paints what isn't there yet, and waits for what others paint.

        Returns:
            False if it was ended early.
        """
        folder = self._folder
        with contextlib.nullcontext() if folder is None else Claims(folder.place) as claims:
            try:
                return self._paint_all(painter, claims)
            except KeyboardInterrupt:
                return False

    def collect(self) -> bool:
        """Takes in what is in the folder, painting nothing; returns whether all of it is there."""
        assert self._folder is not None
        missing = False
        for task in self._course.tasks(self._shard):
            found, error = self._folder.find(task), self._folder.find_error(task)
            if task.photo.error is not None:
                self._leave_out(task, one_line(task.photo.error))
            elif found is not None:
                self._take(task, found, found=True)
            elif error is not None:
                self._leave_out(task, error)
            else:
                missing = True
        return not missing

    def outcome(self, *, completed: bool) -> Sweep:
        """Returns what there is, in order.

        Raises:
            Exception: What the first run failed with, if none was finished.
        """
        if self._first is not None and not self._runs:
            raise self._first[1]
        return Sweep(
            tuple(self._runs[place] for place in sorted(self._runs)),
            completed,
            tuple(self._failures[place] for place in sorted(self._failures)),
            self._originals(),
        )

    def _paint_all(self, painter: Painter, claims: Claims | None) -> bool:
        tasks: Iterable[Task] = self._course.tasks(self._shard)
        while True:
            to_do = self._to_do(tasks, claims)
            for task, outcome in painter.painted(self._course.shared, to_do):
                if isinstance(outcome, Exception):
                    self._fail(task, outcome)
                elif outcome.completed:
                    self._keep(task, outcome)
                else:
                    return False
                if claims is not None:
                    claims.settle(task.stem)
                if isinstance(painter, Elsewhere):
                    self._say(f"run {len(self._runs) + len(self._failures)}{self._of} is done")
            if not self._others:
                return True
            # All that was begun here is kept by now, so that nobody waits for whom waits for him.
            if tasks == self._others:
                time.sleep(PAUSE)
            else:
                self._say(f"waiting for {len(self._others)} runs that others paint")
            tasks, self._others = self._others, []

    def _to_do(self, tasks: Iterable[Task], claims: Claims | None) -> Iterator[Task]:
        """Yields the runs to paint, takes in those that are there, and puts aside others' runs."""
        begun = False
        for task in tasks:
            if task.photo.error is not None:
                self._fail(task, task.photo.error)
            elif claims is not None and self._is_there(task, claims):
                continue
            elif claims is not None and not claims.take(task.stem):
                self._others.append(task)
            elif claims is not None and self._is_there(task, claims):  # since just now
                claims.settle(task.stem)
            else:
                if self._runs and not begun:
                    self._say(f"{len(self._runs)} runs are there already")
                begun = True
                yield task

    def _is_there(self, task: Task, claims: Claims) -> bool:
        """Takes in a run that is in the folder, or has failed elsewhere since this sweep began."""
        assert self._folder is not None
        found = self._folder.find(task)
        if found is not None:
            self._take(task, found, found=True)
            return True
        error = self._folder.find_error(task, since=claims.began)
        if error is not None:
            self._warn(task, RuntimeError(error))
        return error is not None

    def _keep(self, task: Task, result: Result) -> None:
        self._take(task, result if self._folder is None else self._folder.save(task, result))

    def _take(self, task: Task, outcome: Result | KeptRun, *, found: bool = False) -> None:
        gamma, photo = self._course.gamma_of(task), task.photo
        self._runs[task.place] = SweepRun(
            photo.index, gamma, task.recipe, outcome, photo.label, found=found
        )

    def _fail(self, task: Task, error: Exception) -> None:
        self._warn(task, error)
        if self._folder is not None:
            self._folder.save_error(task, one_line(error))

    def _warn(self, task: Task, error: Exception) -> None:
        said = one_line(error)
        warnings.warn(
            f"{task.stem} failed and is left out: {said}", stacklevel=calls_within_mnst() + 1
        )
        if self._first is None or task.place < self._first[0]:
            self._first = task.place, error
        self._leave_out(task, said)

    def _leave_out(self, task: Task, error: str) -> None:
        place, photo = self._shard.rank(task.place), task.photo
        gamma = self._course.gamma_of(task)
        self._failures[task.place] = SweepFailure(
            place, photo.index, gamma, task.recipe, error, photo.label
        )

    def _originals(self) -> dict[str, np.ndarray]:
        """Returns photos and styles, by what a contact sheet of crossed gammas calls them."""
        crossed = all(isinstance(gamma, Mapping) for gamma in self._course.gammas)
        if not crossed or not isinstance(self._course.photos, list):
            return {}
        size, named = self._course.shared.options["size"], {}
        shown = self._course.photos[: -(-ON_A_SHEET // self._course.runs_of_a_photo)]
        for k, photo in enumerate(shown, start=1):
            with contextlib.suppress(OSError, ValueError, TypeError):
                named[f"photo {k}" if len(shown) > 1 else "photo"] = read_photo(photo, size=size)
        named |= {f"style {k}": each for k, each in enumerate(self._course.shared.styles, start=1)}
        return {name: images.to_uint8(picture.pixels) for name, picture in named.items()}

    def _say(self, line: str) -> None:
        if self._progress:
            tell(line)

    @property
    def _of(self) -> str:
        total = self._course.total
        return "" if total is None or not self._shard.is_all else f" of {total}"
