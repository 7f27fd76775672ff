"""How a run shows itself: a bar on a terminal or in a notebook, plain lines elsewhere."""

from __future__ import annotations

import shutil
import sys
import warnings
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mnst.training import StepRecord

_LINES = 10


class Progress:
    """Shows the records of a run on standard error, after a heading.

    Args:
        heading: Lines that say what runs on what.
        steps: How many steps the run takes.

    Example:
        >>> with Progress(["100 steps on a CPU"], 100) as show:  # doctest: +SKIP
        ...     for record in trainer.run(start, targets, steps=100):
        ...         show(record)
    """

    def __init__(self, heading: list[str], steps: int) -> None:
        self._heading = heading
        self._steps = steps
        self._bar: Any = None  # tqdm's, where there is somewhere to draw it

    def __enter__(self) -> Progress:
        for line in self._heading:
            print(line, file=sys.stderr, flush=True)
        if sys.stderr.isatty() or "ipykernel" in sys.modules:
            with warnings.catch_warnings():
                # Without ipywidgets tqdm warns in a notebook, and draws its bar as text.
                warnings.simplefilter("ignore")
                from tqdm.auto import tqdm

                # Asked here, since tqdm draws nothing on a terminal that reports no width.
                columns = shutil.get_terminal_size().columns if sys.stderr.isatty() else None
                self._bar = tqdm(total=self._steps, unit="step", file=sys.stderr, ncols=columns)
        return self

    def __call__(self, record: StepRecord) -> None:
        """Shows a record."""
        losses = {name: f"{value:.3g}" for name, value in record.losses.items()}
        if self._bar is not None:
            self._bar.update(record.step - self._bar.n)
            self._bar.set_postfix(losses, refresh=False)
        elif self._is_due(record.step):
            listed = "  ".join(f"{name} {value}" for name, value in losses.items())
            print(
                f"step {record.step}/{self._steps}  {record.seconds:.1f} s  {listed}",
                file=sys.stderr,
                flush=True,
            )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def _is_due(self, step: int) -> bool:
        """True at the start, the end, and about `_LINES` times in between, evenly."""
        return step == 0 or step * _LINES // self._steps > (step - 1) * _LINES // self._steps
