"""What the crossfader shows, painted in a thread of its own: previews, and the full picture.

No widgets here. A `Painter` is asked for positions of the crossfader and tells a `View` what
becomes of them; who is behind the view, a notebook or a test, is all the same to it.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from mnst import images
from mnst.backend import tf
from mnst.errors import one_line
from mnst.painting.transfer import Result, StyleTransfer
from mnst.recipes import ARTICLE, Recipe, get_recipe

if TYPE_CHECKING:
    from mnst.engine.training import StepRecord

# The article's recipe in a hurry: its learning rate falls within a preview's steps.
_PREVIEW = ARTICLE.replace(name="preview", decay_steps=40)
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


class View(Protocol):
    """What a `Painter` tells; it calls from its own thread."""

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


class _Nobody:
    """Whom a closed painter tells: its widgets may be gone, and at exit so is what they send by."""

    def working(self, what: str) -> None: ...
    def showing(self, image: np.ndarray, step: int, steps: int) -> None: ...
    def finished(self, result: Result, *, full: bool) -> None: ...
    def failed(self, message: str) -> None: ...
    def resting(self) -> None: ...


@dataclass(frozen=True)
class _Painted:
    """A preview, and how far it is.

    `age` is how many steps it has behind it, those of the pictures that it continues included, and
    `owed` how many it lacks, having been interrupted.
    """

    result: Result
    weights: np.ndarray
    age: int
    owed: int


@dataclass(eq=False)
class _Scene:
    """A photo and its styles, and all that is known of them."""

    photo: Any
    styles: Sequence[Any]
    mask: np.ndarray | None = None
    looked_for_people: bool = False
    transfers: dict[bool, StyleTransfer] = field(default_factory=dict)
    painted: dict[Position, _Painted] = field(default_factory=dict)
    full: tuple[Any, StyleTransfer] | None = None


class Painter:
    """Paints what was asked for last, in a thread of its own.

    Only the last question counts: a preview is broken off by the next, and what was not yet begun
    is forgotten. A full picture is broken off by `stop` alone. Every preview continues from the
    nearest that is painted already, so that neighbours look alike and cost few steps.

    Args:
        view: Who is told; see `View`.
        size: The longest side of previews, in pixels.
        full_size: The longest side of full pictures.
        recipe: Of full pictures, as in `stylize`; so are the options that follow.
        steps: How many steps they take.
        backbone: Which network measures them; previews have vgg19-lite.
        weights: Path of its weights.
        precision: What both networks compute in.
    """

    def __init__(
        self,
        view: View,
        *,
        size: int = 256,
        full_size: int = 512,
        recipe: Recipe | str = ARTICLE,
        steps: int | None = None,
        backbone: str = "auto",
        weights: Any = None,
        precision: str = "auto",
    ) -> None:
        self._view = view
        self._size = size
        self.full_size = full_size
        chosen = get_recipe(recipe)
        self._recipe = chosen if steps is None else chosen.replace(steps=steps)
        self._network = {"backbone": backbone, "weights": weights, "precision": precision}
        self._precision = precision
        self._scene: _Scene | None = None
        self._changed = threading.Condition()  # guards what follows
        self._asked: Callable[[], None] | None = None
        self._busy = False
        self._stopped = False
        self._closed = False
        self._thread: threading.Thread | None = None

    def look(self, photo: Any, styles: Sequence[Any]) -> None:
        """Takes other pictures, anything that `load_image` takes; what was painted is forgotten."""
        self._scene = _Scene(photo, list(styles))

    def warm_up(self) -> None:
        """Loads TensorFlow, which takes seconds, while nothing else is asked for."""
        self._ask(self._load)

    def preview(self, position: Position) -> None:
        """Asks for a preview; one that is being painted is broken off."""
        scene = self._looked_at()
        self._ask(lambda: self._paint_preview(scene, position))

    def render(self, position: Position) -> None:
        """Asks for the full picture."""
        scene, size = self._looked_at(), self.full_size
        self._ask(lambda: self._paint_full(scene, position, size))

    def stop(self) -> None:
        """Breaks off what is being painted, and forgets what was asked for."""
        with self._changed:
            self._stopped, self._asked = True, None

    def close(self, timeout: float | None = 10) -> None:
        """Stops, and ends the thread."""
        with self._changed:
            self._stopped = self._closed = True
            self._view = _Nobody()
            self._changed.notify_all()
        atexit.unregister(self.close)
        if self._thread is not None:
            self._thread.join(timeout)

    def wait(self, timeout: float | None = None) -> bool:
        """Waits until nothing is left to do; returns False if that took too long."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._busy and self._asked is None, timeout)

    def _looked_at(self) -> _Scene:
        if self._scene is None:
            raise ValueError("there are no pictures: call look(photo, styles) first")
        return self._scene

    # The thread

    def _ask(self, job: Callable[[], None]) -> None:
        with self._changed:
            if self._closed:
                raise ValueError("the painter is closed: make another")
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
                self._view.failed(one_line(error))
            if self._asked is None:
                self._view.resting()

    @property
    def _overtaken(self) -> bool:
        return self._stopped or self._asked is not None

    # What it does

    def _load(self) -> None:
        self._view.working("Loading TensorFlow")
        _ = tf.__version__  # which loads it

    def _paint_preview(self, scene: _Scene, position: Position) -> None:
        painted = scene.painted
        known = painted.get(position)
        if known is not None and not known.owed:
            self._view.finished(known.result, full=False)
            return
        transfer = self._preview_transfer(scene, position)
        if self._overtaken:
            return
        sigma = _sigma(transfer, position)
        weights = np.multiply(position.gamma, sigma)
        weights /= weights.sum()
        near = known or _nearest(painted, position, weights)
        steps = _steps_from(near, weights, here=known is not None)
        if near is not None:
            self._view.showing(near.result.image, 0, steps)
        age = 0 if near is None else min(near.age, _CALM)
        result = transfer.run(
            gamma=position.gamma,
            sigma=sigma,
            steps=steps,
            init=None if near is None else near.result.image,
            warm=age,
            callback=self._shower(steps, _PREVIEW_PAUSE, lambda: self._overtaken),
            progress=False,
        )
        done = result.history[-1].step
        if age + done:
            painted[position] = _Painted(result, weights, age + done, steps - done)
            while len(painted) > _MOST_KEPT:
                del painted[next(iter(painted))]
        if not self._overtaken or self._stopped:
            self._view.finished(result, full=False)

    def _paint_full(self, scene: _Scene, position: Position, size: int) -> None:
        mask = self._people(scene) if position.keep_people else None
        options = (size, position.keep_people)
        if scene.full is None or scene.full[0] != options:
            self._view.working("Loading the network and looking at the pictures")
            scene.full = None  # two of them may not fit into memory
            transfer = StyleTransfer(
                scene.photo,
                scene.styles,
                recipe=self._recipe,
                size=size,
                mask=mask,
                **self._network,
            )
            scene.full = options, transfer
        transfer = scene.full[1]
        result = transfer.run(
            gamma=position.gamma,
            sigma=_sigma(transfer, position),
            callback=self._shower(self._recipe.steps, _FULL_PAUSE, lambda: self._stopped),
            progress=False,
        )
        self._view.finished(result, full=True)

    def _preview_transfer(self, scene: _Scene, position: Position) -> StyleTransfer:
        keep = position.keep_people
        if keep not in scene.transfers:
            mask = self._people(scene) if keep else None
            self._view.working("Looking at the pictures")
            scene.transfers[keep] = StyleTransfer(
                scene.photo,
                scene.styles,
                recipe=_PREVIEW,
                size=self._size,
                mask=mask,
                backbone=_PREVIEW_BACKBONE,
                precision=self._precision,
            )
        return scene.transfers[keep]

    def _people(self, scene: _Scene) -> np.ndarray:
        """Returns the mask of the people in the photo, looking for them once."""
        if not scene.looked_for_people:
            from mnst.masks.segmentation import segment

            self._view.working("Looking for people")
            found = segment(scene.photo, progress=False)
            if "person" in found.classes:
                scene.mask = found.mask("person")
            scene.looked_for_people = True
        if scene.mask is None:
            raise ValueError("no person was found in the photo: turn 'keep people' off")
        return scene.mask

    def _shower(
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
                self._view.showing(images.to_uint8(record.image), record.step, steps)
            if ended():
                raise StopIteration

        return show


def _sigma(transfer: StyleTransfer, position: Position) -> tuple[float, ...]:
    if position.calibrate:
        return transfer.closed_form_sigma()
    return (1.0,) * len(position.gamma)


def _nearest(
    painted: dict[Position, _Painted], position: Position, weights: np.ndarray
) -> _Painted | None:
    """Returns the picture whose styles have most nearly the same weights, gamma * sigma.

    Among those with the same pixels kept: the others lack what is beneath them.
    """
    alike = [one for at, one in painted.items() if at.keep_people == position.keep_people]
    return min(alike, key=lambda one: _distance(one.weights, weights), default=None)


def _steps_from(near: _Painted | None, weights: np.ndarray, *, here: bool) -> int:
    if near is None:
        return _FIRST
    if here:
        return near.owed
    return min(_FIRST, near.owed + _NEXT + round(_FAR * _distance(near.weights, weights)))


def _distance(one: np.ndarray, other: np.ndarray) -> float:
    """Returns how far two weightings are apart, 0 to 1; of two styles, the shares' difference."""
    return float(np.abs(one - other).sum() / 2)
