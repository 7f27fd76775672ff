"""Processes for `speed.py`: each holds one framework, and computes only when it is told to.

Two frameworks in one process would share its threads and its memory; two that compute at a time
would share the cores.
"""

import multiprocessing
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

import mnst
from mnst.errors import one_line
from mnst.networks import VGG19
from mnst.recipes import get_recipe

BLOCK = 6  # steps of a race that one takes before it is the next one's turn
EVERY = 2  # how often a picture of a race is kept, to be judged


class Scene(NamedTuple):
    """What everyone paints: uint8 pictures, VGG19's file, and its arrays as PyTorch reads them."""

    photo: np.ndarray
    styles: list[np.ndarray]
    weights: Path
    arrays: Path

    def weights_of(self, backbone: str) -> Path | None:
        return self.weights if backbone == "vgg19" else None


@dataclass(frozen=True)
class Way:
    """A way to paint the scene."""

    kind: str  # "tutorial", "mnst" or "PyTorch"
    precision: str = "float32"
    backbone: str = "vgg19"
    styles: int = 1
    compiled: bool = False
    recipe: str = "article"

    @property
    def name(self) -> str:
        lite = ", lite" if self.backbone == "vgg19-lite" else ""
        compiled = " compiled" if self.compiled else ""
        styles = f", {self.styles} styles" if self.styles > 1 else ""
        return f"{self.kind}{compiled}{lite}, {self.precision}{styles}"


class FailureError(RuntimeError):
    """What a worker was told to do has failed; the message is one line."""


class Worker:
    """A process of its own; ask it for any method of `Bench`."""

    def __init__(self, scene: Scene) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, scene), daemon=True)
        self.process.start()
        theirs.close()

    def call(self, name: str, *arguments):
        """Returns what a method returns."""
        return self.take_turn(name, *arguments)[1]

    def take_turn(self, name: str, *arguments) -> tuple[bool, object]:
        """Calls a method, or lets it "go on"; returns if it has ended, and what it returned."""
        try:
            self.pipe.send((name, *arguments))
            outcome, value = self.pipe.recv()
        except (EOFError, ConnectionError):
            self.process.join()
            raise FailureError(f"its process died: exit code {self.process.exitcode}") from None
        if outcome == "failed":
            raise FailureError(value)
        return outcome == "done", value

    def close(self) -> None:
        self.pipe.close()
        self.process.join()


def serve(pipe, scene: Scene) -> None:
    """Does what comes through the pipe until it is closed."""

    def turn() -> None:
        pipe.send(("turn", None))
        pipe.recv()

    bench = Bench(scene, turn)
    while True:
        try:
            name, *arguments = pipe.recv()
        except (EOFError, KeyboardInterrupt):
            return
        try:
            reply = ("done", getattr(bench, name)(*arguments))
        except Exception as error:  # a compiler may be missing, or memory: the table tells
            reply = ("failed", f"{type(error).__name__}: {one_line(error)}"[:200])
        pipe.send(reply)


class Bench:
    """What a worker can do. `turn` returns when it is this process's turn again."""

    def __init__(self, scene: Scene, turn: Callable[[], None]) -> None:
        self.scene = scene
        self.turn = turn
        self.painters = {}

    def about(self) -> dict[str, str]:
        from mnst.backend import keras, tf
        from mnst.engine import devices

        return {
            "device": devices.device_name(),
            "auto": devices.resolve_precision("auto"),
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
        }

    def first(self, way: Way) -> float:
        """Returns the seconds of the first step, with tracing and compiling, but not building."""
        self.painters[way] = maker(way, self.scene)()
        return self.seconds(way, 1)[0]

    def seconds(self, way: Way, steps: int) -> list[float]:
        """Returns the seconds of each step."""
        stamps = [time.perf_counter()]
        run(self.painters[way], steps, lambda *_: stamps.append(time.perf_counter()))
        return np.diff(stamps)[:steps].tolist()

    def floor(self, backbone: str, precision: str) -> list[tuple[float, float]]:
        """Returns the seconds of each convolution, forward and back to its input."""
        return [
            time_convolution(kernel, (height, width), precision)
            for _, kernel, height, width in self.convolutions(backbone)
        ]

    @cache  # noqa: B019 - there is one Bench in a process
    def convolutions(self, backbone: str) -> list[tuple[str, tuple[int, ...], int, int]]:
        """Returns each convolution's name, kernel's shape, and the picture's size there."""
        from mnst.backend import keras

        weights = self.scene.weights_of(backbone)
        model = mnst.vgg_layers(mnst.ARTICLE.layers, backbone=backbone, weights=weights)
        found = []
        for layer in model.layers:
            if isinstance(layer, keras.layers.Conv2D):
                halvings = 2 ** (int(layer.name.removeprefix("block")[0]) - 1)
                height, width = (side // halvings for side in self.scene.photo.shape[:2])
                found.append((layer.name, tuple(layer.kernel.shape), height, width))
        return found

    def save_arrays(self) -> None:
        """Writes VGG19's weights in a form that needs no TensorFlow."""
        layers = VGG19.convolutions
        model = mnst.vgg_layers(layers, weights=self.scene.weights)
        arrays = {
            f"{name}/{k}": value
            for name in layers
            for k, value in enumerate(model.get_layer(name).get_weights())
        }
        np.savez(self.scene.arrays, **arrays)

    def memory(self) -> float:
        """Returns the most memory that this process has had, in GiB: a GPU's, if it uses one."""
        if "torch" in sys.modules:
            import torch

            if torch.cuda.is_available():
                return torch.cuda.max_memory_allocated() / 2**30
        elif (tf := sys.modules.get("tensorflow")) and tf.config.list_physical_devices("GPU"):
            return tf.config.experimental.get_memory_info("GPU:0")["peak"] / 2**30
        unit = 1 if sys.platform == "darwin" else 2**10
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30

    def race(self, way: Way, steps: int) -> dict[str, object]:
        """Paints from the beginning, in turns; returns the pictures, and when each was there."""
        make = maker(way, self.scene)
        began = time.perf_counter()
        painter = make()
        built = time.perf_counter() - began
        seen, waited = [], 0.0

        def see(step: int, picture: Callable[[], np.ndarray]) -> None:
            nonlocal waited
            now = time.perf_counter()
            if step % EVERY == 0:
                seen.append((step, now - began - built - waited, picture()))
            if step % BLOCK == 0:
                self.turn()
            waited += time.perf_counter() - now

        run(painter, steps, see)
        return {"built": built, "seen": seen}

    def judge(self, picture: np.ndarray) -> tuple[float, list[float]]:
        """Returns a picture's total and style losses, by VGG19 in float32."""
        way = Way("tutorial")
        if way not in self.painters:
            self.painters[way] = maker(way, self.scene)()
        total, styles = self.painters[way].measure(picture)
        return float(total), [float(loss) for loss in styles]


def maker(way: Way, scene: Scene) -> Callable[[], object]:
    """Imports what a way needs; returns what makes its painter."""
    if way.kind == "PyTorch":
        from pytorch import PyTorch

        make = partial(
            PyTorch, weights=scene.arrays, precision=way.precision, compiled=way.compiled
        )
    else:
        from mnst.backend import tf

        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, True)  # leaves some to the others
        if way.kind == "mnst":
            return partial(
                mnst.StyleTransfer,
                scene.photo,
                scene.styles[: way.styles],
                # Pictures are judged whole, by losses that know of no margin.
                recipe=get_recipe(way.recipe).replace(margin=0),
                backbone=way.backbone,
                weights=scene.weights_of(way.backbone),
                precision=way.precision,
                size=max(max(picture.shape) for picture in (scene.photo, *scene.styles)),
            )
        from tutorial import Tutorial

        make = partial(Tutorial, weights=scene.weights)
    photo, *styles = (
        picture[np.newaxis].astype(np.float32)
        for picture in (scene.photo, *scene.styles[: way.styles])
    )
    return partial(make, photo, styles)


def run(painter, steps: int, see: Callable[[int, Callable[[], np.ndarray]], object]) -> None:
    """Calls `see` behind every step with a picture's number of steps, and how to get it.

    A step of mnst measures the picture before it changes it. So its pictures come a step later.
    """
    if isinstance(painter, mnst.StyleTransfer):
        painter.run(
            steps=steps,
            progress=False,
            callback=lambda record: see(record.step, lambda: np.asarray(record.image)),
        )
        return
    for step in range(1, steps + 1):
        painter.step()
        see(step, painter.picture)


def time_convolution(
    kernel: tuple[int, ...], size: tuple[int, int], precision: str
) -> tuple[float, float]:
    """Returns the seconds of a convolution, forward and back to its input."""
    from mnst.backend import tf

    shapes = [(1, *size, channels) for channels in kernel[2:]]
    filters, given, upstream = (
        tf.cast(tf.random.uniform(shape), precision) for shape in (kernel, *shapes)
    )
    forward = partial(tf.nn.conv2d, given, filters, strides=1, padding="SAME")
    back = partial(
        tf.raw_ops.Conv2DBackpropInput,
        input_sizes=shapes[0],
        filter=filters,
        out_backprop=upstream,
        strides=[1, 1, 1, 1],
        padding="SAME",
    )
    return least(forward), least(back)


def least(compute: Callable[[], object], *, tries: int = 3) -> float:
    """Returns the least seconds of a computation, after one that does not count."""
    from mnst.backend import tf

    stamps = []
    for _ in range(tries + 1):
        compute()
        tf.test.experimental.sync_devices()
        stamps.append(time.perf_counter())
    return float(np.diff(stamps).min())
