"""`live()`: a network learns a photo and its styles, and paints them at every gamma at once."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from mnst import __version__, images
from mnst.backend import keras, tf
from mnst.checks import check_number, check_whole, shown
from mnst.engine.trainer import StepRecord
from mnst.learning import files
from mnst.learning.controls import Controls
from mnst.learning.ground import Ground
from mnst.learning.learner import Learner, inner_window
from mnst.learning.lessons import Lessons
from mnst.learning.network import LiveNetwork, Window
from mnst.objective.mixing import style_sigmas
from mnst.painting.crossfades import Crossfade
from mnst.painting.gammas import crossed, gamma_in_words
from mnst.painting.options import LiveOptions, SceneOptions, check_run, check_scene, those_of
from mnst.painting.scene import style_list
from mnst.painting.signatures import takes
from mnst.painting.transfer import StyleTransfer
from mnst.reporting.plots import axes, log_axis
from mnst.reporting.sheets import contact_sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from typing_extensions import Unpack

STEPS = 700

# What a network weighs is there itself and as its mean, once more as it is painted with, as its
# gradient, and twice in what the optimiser remembers.
_COPIES = 6


class Live:
    """A photo and its styles, painted at once wherever the controls stand.

    `mnst.live` makes one that learns, `mnst.open_live` one that was kept. It may be asked for
    pictures from the beginning, and while it learns: it paints with what it knew some two seconds
    before, all frames of a crossfade with the same.

    Attributes:
        settings: What it learns from and with. `save` puts it into the file.
        transfer: The scene, opened, for full paintings: `live.transfer.run(init=live.paint(0.3),
            gamma=0.3, steps=30)`. None, if it was opened from a file.
        memory: Bytes that learning is planned to take at the most: on a GPU those of the GPU, else
            those of the whole process. 0, if it was opened from a file.
    """

    def __init__(
        self,
        network: LiveNetwork,
        window: Window,
        controls: Controls,
        ground: Ground,
        settings: Mapping[str, Any],
        transfer: StyleTransfer | None = None,
        memory: int = 0,
    ) -> None:
        self.settings, self.transfer, self.memory = dict(settings), transfer, memory
        self._network, self._window = network, window
        self._controls, self._ground = controls, ground
        self._sized = functools.lru_cache(maxsize=4)(ground.sized)
        self._lessons: Lessons | None = None
        self._painting = threading.RLock()  # whoever paints, or changes what is painted with

    def __repr__(self) -> str:
        height, width = self._ground.sides
        return (
            f"<mnst.Live: {width} x {height} pixels, {self._controls.styles} styles, "
            f"{self.steps} steps{', learning' * self.learning}>"
        )

    # Painting

    def paint(
        self, gamma: Any = None, *, strength: float | None = None, size: int | None = None
    ) -> np.ndarray:
        """Paints the picture at a position of the controls.

        Args:
            gamma: As in `stylize`, but for layers and pictures: the share of style 1 of two, the
                share of each style, or {"colour": .., "form": ..}. None is equal shares.
            strength: From 0, mostly the photo, to 1; None is what the recipe says.
            size: The longest that the long side may be, in pixels. None is the size it has learnt
                in. In a larger one strokes are as sharp as they were learnt, and the photo beneath
                is as sharp as it is.

        Returns:
            uint8 [H, W, 3], RGB; of a transparent photo [H, W, 4].

        Raises:
            ValueError: If a control is out of range, or it can't be painted in that size.
            OSError: If it takes the photo again for that, and it can't be read any more.

        Example:
            >>> live = mnst.live("photo.jpg", ["a.jpg", "b.jpg"])  # doctest: +SKIP
            >>> mnst.save_image("out.png", live.paint(0.3))  # doctest: +SKIP
        """
        vector = self._controls.vector(self._controls.position(gamma, strength))
        return self._painted(vector, self._ground_in(size))

    def _ground_in(self, size: Any) -> Ground:
        return self._sized(None if size is None else check_whole("size", size))

    def _painted(self, vector: np.ndarray, ground: Ground) -> np.ndarray:
        with self._painting:
            painting = self._network(tf.constant(ground.beneath), tf.constant(vector), self._window)
        return ground.seen(painting)

    def crossfade(
        self,
        path: Sequence[Any] | Callable[[float], Any] | None = None,
        *,
        frames: int = 51,
        strength: float | None = None,
        size: int | None = None,
    ) -> Crossfade:
        """Paints a way between styles; no frame waits for the one before, and none flickers.

        Args:
            path: Where gamma goes, as in `mnst.crossfade`, but for layers and pictures: a list of
                stations, or a function of 0 to 1. None leads from the last style to the first.
            frames: How many frames there are, 2 or more.
            strength: From 0, mostly the photo, to 1; None is what the recipe says.
            size: As in `paint`.

        Returns:
            The frames, to be saved as GIF, WebP or MP4; their relative improvement is not measured.

        Raises:
            ValueError: If an option or a station is out of range, or there is one style.
            OSError: As in `paint`.
        """
        way, ground = self._controls.way(path, frames, strength), self._ground_in(size)
        vectors = [self._controls.vector(position) for _, position in way]
        with self._painting:
            return Crossfade(
                frames=tuple(self._painted(vector, ground)[..., :3] for vector in vectors),
                gammas=tuple(gamma for gamma, _ in way),
                relative_improvement=None,
                steps=self.steps,
                alpha=ground.alpha,
            )

    def grid(
        self,
        gamma: Mapping[str, Sequence[Any]],
        *,
        strength: float | None = None,
        width: int = 320,
    ) -> Image.Image:
        """Returns a sheet of every combination of two crossfaders, the first over the columns.

        Args:
            gamma: A list for each: {"colour": [0, 0.5, 1], "form": [0, 0.5, 1]}.
            strength: As in `paint`.
            width: Of a picture on the sheet, in pixels.

        Raises:
            ValueError: If a list is empty, or a gamma is out of range.
        """
        with self._painting:
            cells = [
                (gamma_in_words(each, str), self._fitted(each, strength, width))
                for each in crossed(gamma)
            ]
        return contact_sheet(cells, columns=len(next(iter(gamma.values()))), width=width)

    def _fitted(self, gamma: Any, strength: float | None, width: int) -> Image.Image:
        picture = self.paint(gamma, strength=strength)
        laid = Image.fromarray(images.on_white(picture[..., :3], self._ground.alpha))
        return laid.resize((width, max(1, round(width * laid.height / laid.width))))

    # Learning

    @property
    def learning(self) -> bool:
        """Whether it learns now."""
        return self._lessons is not None and self._lessons.going_on

    @property
    def completed(self) -> bool:
        """False while it learns, and if that was stopped; True also for one that was kept."""
        return self._lessons is None or self._lessons.completed

    @property
    def steps(self) -> int:
        """How many steps what it paints with took to learn."""
        return int(self.settings["steps"])

    @property
    def history(self) -> tuple[StepRecord, ...]:
        """What was found whenever it looked how far it is.

        The loss "left" is what is left of the photo's total loss: the geometric mean over all of
        each style, their middle, and the colours of one with the forms of another.
        """
        return () if self._lessons is None else tuple(self._lessons.learner.looks)

    def learn(self, *, steps: int = STEPS, seconds: float | None = None) -> None:
        """Goes on learning in the background, after it was stopped or has ended.

        Args:
            steps: Until so many are behind it, in all. It ends before, when it gains no more.
            seconds: For so many at the most; None is as long as it takes.

        Raises:
            ValueError: If a number is out of range, or it was opened from a file: to go on from one
                is `mnst.live(photo, styles, resume=path)`.
            RuntimeError: If it is learning already.
        """
        lessons = self._own_lessons("learn")
        lessons.start(check_whole("steps", steps), _check_seconds(seconds))

    def stop(self) -> None:
        """Ends learning after the step that it is at; what was learnt is there to paint with."""
        if self._lessons is not None:
            self._lessons.stop()

    def wait(self, seconds: float | None = None) -> bool:
        """Waits until it has learnt; Ctrl-C ends the learning.

        Args:
            seconds: How long at the most; None is as long as it takes.

        Returns:
            Whether it has ended: False, if it is learning still.

        Raises:
            DivergenceError: If a loss turned NaN or infinite, and learning ended of that; any other
                error that has ended it, such as a callback's, likewise.
        """
        if self._lessons is None:
            return True
        try:
            return self._lessons.wait(_check_seconds(seconds))
        except KeyboardInterrupt:
            self.stop()
            return True

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draws what is left of the photo's loss over the seconds of learning.

        Args:
            ax: Matplotlib axes to draw on; a new figure, if not given.
        """
        ax = axes(ax)
        seconds = [look.seconds for look in self.history]
        ax.plot(seconds, [look.losses["left"] for look in self.history], marker=".")
        ax.set(xlabel="seconds of learning", ylabel="total loss / total loss of the content image")
        return log_axis(ax)

    def _own_lessons(self, what: str) -> Lessons:
        if self._lessons is None:
            raise ValueError(
                f"a live picture that was opened from a file can't {what}: give "
                f"mnst.live(photo, styles, resume=path) one that was saved resumable"
            )
        return self._lessons

    def _take_lessons(self, learner: Learner, options: Mapping[str, Any]) -> None:
        self._lessons = Lessons(
            learner, self._heading, self.settings, options, self._share, self._looked
        )

    def _share(self, step: int) -> None:
        """Paints from now on with what is learnt."""
        assert self._lessons is not None
        learnt = self._lessons.learner.shown.as_arrays()
        with self._painting:
            self._network.assign({name: _kept(values) for name, values in learnt.items()})
            self.settings["steps"] = step

    def _looked(self, record: StepRecord) -> StepRecord:
        return record.with_image(self.paint()[np.newaxis, ..., :3])

    def _heading(self, steps: int) -> list[str]:
        """Returns what learning says of itself before its first step."""
        assert self.transfer is not None
        scene, (height, width) = self.transfer.scene, self._ground.sides
        return [
            f"mnst {__version__}: {scene.network_named}",
            f"{width} x {height} pixels, {self._controls.styles} styles, to be painted live: "
            f"{self._network.weights:,} weights learn in at most {steps} steps",
        ]

    # Files

    def save(self, path: str | os.PathLike[str], *, resumable: bool = False) -> None:
        """Keeps what was learnt, whole or not at all; `mnst.open_live` opens it.

        It has the photo in it, in the size it was learnt in, and nothing of the styles.

        Args:
            path: Ends in .npz.
            resumable: With all that it takes to go on learning, which is six times as much.

        Raises:
            ValueError: If the name ends otherwise, or it was opened from a file and is to be
                resumable.
            OSError: If the file can't be written. What was there before is left as it was.
        """
        images.check_arrays_place(path)
        with self._painting:
            settings, learnt = dict(self.settings), self._network.as_arrays()
        arrays = self._ground.as_arrays()
        arrays |= {f"learnt/{name}": of.astype(np.float16) for name, of in learnt.items()}
        if resumable:
            learner = self._own_lessons("be saved resumable").learner
            if self.learning:
                raise RuntimeError("it is learning: stop() it before it is saved resumable")
            arrays |= {f"learner/{name}": of for name, of in learner.as_arrays().items()}
            settings["looks"] = [dataclasses.asdict(look.numbers()) for look in learner.looks]
        files.write(path, arrays, settings)


def _kept(values: np.ndarray) -> np.ndarray:
    """Returns values as a file keeps them, so that it paints the very same picture."""
    return values.astype(np.float16).astype(np.float32)


def _check_seconds(seconds: Any) -> float | None:
    if seconds is None:
        return None
    return check_number("seconds", seconds, lambda value: value > 0, "more than 0")


@takes(LiveOptions, size=384)
def live(
    photo: Any,
    styles: Any,
    *,
    steps: int = STEPS,
    seconds: float | None = None,
    seed: int = 0,
    resume: str | os.PathLike[str] | None = None,
    **options: Unpack[LiveOptions],
) -> Live:
    """Learns to paint a photo in its styles, so that every gamma takes milliseconds.

    A small network learns this photo and these styles, nothing else, by the recipe's own losses, in
    a minute or two and in the background: the pictures are there from the beginning, rough at
    first. Colour and form apart, and strength, are learnt with it, where the recipe has them.

    Args:
        photo: The content image, as in `stylize`.
        styles: A list of style images, as in `stylize`, or a single one.
        steps: How many steps it learns at the most. It ends before, when it gains no more.
        seconds: How long it learns at the most; None is as long as it takes.
        seed: Of the positions that it draws to learn from.
        resume: A file that `Live.save` wrote with resumable=True, to go on from: of the same photo,
            styles and options. It comes to the same bytes as if it had not been interrupted.
        **options: Those of `LiveOptions`.

    Returns:
        What paints, while it learns; `wait()` waits until it has learnt.

    Raises:
        ValueError: If an option or a picture is out of range, it would not fit into memory, or
            `resume` is of something else.
        TypeError: If a picture or an option is of another kind than it takes.
        FileNotFoundError: If a picture, the weights or the file aren't there.
        OSError: If a picture can't be downloaded or opened, or there can't be a folder for logs.
        ImportError: If `log_dir` is given without TensorBoard.
        WeightsError: If the weights or DeepLab can't be had, or don't fit.

    Example:
        >>> live = mnst.live("photo.jpg", ["a.jpg", "b.jpg"], sigma="auto")  # doctest: +SKIP
        >>> live.wait(20)  # doctest: +SKIP
        False
        >>> live.paint(0.3)  # doctest: +SKIP
        >>> live.crossfade().save("fade.webp")  # doctest: +SKIP
    """
    steps, seconds = check_whole("steps", steps), _check_seconds(seconds)
    seed = check_whole("seed", seed, 0)
    before = None if resume is None else files.read(resume, "resume")
    recipe = check_run(
        {**options, "seed": seed, "steps": None}, len(style_list(styles)), check_scene(options)
    )
    if isinstance(options["sigma"], Mapping):
        raise ValueError(
            f"sigma is {shown(options['sigma'])}: a live picture has one for all crossfaders; give "
            f"a number for each style"
        )
    transfer = StyleTransfer(photo, styles, **those_of(SceneOptions, {**options, "recipe": recipe}))
    scene = transfer.scene
    sigma = options["sigma"]
    sigma = transfer.closed_form_sigma() if sigma == "auto" else style_sigmas(sigma, scene.styles)
    controls = Controls.of(scene.recipe, sigma)
    settings = _settings(transfer, controls, seed)
    learner = Learner(transfer, controls, seed)
    memory = _planned_memory(transfer, learner.network)
    if before is not None:
        _go_on(learner, settings, *before)
    made = Live(
        learner.shown.copy(),
        inner_window(scene.canvases[-1]),
        controls,
        Ground.of(scene, photo),
        settings,
        transfer,
        memory,
    )
    made._take_lessons(learner, options)
    made.learn(steps=steps, seconds=seconds)
    return made


def open_live(path: str | os.PathLike[str], *, photo: Any = None) -> Live:
    """Opens a live picture that `Live.save` has kept. Nothing that the file holds is run.

    Args:
        path: Of the file.
        photo: The photo that it has learnt, to paint larger than it has learnt: anything that
            `mnst.load_image` takes. The file has it in the size that was learnt.

    Returns:
        What paints, the very same pictures.

    Raises:
        TypeError: If it is no path.
        FileNotFoundError: If there is no such file.
        OSError: If it can't be opened.
        ValueError: If it is damaged, or no such file.

    Example:
        >>> mnst.open_live("live.npz").paint({"colour": 1, "form": 0})  # doctest: +SKIP
    """
    arrays, settings = files.read(path)
    with files.damage_named(path):
        controls = Controls.from_dict(settings["controls"])
        ground = Ground.from_arrays(arrays, settings, photo)
        network = LiveNetwork(
            *map(int, settings["learnt_sides"]),
            **controls.of_network,
            wraps=ground.wraps,
            learnt=_part(arrays, "learnt"),
        )
        window = Window(*map(float, settings["window"]))
        settings["steps"] = int(settings["steps"])
    return Live(network, window, controls, ground, settings)


def _settings(transfer: StyleTransfer, controls: Controls, seed: int) -> dict[str, Any]:
    """Returns what a live picture learns from and with, as JSON holds it."""
    scene = transfer.scene
    canvas = scene.canvases[-1]
    return {
        "mnst": __version__,
        "controls": dataclasses.asdict(controls),
        "recipe": scene.recipe.as_dict(),
        "seed": seed,
        "steps": 0,
        "start_losses": list(transfer.start_losses),
        "learnt_sides": list(canvas.painted_sides),
        "window": list(inner_window(canvas)),
        "grey": canvas.own is not None,
        **scene.settings(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
    }


# What has to be the same for learning to go on. Losses tell photos and styles apart; they are
# rounded, as networks round on other machines.
_SAME = ("recipe", "sizes", "controls", "seed", "seamless", "style_size", "colours", "localized")


def _go_on(
    learner: Learner,
    settings: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
    before: Mapping[str, Any],
) -> None:
    """Lets a learner go on where another has stopped.

    Raises:
        ValueError: If that one has learnt something else.
    """
    for name in _SAME:
        if json.dumps(settings[name]) != json.dumps(before.get(name)):
            raise ValueError(
                f"resume has learnt with {name} {shown(before.get(name))}, but here it is "
                f"{shown(settings[name])}: give the same again, or learn anew"
            )
    if not np.allclose(settings["start_losses"], before["start_losses"], rtol=0.01):
        raise ValueError(
            "resume has learnt another photo or other styles: give the same, or learn anew"
        )
    if "looks" not in before:
        raise ValueError("resume was not saved resumable: give one that was, or learn anew")
    looks = [StepRecord(**look) for look in before["looks"]]
    learner.go_on_from(_part(arrays, "learner"), looks)


def _part(arrays: Mapping[str, np.ndarray], part: str) -> dict[str, np.ndarray]:
    """Returns the arrays of a part of a file, float32, by their own names."""
    of_part = (name for name in arrays if name.startswith(f"{part}/"))
    return {name.removeprefix(f"{part}/"): arrays[name].astype(np.float32) for name in of_part}


def _planned_memory(transfer: StyleTransfer, network: LiveNetwork) -> int:
    """Returns the bytes that learning will take at the most.

    Raises:
        ValueError: If the scene can't be learnt as a whole in the memory that it may take.
    """
    scene = transfer.scene
    needed = scene.memory + _COPIES * 4 * network.weights
    if scene.tile is not None or needed > scene.memory_limit:
        height, width = scene.sides
        raise ValueError(
            f"{width} x {height} pixels are too many to be learnt in "
            f"{scene.memory_limit / 1e9:.1f} GB: give a smaller size, or more memory"
        )
    return needed
