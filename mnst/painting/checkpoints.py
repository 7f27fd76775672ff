"""Checkpoints: a run keeps how far it is in a file, and goes on from there if started again.

What it ends with is the same, to the last bit, as if it had never been broken off.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import sys
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mnst import images
from mnst.backend import tf
from mnst.checks import check_path, shown
from mnst.engine.sizes import Since, Stage, place_of
from mnst.engine.trainer import Standing, StepRecord
from mnst.errors import calls_within_mnst, one_line
from mnst.images.arrays import Kind, opened_arrays, write_arrays
from mnst.recipes import Recipe

EVERY = 60.0
"""Seconds from one write to the next, at the least."""

SHARE = 0.02
"""How much of a run's time writing takes, at the most: where it takes long, it is done less."""

_KIND = Kind("checkpoint", 1)

# Settings that make the same picture, but for rounding.
_ROUNDING = ("tile", "device", "tensorflow", "keras")

_TOLD = 3  # differences, in one line


def check_checkpoint(path: Any, recipe: Recipe) -> None:
    """Checks what costs nothing to check of where a run is to be kept.

    Raises:
        TypeError: If it is no path.
        ValueError: If the name does not end in .npz, what is there is no checkpoint, or the
            recipe's optimiser can't be kept.
        OSError: If there can be no file, or it can't be read.
    """
    images.check_arrays_place(check_path("checkpoint", path))
    if not getattr(recipe.optimizer, "resumes", False):
        raise ValueError(
            f"checkpoint is given, but optimizer {recipe.optimizer.name!r} does not say what it "
            f"remembers: see OptimizerState.variables, or leave checkpoint out"
        )
    _run_of(path)


class Checkpoint:
    """Where a run keeps how far it is; a context manager around its steps.

    Entered, it brings the trainers to where the run stood, if there is a file. A run that is ended
    early is written once more. Where writing fails, a warning says so, and the run goes on.

    Args:
        path: Of the file; None keeps nothing.
        run: All that the picture depends on, by name: anything that JSON can hold. Its "pictures"
            are hashes by name.
        stages: What the run goes through.

    Attributes:
        since: Where it stood; None at its start.
        history: The records so far, without pictures. The run adds its own.
    """

    def __init__(self, path: Any, run: Mapping[str, Any], stages: Sequence[Stage]) -> None:
        self._path = None if path is None else check_path("checkpoint", path)
        self._run = json.loads(json.dumps(run))  # as it is read again
        self._stages, self._steps = stages, sum(stage.steps for stage in stages)
        self.since: Since | None = None
        self.history: list[StepRecord] = []
        self._due = math.inf

    def __enter__(self) -> Checkpoint:
        if self._path is not None:
            if self._is_there(self._path):
                self._restore(self._path)
            self._due = time.monotonic() + EVERY
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and issubclass(kind, (KeyboardInterrupt, StopIteration)):
            self._write()

    @property
    def told(self) -> list[str]:
        """What a run says of it before its first step."""
        if self.since is None:
            return []
        return [f"goes on after step {self.since.step}, which {self._named} has"]

    def keep(self) -> None:
        """Writes how far the run is, if it is time, or a size has come to its end."""
        sizes = [record.size for record in self.history[-2:]]
        if time.monotonic() >= self._due or sizes[0] < sizes[-1]:
            self._write()

    def remove(self) -> None:
        """Removes the file, of a run that has come to its end; not what others have put there."""
        try:
            with contextlib.suppress(ValueError):
                if self._path is not None and self._is_there(self._path):
                    images.check_place(self._path).unlink()
        except OSError as error:
            _warn(f"checkpoint is not removed: {one_line(error)}")

    @property
    def _named(self) -> str:
        return images.named(str(self._path))

    def _is_there(self, path: Path) -> bool:
        """Returns whether there is a file.

        Raises:
            ValueError: If it is no checkpoint, or that of another run.
        """
        run = _run_of(path)
        if run is None:
            return False
        others = list(_differences(_picture_of(run), _picture_of(self._run)))
        if others:
            more = f" and {len(others) - _TOLD} more" if len(others) > _TOLD else ""
            raise ValueError(
                f"{self._named}: is of a run with {', '.join(others[:_TOLD])}{more}; give the same "
                f"again, or another file"
            )
        return True

    def _restore(self, path: Path) -> None:
        """Brings the trainer of a stage to where the run stood."""
        largest = max(sum(map(_bytes_of, _held_by(stage).values())) for stage in self._stages)
        with opened_arrays(path, _KIND, 2 * largest) as (arrays, settings):
            self.history[:] = _records(settings["history"])
            step, seconds = self.history[-1].step, self.history[-1].seconds
            number, done = place_of(self._stages, step)
            stage, standing = self._stages[number], settings["standing"]
            held = _held_by(stage)
            if {*arrays} != {*held, "about"} or step >= self._steps:
                raise ValueError("it has other arrays, or more steps, than such a run has")
            # One after the other: of an optimiser's arrays there is never a second set.
            for name, variable in stage.trainer.variables.items():
                variable.assign(_fitting(arrays[name], variable))
            pictures = {name: _fitting(arrays[name], held[name]) for name in _pictures_of(stage)}
            best = _record(standing["best"]).with_image(pictures["best"])
            in_size = step - done, float(standing["seconds"]), best, pictures.get("corrected_at")
            stage.trainer.standing = Standing(*in_size)
            self.since = Since(step, seconds, stage.trainer.standing)
        for other in _differences(_rounding_of(settings["run"]), _rounding_of(self._run)):
            _warn(
                f"{self._named}: was begun with {other}, so the picture is not the same to the bit"
            )

    def _write(self) -> None:
        """Writes how far the run is, unless a step is changing that, or nothing is left to do."""
        step = self.history[-1].step if self.history else self._steps
        if self._path is None or step == self._steps:
            return
        number, done = place_of(self._stages, step)
        trainer = self._stages[number].trainer
        standing = trainer.standing
        if standing is None or done + standing.step != step:
            return
        pictures = {"best": standing.best.image, "corrected_at": standing.corrected_at}
        arrays = {name: pictures[name] for name in _pictures_of(self._stages[number])}
        settings = {
            "run": self._run,
            "standing": {"seconds": standing.seconds, "best": _row(standing.best)},
            "history": [_row(record) for record in self.history],
        }
        began = time.monotonic()
        try:
            self._is_there(self._path)  # what others have put there meanwhile is not written over
            write_arrays(self._path, _KIND, {**trainer.variables, **arrays}, settings)
        except (OSError, ValueError) as error:
            _warn(f"checkpoint is not written, and the run goes on: {one_line(error)}")
        ended = time.monotonic()
        self._due = ended + max(EVERY, (ended - began) / SHARE)


def _run_of(path: Any) -> dict[str, Any] | None:
    """Returns what the run of a checkpoint depends on; None, if there is no file."""
    try:
        with opened_arrays(path, _KIND, sys.maxsize) as (_, settings):
            return dict(settings["run"])
    except FileNotFoundError:
        return None


def _pictures_of(stage: Stage) -> list[str]:
    """Returns the names of the pictures that are kept beside the variables."""
    return ["best"] if stage.trainer.surrogate is None else ["best", "corrected_at"]


def _held_by(stage: Stage) -> dict[str, Any]:
    """Returns what a checkpoint has of a stage, by name: variables, or others of their shapes."""
    return {**stage.trainer.variables, **dict.fromkeys(_pictures_of(stage), stage.trainer.image)}


def _bytes_of(variable: Any) -> int:
    return int(math.prod(variable.shape) * tf.as_dtype(variable.dtype).size)


def _fitting(array: np.ndarray, variable: Any) -> np.ndarray:
    """Returns an array, if a variable can be assigned it as it is."""
    dtype = tf.as_dtype(variable.dtype).as_numpy_dtype
    if array.shape != tuple(variable.shape) or array.dtype != dtype:
        raise ValueError("an array has another shape or dtype")
    return array


def _row(record: StepRecord) -> dict[str, Any]:
    return dataclasses.asdict(record.numbers())


def _record(row: Mapping[str, Any]) -> StepRecord:
    record = StepRecord(**row).numbers()
    # Which raises where one of them is no number.
    math.fsum((record.learning_rate, record.seconds, record.size, *record.losses.values()))
    return record


def _records(rows: Sequence[Mapping[str, Any]]) -> list[StepRecord]:
    records = [_record(row) for row in rows]
    if not records or [record.step for record in records] != list(range(len(records))):
        raise ValueError("a step is missing")
    return records


def _picture_of(run: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in run.items() if name not in _ROUNDING}


def _rounding_of(run: Mapping[str, Any]) -> dict[str, Any]:
    return {name: run.get(name) for name in _ROUNDING}


def _differences(before: Any, now: Any, name: str = "") -> Iterator[str]:
    """Says what differs between what two runs depend on."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in {**now, **before}:
            inner = f"{name} {images.named(key)}".strip()
            yield from _differences(before.get(key), now.get(key), inner)
    elif before != now and name.startswith("pictures "):
        yield f"another {name.removeprefix('pictures ')}"
    elif before != now:
        yield f"{name} {shown(before)} rather than {shown(now)}"


def _warn(said: str) -> None:
    warnings.warn(said, stacklevel=calls_within_mnst() + 1)
