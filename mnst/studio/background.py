"""What the crossfader shows, painted in a thread of its own: previews, and the full picture.

No widgets here. A `BackgroundPainter` is asked for positions of the crossfader and tells a
`Listener` what becomes of them; who that is, a notebook or a test, is all the same to it.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from mnst import images
from mnst.backend import tf
from mnst.errors import one_line
from mnst.optimizers import Adam
from mnst.painting.options import SceneOptions, StudioOptions, check_steps, those_of
from mnst.painting.result import Result
from mnst.painting.signatures import defaults
from mnst.painting.transfer import StyleTransfer
from mnst.recipes import FINE, get_recipe

if TYPE_CHECKING:
    from mnst.engine.trainer import StepRecord

# What FINE asks for, in a hurry: at one size, and by Adam, whose first step shows at once and which
# goes on from wherever it is put. Its learning rate falls within a preview's steps.
_PREVIEW = FINE.replace(
    name="preview",
    optimizer=Adam(learning_rate=12.0, decay_steps=40, frequency_floor=0.01),
    surrogate="none",
    pyramid=None,
)
_PREVIEW_BACKBONE = "vgg19-lite"

_FIRST = 60  # steps of a preview that has none to continue from
_NEXT = 16  # steps to a neighbour,
_FAR = 40  # and so many more to the other end of the slider

# The schedule's step beyond which the learning rate falls no further, 2.6 of 255, so that a picture
# that was continued many times still follows the slider.
_CALM = 120

_MOST_KEPT = 200  # painted positions; at 256 pixels they take 40 MB

# A picture is shown so often, in seconds: previews must feel alive, large pictures take longer to
# be sent to a browser.
_PREVIEW_PAUSE = 0.1
_FULL_PAUSE = 0.5


@dataclass(frozen=True)
class Position:
    """Where the crossfader stands.

    Attributes:
        gamma: The share of each style, in sum 1.
        calibrate: With the sigma of the closed form, rather than without.
        keep_people: Leave the people in the photo as they are.
    """

    gamma: tuple[float, ...]
    calibrate: bool = True
    keep_people: bool = False


class Listener:
    """Whom a `BackgroundPainter` tells, from its own thread; this one does nothing about it."""

    def working(self, what: str) -> None:
        """It is at something that takes a while and shows nothing yet."""

    def showing(self, image: np.ndarray, step: int, steps: int) -> None:
        """The picture, uint8 [H, W, 3], after so many of its steps."""

    def finished(self, result: Result, *, full: bool) -> None:
        """The picture is done, or was stopped; `full` is False for a preview."""

    def failed(self, message: str) -> None:
        """It did not work out; why, in one line."""

    def resting(self) -> None:
        """Nothing is left to do."""


@dataclass(frozen=True)
class _Preview:
    """A preview, and how far it is.

    `age` is how many steps it has behind it, those of the pictures that it continues included, and
    `owed` how many it lacks, having been interrupted.
    """

    result: Result
    weights: np.ndarray
    age: int
    owed: int


@dataclass(eq=False)
class _Opened:
    """A photo and its styles, and all that has been made of them."""

    photo: Any
    styles: Sequence[Any]
    mask: np.ndarray | None = None
    looked_for_people: bool = False
    transfers: dict[bool, StyleTransfer] = field(default_factory=dict)
    previews: dict[Position, _Preview] = field(default_factory=dict)
    full: tuple[Any, StyleTransfer] | None = None


class BackgroundPainter:
    """Paints what was asked for last, in a thread of its own.

    Only the last question counts: a preview is broken off by the next, and what was not yet begun
    is forgotten. A full picture is broken off by `stop` alone. Every preview continues from the
    nearest that is painted already, so that neighbours look alike and cost few steps.

    Args:
        listener: Who is told; see `Listener`.
        preview_size: The longest side of previews, in pixels.
        options: Those of `StudioOptions`, of full pictures. Previews have vgg19-lite.
    """

    def __init__(
        self, listener: Listener, *, preview_size: int = 256, options: StudioOptions | None = None
    ) -> None:
        self._listener = listener
        self._preview_size = preview_size
        of_full = {**defaults(StudioOptions), **(options or {})}
        self._recipe = check_steps(of_full["steps"], get_recipe(of_full["recipe"]))
        self._of_full = {**of_full, "recipe": self._recipe}
        self.full_size: int = of_full["size"]
        self._opened: _Opened | None = None
        self._changed = threading.Condition()  # guards what follows
        self._asked: Callable[[], None] | None = None
        self._busy = False
        self._stopped = False
        self._closed = False
        self._thread: threading.Thread | None = None

    def open(self, photo: Any, styles: Sequence[Any]) -> None:
        """Takes other pictures, anything that `load_image` takes; what was painted is forgotten."""
        self._opened = _Opened(photo, list(styles))

    def warm_up(self) -> None:
        """Loads TensorFlow, which takes seconds, while nothing else is asked for."""
        self._ask(self._load)

    def preview(self, position: Position) -> None:
        """Asks for a preview; one that is being painted is broken off."""
        opened = self._pictures()
        self._ask(lambda: self._paint_preview(opened, position))

    def render(self, position: Position) -> None:
        """Asks for the full picture."""
        opened, size = self._pictures(), self.full_size
        self._ask(lambda: self._paint_full(opened, position, size))

    def stop(self) -> None:
        """Breaks off what is being painted, and forgets what was asked for."""
        with self._changed:
            self._stopped, self._asked = True, None

    def close(self, timeout: float | None = 10) -> None:
        """Stops, ends the thread, and lets go of pictures and networks."""
        with self._changed:
            self._stopped = self._closed = True
            # The widgets may be gone, and at exit so is what they send by.
            self._listener = Listener()
            self._changed.notify_all()
        atexit.unregister(self.close)
        if self._thread is not None:
            self._thread.join(timeout)
        self._asked = self._opened = None

    def wait(self, timeout: float | None = None) -> bool:
        """Waits until nothing is left to do; returns False if that took too long."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._busy and self._asked is None, timeout)

    def _pictures(self) -> _Opened:
        self._check_open()
        if self._opened is None:
            raise ValueError("there are no pictures: call open(photo, styles) first")
        return self._opened

    def _check_open(self) -> None:
        if self._closed:
            raise ValueError("the painter is closed: make another")

    # The thread

    def _ask(self, job: Callable[[], None]) -> None:
        with self._changed:
            self._check_open()
            self._asked = job
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="mnst", daemon=True)
                self._thread.start()
                # TensorFlow must not be at work while the interpreter is taken down.
                atexit.register(self.close)
            self._changed.notify_all()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._asked is not None or self._closed)
                if self._closed:
                    return
                job, self._asked = self._asked, None
                self._busy, self._stopped = True, False
            assert job is not None
            try:
                job()
            except Exception as error:  # whatever it is, somebody waits for a word
                self._listener.failed(one_line(error))
            if self._asked is None:
                self._listener.resting()

    @property
    def _overtaken(self) -> bool:
        return self._stopped or self._asked is not None

    # What it does

    def _load(self) -> None:
        self._listener.working("Loading TensorFlow")
        _ = tf.__version__  # which loads it

    def _paint_preview(self, opened: _Opened, position: Position) -> None:
        previews = opened.previews
        known = previews.get(position)
        if known is not None and not known.owed:
            self._listener.finished(known.result, full=False)
            return
        transfer = self._preview_transfer(opened, position)
        if self._overtaken:
            return
        sigma = _sigma(transfer, position)
        weights = np.multiply(position.gamma, sigma)
        weights /= weights.sum()
        near = known or _nearest(previews, position, weights)
        steps = known.owed if known is not None else _steps_from(near, weights)
        if near is not None:
            self._listener.showing(near.result.image, 0, steps)
        age = 0 if near is None else min(near.age, _CALM)
        result = transfer.run(
            gamma=position.gamma,
            sigma=sigma,
            steps=steps,
            init=None if near is None else near.result.image,
            warm=age,
            callback=self._callback(steps, _PREVIEW_PAUSE, lambda: self._overtaken),
            progress=False,
        )
        done = result.history[-1].step
        if age + done:
            previews[position] = _Preview(result, weights, age + done, steps - done)
            while len(previews) > _MOST_KEPT:
                del previews[next(iter(previews))]
        if not self._overtaken or self._stopped:
            self._listener.finished(result, full=False)

    def _paint_full(self, opened: _Opened, position: Position, size: int) -> None:
        mask = self._people(opened) if position.keep_people else None
        options = (size, position.keep_people)
        if opened.full is None or opened.full[0] != options:
            self._listener.working("Loading the network and looking at the pictures")
            opened.full = None  # two of them may not fit into memory
            chosen = {**defaults(SceneOptions), **self._of_full, "size": size, "mask": mask}
            of_scene = those_of(SceneOptions, chosen)
            opened.full = options, StyleTransfer(opened.photo, opened.styles, **of_scene)
        transfer = opened.full[1]
        result = transfer.run(
            gamma=position.gamma,
            sigma=_sigma(transfer, position),
            callback=self._callback(self._recipe.steps, _FULL_PAUSE, lambda: self._stopped),
            progress=False,
        )
        self._listener.finished(result, full=True)

    def _preview_transfer(self, opened: _Opened, position: Position) -> StyleTransfer:
        keep = position.keep_people
        if keep not in opened.transfers:
            mask = self._people(opened) if keep else None
            self._listener.working("Looking at the pictures")
            opened.transfers[keep] = StyleTransfer(
                opened.photo,
                opened.styles,
                recipe=_PREVIEW,
                size=self._preview_size,
                mask=mask,
                backbone=_PREVIEW_BACKBONE,
                precision=self._of_full["precision"],
            )
        return opened.transfers[keep]

    def _people(self, opened: _Opened) -> np.ndarray:
        """Returns the mask of the people in the photo, looking for them once."""
        if not opened.looked_for_people:
            from mnst.masks.segmentation import segment

            self._listener.working("Looking for people")
            found = segment(opened.photo, progress=False)
            if "person" in found.classes:
                opened.mask = found.mask("person")
            opened.looked_for_people = True
        if opened.mask is None:
            raise ValueError("no person was found in the photo: turn 'keep people' off")
        return opened.mask

    def _callback(
        self, steps: int, pause: float, ended: Callable[[], bool]
    ) -> Callable[[StepRecord], None]:
        """Returns a callback that shows the records, and ends the run when it shall end."""
        shown = time.monotonic()

        def show(record: StepRecord) -> None:
            nonlocal shown
            now = time.monotonic()
            # The start is on show already; it is the first stroke that somebody waits for.
            due = now - shown >= pause or record.step in (1, steps)
            if record.step and due:
                shown = now
                self._listener.showing(images.to_uint8(record.image), record.step, steps)
            if ended():
                raise StopIteration

        return show


def _sigma(transfer: StyleTransfer, position: Position) -> tuple[float, ...]:
    if position.calibrate:
        return transfer.closed_form_sigma()
    return (1.0,) * len(position.gamma)


def _nearest(
    previews: dict[Position, _Preview], position: Position, weights: np.ndarray
) -> _Preview | None:
    """Returns the picture whose styles have most nearly the same weights, gamma * sigma.

    Among those with the same pixels kept: the others lack what is beneath them.
    """
    alike = [preview for at, preview in previews.items() if at.keep_people == position.keep_people]
    return min(alike, key=lambda preview: _distance(preview.weights, weights), default=None)


def _steps_from(near: _Preview | None, weights: np.ndarray) -> int:
    if near is None:
        return _FIRST
    return min(_FIRST, near.owed + _NEXT + round(_FAR * _distance(near.weights, weights)))


def _distance(weights: np.ndarray, others: np.ndarray) -> float:
    """Returns how far two weightings are apart, 0 to 1; of two styles, the shares' difference."""
    return float(np.abs(weights - others).sum() / 2)
