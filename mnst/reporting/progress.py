"""How a run shows itself: a bar or lines, the picture in a notebook, logs for TensorBoard.

All of them are called with the run's records, and none of them is known to the loop.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnst import images
from mnst.backend import tf
from mnst.checks import check_folder
from mnst.errors import LISTENER, calls_within_mnst, one_line, tell

if TYPE_CHECKING:
    from mnst.engine.trainer import StepRecord

_LINES = 10
_PICTURES = 20  # about as many as TensorBoard's slider is still pleasant with


@contextmanager
def watch(
    heading: Callable[[], list[str]],
    steps: int,
    settings: Mapping[str, Any],
    options: Mapping[str, Any],
) -> Iterator[Callable[[StepRecord], None]]:
    """Shows a run in all the ways that were asked for.

    Where one of them fails, such as for a full disk, a warning says so, and the run goes on without
    it. What the callback raises comes through.

    Args:
        heading: Gives the lines that say what runs on what; called where they are shown.
        steps: How many steps the run takes.
        settings: What it is made with.
        options: `progress`, `log_dir`, `preview` and `callback`, as in `stylize`.

    Yields:
        What is to be called with every record.
    """
    consumers: list[Callable[[StepRecord], object]] = []
    with ExitStack() as opened:
        if options["progress"]:
            bar = Dispensable("progress", Progress(heading(), steps))
            consumers.append(opened.enter_context(bar))
        if options["log_dir"] is not None:
            logs = Dispensable("log_dir", Logs(options["log_dir"], steps, settings))
            consumers.append(opened.enter_context(logs))
        if options["preview"] is not None:
            preview = Dispensable("preview", Preview(options["preview"], steps))
            consumers.append(opened.enter_context(preview))
        if options["callback"] is not None:
            consumers.append(options["callback"])

        def show(record: StepRecord) -> None:
            for consume in consumers:
                consume(record)

        yield show


class Dispensable:
    """Something that shows a run, left out with a warning as soon as it fails.

    Args:
        name: The option that asked for it.
        shows: What is called with every record; a context manager.
    """

    def __init__(self, name: str, shows: Any) -> None:
        self._name = name
        self._shows = shows
        self._failed = False

    def __enter__(self) -> Dispensable:
        self._try(self._shows.__enter__)
        return self

    def __call__(self, record: StepRecord) -> None:
        """Shows a record."""
        if not self._failed:
            self._try(self._shows, record)

    def __exit__(self, *error: object) -> None:
        self._try(self._shows.__exit__, *error)

    def _try(self, show: Callable[..., object], *given: object) -> None:
        try:
            show(*given)
        except Exception as error:  # TensorFlow, tqdm and IPython each have errors of their own
            if self._failed:
                return
            self._failed = True
            said = f"{self._name} fails and is left out: {type(error).__name__}: {one_line(error)}"
            # Where standard error itself is what fails, there is nobody to warn.
            with suppress(OSError, ValueError):
                warnings.warn(said, stacklevel=calls_within_mnst() + 1)


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
            tell(line)
        if LISTENER.isatty() or "ipykernel" in sys.modules:
            with warnings.catch_warnings():
                # Without ipywidgets tqdm warns in a notebook, and draws its bar as text.
                warnings.simplefilter("ignore")
                from tqdm.auto import tqdm

                # Asked here, since tqdm draws nothing on a terminal that reports no width.
                columns = shutil.get_terminal_size().columns if LISTENER.isatty() else None
                self._bar = tqdm(total=self._steps, unit="step", file=LISTENER, ncols=columns)
        return self

    def __call__(self, record: StepRecord) -> None:
        """Shows a record."""
        losses = {name: f"{value:.3g}" for name, value in record.losses.items()}
        if self._bar is not None:
            self._bar.update(record.step - self._bar.n)
            self._bar.set_postfix(losses, refresh=False)
        elif self._is_due(record.step):
            listed = "  ".join(f"{name} {value}" for name, value in losses.items())
            tell(f"step {record.step}/{self._steps}  {record.seconds:.1f} s  {listed}")

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def _is_due(self, step: int) -> bool:
        """True at the start, the end, and about `_LINES` times in between, evenly."""
        return step == 0 or step * _LINES // self._steps > (step - 1) * _LINES // self._steps


class Preview:
    """Shows the picture of a run in a notebook, and refreshes it in place.

    Outside of a notebook it warns that there is nowhere to show it: a script that began as a
    notebook still runs.

    Args:
        every: After how many steps, and at the end.
        steps: How many steps the run takes.
    """

    def __init__(self, every: int, steps: int) -> None:
        self._every = every
        self._steps = steps
        self._display = _notebook_display()
        self._handle: Any = None  # IPython's, of the picture that is shown
        if self._display is None:
            warnings.warn(
                "preview shows the picture in a notebook, and this is none: it is left out; "
                "log_dir shows it anywhere",
                stacklevel=2,
            )

    def __enter__(self) -> Preview:
        return self

    def __exit__(self, *_: object) -> None:
        """What it has shown stays."""

    def __call__(self, record: StepRecord) -> None:
        """Shows the record's picture, if it is time."""
        due = record.step % self._every == 0 or record.step == self._steps
        if self._display is None or not due:
            return
        png = images.encode(images.to_uint8(record.image), "PNG")
        shown = {"image/png": png, "text/plain": f"step {record.step}/{self._steps}"}
        if self._handle is None:
            self._handle = self._display(shown, raw=True, display_id=True)
        else:
            self._handle.update(shown, raw=True)


def _notebook_display() -> Any:
    """Returns IPython's `display`, or None where there is no notebook to display in."""
    if "ipykernel" not in sys.modules:
        return None
    from IPython import display, get_ipython

    # A terminal's IPython would print what it can't show.
    return display.display if hasattr(get_ipython(), "kernel") else None


class Logs:
    """Writes the records of a run where TensorBoard finds them.

    Losses and learning rate at every step; the picture about `_PICTURES` times, and at the end.

    Args:
        folder: Where to; made, if it isn't there.
        steps: How many steps the run takes.
        settings: What the run is made with, which TensorBoard shows as text.

    Example:
        >>> with Logs("logs", 100) as log:  # doctest: +SKIP
        ...     for record in trainer.run(start, targets, steps=100):
        ...         log(record)
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        steps: int,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self._folder = check_log_dir(folder)
        self._every = max(1, steps // _PICTURES)
        self._settings = settings
        self._writer: Any = None
        self._unseen: StepRecord | None = None  # the last record, while its picture isn't written

    def __enter__(self) -> Logs:
        self._writer = tf.summary.create_file_writer(str(self._folder))
        if self._settings is not None:
            text = json.dumps(self._settings, indent=2)
            with self._writer.as_default():
                tf.summary.text("settings", f"```\n{text}\n```", step=0)
        return self

    def __call__(self, record: StepRecord) -> None:
        """Writes a record."""
        with self._writer.as_default():
            for name, value in record.losses.items():
                tf.summary.scalar(f"loss/{name}", value, step=record.step)
            tf.summary.scalar("learning_rate", record.learning_rate, step=record.step)
        self._unseen = record
        if record.step % self._every == 0:
            self._write_picture()

    def __exit__(self, *_: object) -> None:
        try:
            self._write_picture()
        finally:
            self._writer.close()

    def _write_picture(self) -> None:
        if self._unseen is not None:
            picture = images.to_uint8(self._unseen.image)[None]
            with self._writer.as_default():
                tf.summary.image("picture", picture, step=self._unseen.step)
            self._unseen = None


def check_log_dir(folder: str | os.PathLike[str]) -> Path:
    """Returns where logs would be written, or raises what stands against it.

    Raises:
        ValueError: If the path is empty.
        TypeError: If it is no path.
        OSError: If there is a file of that name, or the folder can't be made.
        ImportError: If TensorBoard isn't installed, through which TensorFlow writes them.
    """
    try:
        import tensorboard  # noqa: F401
    except ImportError:
        raise ImportError("log_dir needs TensorBoard: pip install tensorboard") from None
    path = check_folder("log_dir", folder)
    path.mkdir(parents=True, exist_ok=True)
    return path
