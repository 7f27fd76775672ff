"""One run over several sizes: the loop of each, one after the other, as one row of records."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from mnst import images
from mnst.engine.margins import Margin
from mnst.engine.trainer import DivergenceError, Standing, StepRecord, Trainer
from mnst.objective.losses import Targets


class Stage(NamedTuple):
    """A size that a picture is painted in.

    Attributes:
        trainer: Paints it in that size.
        targets: What it is measured against in that size.
        steps: How many steps it gets, 1 or more.
        margin: What is painted around it, and cut off.
        seamless: Whether its opposite borders are neighbours.
    """

    trainer: Trainer
    targets: Targets
    steps: int
    margin: Margin
    seamless: bool = False

    @property
    def sides(self) -> tuple[int, int]:
        """Height and width of the picture."""
        return self.margin.inner_sides(*self.trainer.image.shape[1:3])


class Since(NamedTuple):
    """Where a run stood, to go on there.

    Attributes:
        step: Of its last record.
        seconds: Of the same.
        standing: Where the trainer stood in whose size that was.
    """

    step: int
    seconds: float
    standing: Standing


def place_of(stages: Sequence[Stage], step: int) -> tuple[int, int]:
    """Returns the number of the stage that yields a record, and how many steps lie before it."""
    done = 0
    for number, stage in enumerate(stages[:-1]):
        if step < done + stage.steps:
            return number, done
        done += stage.steps
    return len(stages) - 1, done


def paint(
    stages: Sequence[Stage], start: Any, *, warm: int = 0, since: Since | None = None
) -> Iterator[StepRecord]:
    """Yields the record of the start and of every step: one more than there are steps in all.

    What one size ends with, enlarged, is what the next begins with: the same record, of the larger
    picture. An optimiser goes on in each size where its schedule stands, with what it can take
    along; see `OptimizerState.go_on_from`.

    Args:
        stages: Coarse to fine.
        start: The picture to begin with, [1, H, W, 3], 0..255, in any size.
        warm: As in `Trainer.run`, of the first stage.
        since: Where another run over such stages stood, whose trainer's `variables` the trainer of
            that stage has been assigned: the records that are missing are yielded.

    Raises:
        DivergenceError: If a loss or a pixel is NaN or infinite; its step is that of all stages.
        RuntimeError: If another run of one of the trainers has begun since.
    """
    began = time.perf_counter() - (0.0 if since is None else since.seconds)
    first, done = (0, 0) if since is None else place_of(stages, since.step)
    before, last = stages[first - 1].trainer if first else None, None
    standing, warm = since and since.standing, warm + done
    for stage in stages[first:]:
        if standing is None:
            sized = images.resize_image(np.asarray(start), *stage.sides, wraps=stage.seamless)
            start = stage.margin.around(sized)
        is_last = stage is stages[-1]
        try:
            for record in stage.trainer.run(
                start, stage.targets, steps=stage.steps, warm=warm, before=before, since=standing
            ):
                shown = _after(done, record, time.perf_counter() - began, stage.margin)
                start = shown.image
                if record.step < stage.steps or is_last:
                    last = shown
                    yield last
        except DivergenceError as error:
            best = error.best and _after(done, error.best, error.best.seconds, stage.margin)
            raise DivergenceError(
                done + error.step, error.term, error.value, best or last
            ) from None
        done += stage.steps
        before, warm, standing = stage.trainer, warm + stage.steps, None


def _after(done: int, record: StepRecord, seconds: float, margin: Margin) -> StepRecord:
    """Returns the record of a stage as one of the run, which has so many steps behind it."""
    image = margin.cut(record.image)
    size = max(image.shape[1:3])
    return dataclasses.replace(
        record, step=done + record.step, seconds=seconds, size=size, image=image
    )
