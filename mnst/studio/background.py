"""What the studio shows, painted in threads of its own: the live preview, paintings, films.

No pages here. A `BackgroundPainter` is told what lies on the table and what is wished for, and
tells a `Listener` what becomes of it. Who that is, a page or a test, is all the same to it.

Two threads share the work. The worker does what takes long, one thing after the other: it opens
photo and styles to be painted live, finds people, paints in full, makes films. The brush paints the
live picture whenever the controls move or something was learnt. That takes milliseconds, and so a
slider never waits for the worker.
"""

from __future__ import annotations

import atexit
import dataclasses
import gc
import math
import tempfile
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from mnst import images
from mnst.backend import tf
from mnst.errors import one_line
from mnst.networks import get_backbone
from mnst.painting.crossfades import check_animation
from mnst.painting.options import (
    NetworkOptions,
    SceneOptions,
    StudioOptions,
    check_scene,
    check_steps,
    those_of,
)
from mnst.painting.result import Result
from mnst.painting.signatures import defaults
from mnst.painting.transfer import stylize
from mnst.recipes import Recipe
from mnst.studio.pictures import Picture
from mnst.studio.turns import Turns
from mnst.studio.wishes import Quality, Wish, qualities

if TYPE_CHECKING:
    from mnst.engine.trainer import StepRecord
    from mnst.learning.live import Live

LIVE_SIZE = 384
"""The longest side of what is learnt, in pixels, and of a preview while the controls move."""

REST_SIZE = 768
"""The longest side of a preview while nobody moves."""

_AT_REST = 0.2  # seconds after the last move
_LOOK = 0.25  # seconds between two looks at what was learnt
_PAUSE = 0.5  # seconds between two pictures of a painting
_MOST_OPEN = 2  # live pictures that are kept, so that a tick can be taken back at once
_FILM_RATE = 24  # frames a second
_ENOUGH = 350  # steps, after which a live picture hardly changes to the eye

# Before anything is measured, what was known counts as much as so much of the work.
_OF_PRIOR = 0.05


@dataclass(frozen=True)
class Table:
    """What lies on the table: a photo, and styles in their order."""

    photo: Picture
    styles: tuple[Picture, ...]

    @property
    def names(self) -> list[str]:
        """Of the styles."""
        return [style.name for style in self.styles]


@dataclass(frozen=True)
class Order:
    """A painting that was asked for."""

    table: Table
    wish: Wish
    quality: Quality


@dataclass(frozen=True)
class FilmOrder:
    """A film that was asked for.

    Attributes:
        table: What it shows.
        wish: Where the controls stand, but for the mixture.
        seconds: How long it is, there and back.
        suffix: ".webp", ".gif" or ".mp4".
    """

    table: Table
    wish: Wish
    seconds: float
    suffix: str


AnyOrder = TypeVar("AnyOrder", Order, FilmOrder)


@dataclass(frozen=True)
class Work:
    """What it is at.

    Attributes:
        kind: "idle", "opening", "live", "segmenting", "painting" or "film".
        done: From 0 to 1; None, where nobody knows.
        seconds_left: None, where nobody knows.
        before: How many others are served first.
    """

    kind: str = "idle"
    done: float | None = None
    seconds_left: float | None = None
    before: int = 0


@dataclass(frozen=True)
class Frame:
    """A picture of now.

    Attributes:
        of: "live" or "painting".
        image: uint8 [H, W, 3 or 4].
        wish: What it was painted for.
        step: Of how many steps it is the outcome.
        rough: Whether a sharper one follows.
    """

    of: str
    image: np.ndarray
    wish: Wish
    step: int
    rough: bool = False


class Listener:
    """Whom a `BackgroundPainter` tells, from its own threads; this one does nothing about it."""

    def working(self, work: Work) -> None:
        """It is at something else, or further."""

    def showing(self, frame: Frame) -> None:
        """There is a picture to be shown."""

    def painted(self, order: Order, result: Result, seconds: float) -> None:
        """A painting is done, or was stopped."""

    def filmed(self, order: FilmOrder, data: bytes, still: np.ndarray, seconds: float) -> None:
        """A film is done; `still` is its middle."""

    def found_people(self, photo: Picture, mask: np.ndarray | None) -> None:
        """Where the people in a photo are, float32 [H, W]; None, if there are none."""

    def failed(self, message: str) -> None:
        """It did not work out; why, in one line."""


def checked(options: StudioOptions) -> tuple[Recipe, dict[str, Any]]:
    """Checks what costs nothing to check; returns the recipe with its steps, and all options.

    Raises:
        ValueError: If an option is out of range.
        TypeError: If an option is of another kind than it takes.
        FileNotFoundError: If the weights that were given aren't there.
    """
    chosen = {**defaults(StudioOptions), **options}
    recipe = check_scene(those_of(SceneOptions, {**defaults(SceneOptions), **chosen}))
    get_backbone(chosen["backbone"]).find_weights(chosen["weights"])
    return check_steps(chosen["steps"], recipe), chosen


class BackgroundPainter:
    """Paints what lies on the table, as it is wished for.

    Args:
        listener: Who is told; see `Listener`.
        options: Those of `StudioOptions`.
        turns: Where several share a machine: whose turn it is.
        learning: The most seconds that a live picture may learn; None is as long as it gains.

    Attributes:
        qualities: What a painting can be painted in, by name.
        strength: That of the recipe; None where it has none.
        rates: Seconds for each pixel and step, as measured: by the name of a quality, and "live".
            "opening" are the seconds before the first step.

    Raises:
        ValueError: If an option is out of range.
    """

    def __init__(
        self,
        listener: Listener,
        *,
        options: StudioOptions | None = None,
        turns: Turns | None = None,
        learning: float | None = None,
    ) -> None:
        self._recipe, chosen = checked(options or {})
        self._network = those_of(NetworkOptions, chosen)
        self.qualities = qualities(self._recipe, self._network.pop("size"))
        self.strength, self.rates = self._recipe.strength, dict[str, float]()
        self._listener, self._turns, self._learning = listener, turns, learning
        self._opened: OrderedDict[Any, Live] = OrderedDict()  # the worker's alone
        self._masks: dict[str, np.ndarray | None] = {}  # of people, by the photos' keys
        self._changed = threading.Condition()  # guards what follows
        self._table: Table | None = None
        self._wish = Wish()
        self._moved = 0.0  # when the controls were moved last
        self._current: tuple[Any, Live] | None = None  # what is painted live, and its key
        self._shown: Any = None  # what was painted live last
        self._refused: Any = None  # the key of what could not be opened
        self._tasks: deque[tuple[Callable[[], None], bool]] = deque()  # and if `stop` drops them
        self._task_runs = self._stopping = self._closed = False
        self._unseen = self._unseen_before = False
        self._threads: list[threading.Thread] = []

    # What it is told

    def show(self, table: Table | None, wish: Wish, *, anew: bool = False) -> None:
        """Takes what lies on the table, and where the controls stand.

        Args:
            table: None, if something is lacking.
            wish: Where the controls stand.
            anew: Show a picture of it, even if it is the one that was shown last.
        """
        with self._changed:
            self._check_open()
            if anew or table != self._table:
                self._shown = None
            if wish != self._wish or table != self._table:
                self._moved = time.monotonic()
            self._table, self._wish, self._refused = table, wish, None
            if table is not None:
                self._start()
            self._changed.notify_all()

    def look(self, *, seen: bool) -> None:
        """Learns only while somebody looks; what was asked for is painted all the same."""
        with self._changed:
            self._unseen = not seen
            self._changed.notify_all()

    def warm_up(self) -> None:
        """Loads TensorFlow, which takes seconds, while somebody is choosing pictures."""
        with self._changed:
            self._check_open()
            self._start()

    def paint(self, order: Order) -> None:
        """Asks for a painting, after those that were asked for before."""
        self._ask(lambda: self._paint(self._with_people(order)))

    def film(self, order: FilmOrder) -> None:
        """Asks for a film; what it is made of is painted live.

        Raises:
            ValueError: If there is one style, or the film is of no kind that can be written.
        """
        if len(order.table.styles) < 2:
            raise ValueError("a film leads from style to style: add another one")
        check_animation(f"film{order.suffix}")
        self._ask(lambda: self._film(self._with_people(order)))

    def find_people(self, photo: Picture) -> None:
        """Asks where the people in a photo are."""
        self._ask(lambda: self._find_people(photo), stops=False)

    def stop(self) -> None:
        """Breaks off the painting or film that it is at, and forgets those that were asked for."""
        with self._changed:
            self._tasks = deque((job, stops) for job, stops in self._tasks if not stops)
            self._stopping = self._task_runs
            self._changed.notify_all()

    def close(self, timeout: float | None = 10) -> None:
        """Stops, ends the threads, and lets go of pictures and networks."""
        with self._changed:
            self._closed = self._stopping = True
            self._listener = Listener()  # nobody may be there any more to be told
            self._tasks.clear()
            self._changed.notify_all()
        atexit.unregister(self.close)
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(timeout)

    @property
    def orders(self) -> int:
        """How many things that were asked for are not done yet."""
        with self._changed:
            return len(self._tasks) + self._task_runs

    def wait(self, timeout: float | None = None) -> bool:
        """Waits until it is at nothing that was asked for; returns False if that took too long."""
        with self._changed:
            return self._changed.wait_for(
                lambda: not self._task_runs and not self._has_work(), timeout
            )

    def _check_open(self) -> None:
        if self._closed:
            raise ValueError("the studio is closed: open another")

    def _ask(self, task: Callable[[], None], *, stops: bool = True) -> None:
        with self._changed:
            self._check_open()
            self._tasks.append((task, stops))
            self._start()
            self._changed.notify_all()

    def _start(self) -> None:
        if self._threads:
            return
        self._threads = [
            threading.Thread(target=target, name=name, daemon=True)
            for name, target in {"mnst worker": self._work, "mnst brush": self._brush}.items()
        ]
        for thread in self._threads:
            thread.start()
        # TensorFlow must not be at work while the interpreter is taken down.
        atexit.register(self.close)

    # The worker

    def _work(self) -> None:
        _ = tf.__version__  # which loads it
        while (job := self._next_job()) is not None:
            try:
                if self._take_turn():
                    job()
            except Exception as error:  # whatever it is, somebody waits for a word
                self._listener.failed(one_line(error))
            finally:
                with self._changed:
                    self._task_runs = self._stopping = False
                    self._changed.notify_all()
        for live in self._opened.values():
            live.stop()
        self._opened.clear()
        self._current = None
        self._give_turn_back()

    def _next_job(self) -> Callable[[], None] | None:
        """Waits for something to do; None, once it is closed."""
        watched = False
        while True:
            if self._turns is not None and self._turns.is_over(self):
                self._wait_for_others()
                watched = False
            with self._changed:
                if self._closed:
                    return None
                if self._has_work():
                    self._task_runs = bool(self._tasks)
                    return self._tasks.popleft()[0] if self._tasks else self._open_live
                current, key, unseen = self._current, self._key(), self._unseen
            # Not under the lock: who is told may hold one of their own, and ask for something.
            learning = False
            if current is not None:
                wanted = current[0] == key and not unseen
                if watched and not current[1].learning:
                    self._check_learnt(*current)
                elif wanted and not watched:
                    self._learn_on(*current)
                learning = current[1].learning
                if learning:
                    self._watch(current[1], wanted=wanted)
            if not learning:
                self._rest()
            watched = learning
            with self._changed:
                self._unseen_before = unseen
                self._changed.wait_for(self._has_news, _LOOK if learning else None)

    def _has_news(self) -> bool:
        return self._closed or self._has_work() or self._unseen != self._unseen_before

    def _has_work(self) -> bool:
        return bool(self._tasks) or self._key() not in (
            None,
            self._refused,
            self._current and self._current[0],
        )

    def _key(self) -> Any:
        """Returns what tells the live picture that is wished for; None, if there can't be one."""
        if self._table is None or not self._table.styles:
            return None
        return _live_key(self._table, self._wish)

    def _watch(self, live: Live, *, wanted: bool) -> None:
        """Says how far a live picture is; one that nobody wants any more learns no more."""
        if not wanted:
            live.stop()
        self._measure(live)
        self._listener.working(Work("live", done=min(1.0, live.steps / _ENOUGH)))

    def _check_learnt(self, key: Any, live: Live) -> None:
        """Says what has ended the learning, if it was an error."""
        try:
            live.wait()
        except Exception as error:
            self._refused = key
            self._listener.failed(one_line(error))

    def _measure(self, live: Live) -> None:
        """Learns from the last two looks how long a step takes, in the full size."""
        looks = live.history[-2:]
        if len(looks) == 2 and looks[1].step >= 2 * (looks[1].step - looks[0].step):
            taken = (looks[1].seconds - looks[0].seconds) / (looks[1].step - looks[0].step)
            self.rates["live"] = taken / _pixels(live)

    def _rest(self) -> None:
        self._give_turn_back()
        self._listener.working(Work())

    def _take_turn(self) -> bool:
        if self._turns is None:
            return True
        return self._turns.take(
            self,
            waiting=lambda before: self._listener.working(Work("opening", before=before)),
            given_up=lambda: self._closed,
        )

    def _wait_for_others(self) -> None:
        """Lets those who wait work first, and goes on then."""
        if self._current is not None:
            self._current[1].stop()
        self._give_turn_back()
        self._take_turn()

    def _give_turn_back(self) -> None:
        if self._turns is not None:
            self._turns.give_back(self)

    @contextmanager
    def _quiet(self) -> Iterator[None]:
        """Has nothing learn meanwhile."""
        current = self._current
        if current is not None:
            current[1].stop()
        try:
            yield
        finally:
            if current is not None and not self._closed:
                self._learn_on(*current)

    def _learn_on(self, key: Any, live: Live) -> None:
        """Goes on learning, unless it has learnt, or was ended by an error, or nobody looks."""
        held = self._unseen or key == self._refused
        if not (held or live.completed or live.learning):
            live.learn(seconds=self._learning)

    def _open_live(self) -> None:
        """Opens what lies on the table."""
        with self._changed:
            key, table, wish = self._key(), self._table, self._wish
            before = self._current
        if key is None or table is None:
            return
        if before is not None:
            before[1].stop()
        try:
            live = self._live_of(table, wish)
        except Exception:
            with self._changed:
                self._refused = key
            raise
        self._learn_on(key, live)
        with self._changed:
            self._current = key, live
            self._changed.notify_all()

    def _live_of(self, table: Table, wish: Wish) -> Live:
        """Opens a live picture, or returns the one that was open before."""
        key = _live_key(table, wish)
        if key not in self._opened:
            self._listener.working(Work("opening"))
            self._opened[key] = self._opened_live(table, wish)
        # The oldest goes; what is painted live stays, also while a film is made of another.
        if self._current is not None and self._current[0] in self._opened:
            self._opened.move_to_end(self._current[0])
        self._opened.move_to_end(key)
        while len(self._opened) > _MOST_OPEN:
            self._opened.popitem(last=False)
            gc.collect()  # its compiled steps serve the next one
        return self._opened[key]

    def _opened_live(self, table: Table, wish: Wish) -> Live:
        from mnst.learning.live import live

        mask = self._people_in(table.photo) if wish.keep_people else None
        return live(
            table.photo.data,
            [style.data for style in table.styles],
            seconds=self._learning,
            recipe=self._recipe,
            size=LIVE_SIZE,
            sigma="auto",
            mask=mask,
            progress=False,
            **self._network,
            **wish.of_scene,
        )

    def _find_people(self, photo: Picture) -> None:
        with self._quiet():
            self._listener.working(Work("segmenting"))
            self._listener.found_people(photo, self._people_in(photo))

    def _people_in(self, photo: Picture) -> np.ndarray | None:
        """Returns the mask of the people in a photo, looking for them once."""
        if photo.key not in self._masks:
            from mnst.masks.segmentation import segment

            found = segment(photo.data, progress=False)
            some = "person" in found.classes
            self._masks[photo.key] = found.mask("person") if some else None
        return self._masks[photo.key]

    def _with_people(self, order: AnyOrder) -> AnyOrder:
        """Returns what was asked for, maybe before it was known that nobody is in the photo."""
        wish = order.wish
        if wish.keep_people and self._people_in(order.table.photo) is None:
            return dataclasses.replace(order, wish=dataclasses.replace(wish, keep_people=False))
        return order

    def _paint(self, order: Order) -> None:
        photo, quality = order.table.photo, order.quality
        work = quality.work(photo.height, photo.width)
        progress = _Progress(work, max(photo.height, photo.width), self.rate(quality.name))
        self._listener.working(Work("painting", 0.0, progress.seconds_left))
        shown = time.monotonic()

        def show(record: StepRecord) -> None:
            nonlocal shown
            now = time.monotonic()
            progress.step(record, photo)
            if record.step and now - shown >= _PAUSE:
                shown = now
                self._listener.working(Work("painting", progress.done, progress.seconds_left))
                image = images.to_uint8(record.image)
                self._listener.showing(Frame("painting", image, order.wish, record.step, True))
            if self._stopping:
                raise StopIteration

        began = time.monotonic()
        with self._quiet():
            result = stylize(
                photo.data,
                [style.data for style in order.table.styles],
                recipe=quality.recipe,
                size=quality.size,
                sigma="auto",
                callback=show,
                progress=False,
                **self._network,
                **order.wish.options,
            )
        if result.completed:
            self.rates[quality.name] = progress.rate
            self.rates["opening"] = time.monotonic() - began - result.history[-1].seconds
        if result.history[-1].step:
            self._listener.painted(order, result, time.monotonic() - began)

    def rate(self, quality: str) -> float | None:
        """Returns seconds for each pixel and step, as far as it is known.

        Best of all from the same quality, which has the same sizes and steps; else from another; or
        else from the preview, which takes no time to compile steps for.
        """
        order = (quality, *self.qualities, "live")
        return next((self.rates[name] for name in order if name in self.rates), None)

    def seconds(self, quality: Quality, photo: Picture) -> float | None:
        """Estimates how long a painting takes; None, if nothing is known yet."""
        rate = self.rate(quality.name)
        if rate is None:
            return None
        return self.rates.get("opening", 0.0) + rate * quality.work(photo.height, photo.width)

    def _film(self, order: FilmOrder) -> None:
        began = time.monotonic()
        self._listener.working(Work("film", 0.0))
        if _live_key(order.table, order.wish) == self._key():
            self._open_live()  # and shows it meanwhile
        with self._quiet(), tempfile.TemporaryDirectory(prefix="mnst-film-") as folder:
            live = self._live_of(order.table, order.wish)
            has_learnt = self._learns_enough(live)
            live.stop()
            if not has_learnt:
                return
            self._listener.working(Work("film"))
            frames = 1 + round(order.seconds * _FILM_RATE / 2)
            strength = order.wish.strength
            faded = live.crossfade(frames=frames, strength=strength, size=REST_SIZE)
            file = Path(folder, f"film{order.suffix}")
            faded.save(file, fps=_FILM_RATE)
            still = faded.frames[len(faded.frames) // 2]
            self._listener.filmed(order, file.read_bytes(), still, time.monotonic() - began)

    def _learns_enough(self, live: Live) -> bool:
        """Goes on until it hardly changes to the eye; returns False if that was broken off."""
        if live.steps < _ENOUGH and not (live.completed or live.learning):
            live.learn(seconds=self._learning)
        while live.learning and live.steps < _ENOUGH:
            self._measure(live)
            rate, steps = self.rates.get("live"), live.steps
            left = None if rate is None else rate * _pixels(live) * (_ENOUGH - steps)
            self._listener.working(Work("film", steps / _ENOUGH, left))
            with self._changed:
                if self._changed.wait_for(lambda: self._stopping or self._closed, _LOOK):
                    return False
        return True

    # The brush

    def _brush(self) -> None:
        while True:
            with self._changed:
                while not self._closed and (due := self._due()) is None:
                    self._changed.wait(self._patience)
                if self._closed:
                    return
                self._shown = due
            live, wish, steps, rough = due
            try:
                painted = live.paint(
                    wish.gamma, strength=wish.strength, size=None if rough else REST_SIZE
                )
                self._listener.showing(Frame("live", painted, wish, steps, rough))
            except Exception as error:
                self._listener.failed(one_line(error))

    @property
    def _patience(self) -> float | None:
        """How long nothing can be due; None is until something moves."""
        if self._is_moving:
            return _AT_REST / 4
        learning = self._current is not None and self._current[1].learning
        return _LOOK if learning else None

    @property
    def _is_moving(self) -> bool:
        return time.monotonic() - self._moved < _AT_REST

    def _due(self) -> Any:
        """Returns what has to be painted live, unless it is what was shown last."""
        shown = self._shown
        if self._current is None or self._current[0] != self._key():
            return None
        live = self._current[1]
        due = live, self._wish, live.steps, self._is_moving
        if shown is None or due[:3] != shown[:3]:
            return due
        return due if shown[3] and not due[3] else None


def _pixels(live: Live) -> int:
    """Returns the pixels of the size that is learnt."""
    return math.prod(live.settings["sizes"][-1])


def _live_key(table: Table, wish: Wish) -> Any:
    """Returns what tells a live picture from others."""
    keys = tuple(picture.key for picture in (table.photo, *table.styles))
    return keys, wish.keep_people, wish.stroke, wish.keep_colours


class _Progress:
    """How far a painting is, in pixels times steps, and how fast.

    Args:
        work: Of all of it.
        long: The photo's long side, in pixels.
        rate: What a pixel and step takes, as far as it is known before.
    """

    def __init__(self, work: float, long: int, rate: float | None) -> None:
        self._work, self._long, self._prior = work, long, rate
        self._so_far = self._seconds = 0.0

    def step(self, record: StepRecord, photo: Picture) -> None:
        """Takes a step into account."""
        if record.step:
            scale = record.size / self._long
            self._so_far += photo.height * photo.width * scale**2
        self._seconds = record.seconds

    @property
    def done(self) -> float:
        """From 0 to 1."""
        return min(1.0, self._so_far / self._work)

    @property
    def rate(self) -> float:
        """Seconds for each pixel and step."""
        prior = 0.0 if self._prior is None else _OF_PRIOR * self._work
        return (self._seconds + prior * (self._prior or 0.0)) / max(self._so_far + prior, 1.0)

    @property
    def seconds_left(self) -> float | None:
        """None, as long as nothing is known."""
        if self._prior is None and self.done < _OF_PRIOR:
            return None
        return self.rate * max(self._work - self._so_far, 0.0)
