"""How `vgg19-lite` was made, and how to make your own: a narrow student of VGG19.

The student has VGG19's layers, but each convolution goes through a few channels only. VGG19's own
responses lie close to few directions (16 of 64 hold 99 % of block1_conv2's), so little is lost. It
learns in two stages:

1. The layers are fitted one after the other, each to VGG19's responses, given what the student
   itself has before it. The best narrow convolution is a linear regression of reduced rank, which
   has a closed form: no step size, no waiting. (Zhang et al. 2016, "Accelerating Very Deep
   Convolutional Networks for Classification and Detection", with a projection of the inputs added.)
2. All layers are trained together, by gradient, on the errors of activations and Gram matrices.

All of it is Keras 3 and NumPy, and runs on any of Keras' backends.
"""

from __future__ import annotations

import csv
import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from mnst import images
from mnst.backend import keras
from mnst.checks import check_folder, check_number, check_path, check_whole, shown
from mnst.errors import tell
from mnst.networks.backbones import VGG19, get_backbone
from mnst.networks.lite import LITE_WIDTHS, Width, write_lite
from mnst.networks.weights import WeightsSource

CONVOLUTIONS = VGG19.convolutions
"""Names of VGG19's convolutions, first to last."""

_LONGEST = 640  # pixels of a picture to learn from; more would only take memory
_BATCH = 8  # crops that the fit looks at together
_SAMPLES = 40_000  # positions that a layer is fitted on, at least
_RIDGE = 1e-6  # of the inputs' mean variance
_GRAM_SHARE = 0.3  # of the Gram matrices' error in a layer's
_NEGLIGIBLE = 1e-3  # what a layer's error need not fall below
_BETWEEN_CHECKPOINTS = 50  # steps
_CHECKPOINT, _STATE, _LOG = "checkpoint.weights.h5", "state.json", "log.csv"


def distill(
    sources: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    folder: str | os.PathLike[str],
    widths: Mapping[str, Width | None] | None = None,
    weights: str | os.PathLike[str] | None = None,
    fit_crops: int = 384,
    steps: int = 2000,
    batch: int = 8,
    side: int = 128,
    learning_rate: float = 5e-5,
    seed: int = 0,
    progress: bool = True,
) -> Path:
    """Trains a small network to put out what VGG19 does; `vgg19-lite` was made by it.

    The training may be ended at any time; called again with the same options, it goes on from the
    last of its checkpoints, which are written after every layer of the fit and every 50 steps. The
    student's file is written beside them each time, so it can be used before the training ends.

    Runs on any of Keras' backends: set KERAS_BACKEND.

    Args:
        sources: Folder of pictures to learn from, or several; all pictures in and below them are
            read, and reduced to at most 640 pixels. A few hundred are enough. Add painted ones:
            that is what the student will look at.
        folder: Where the checkpoints, the log (`log.csv`) and the student (`student.npz`) go.
        widths: Channels of each convolution by name, behind its 1 x 1 and behind its 3 x 3; None
            in their place is a convolution as wide as VGG19's. Not given, those of `vgg19-lite`.
        weights: Path of VGG19's weights without its top; None looks as `VGG.find_weights` says.
        fit_crops: How many crops the layers are fitted on.
        steps: How many steps all layers are then trained together; 0 is none.
        batch: Crops in a step.
        side: Side of a crop in pixels, a multiple of 16.
        learning_rate: Adam's at its highest, from where it falls to 0 on a cosine.
        seed: Of the crops.
        progress: Show progress on standard error.

    Returns:
        The path of the student's file, to be given as `weights=` with `backbone="vgg19-lite"`.

    Raises:
        ValueError: If an option is out of range, there are no pictures, or the folder holds the
            training of another student.
        TypeError: If an option is of another kind than it takes.
        FileNotFoundError: If a folder isn't there.
        OSError: If the folder can't be made, or a picture can't be opened.
        WeightsError: If VGG19's weights can't be had.
        ArithmeticError: If the training diverges.

    Example:
        >>> student = mnst.distill("photos", folder="my-lite")  # doctest: +SKIP
        >>> mnst.stylize(
        ...     "photo.jpg", ["ink.jpg"], backbone="vgg19-lite", weights=student
        ... )  # doctest: +SKIP
    """
    chosen = _check_widths(LITE_WIDTHS if widths is None else widths)
    place = check_folder("folder", folder)
    fit_crops, batch = check_whole("fit_crops", fit_crops), check_whole("batch", batch)
    steps, seed = check_whole("steps", steps, 0), check_whole("seed", seed, 0)
    side = check_whole("side", side, 32)
    if side % 16:
        raise ValueError(f"side is {side}: give a multiple of 16, 32 or more")
    learning_rate = check_number("learning_rate", learning_rate, lambda v: v > 0, "more than 0")
    pictures = _read_pictures([sources] if isinstance(sources, (str, os.PathLike)) else sources)
    source = get_backbone("vgg19").find_weights(weights).fetch()
    options = {
        "widths": {name: width and list(width) for name, width in chosen.items()},
        "teacher": source.sha256,
        "pictures": len(pictures),
        "fit_crops": fit_crops,
        "steps": steps,
        "batch": batch,
        "side": side,
        "learning_rate": learning_rate,
        "seed": seed,
    }
    training = _Training(place, source, chosen, options, progress=progress)
    training.fit(pictures)
    training.train(pictures)
    return training.student_file


class _Training:
    """A student on its way: its network, its optimiser, and the folder that keeps them."""

    def __init__(
        self,
        folder: Path,
        source: WeightsSource,
        widths: Mapping[str, Width | None],
        options: dict[str, Any],
        *,
        progress: bool,
    ) -> None:
        self.student_file = folder / "student.npz"
        self._folder = folder
        self._options = options
        self._progress = progress
        self._widths = widths
        self._fitted = self._steps = 0
        if (folder / _STATE).exists():
            self._read_state()
        folder.mkdir(parents=True, exist_ok=True)
        self._teacher = source.build(CONVOLUTIONS, "float32")
        self._student = _build_student(widths, options["steps"], options["learning_rate"])
        if self._fitted:
            self._student.load_weights(folder / _CHECKPOINT)

    def _read_state(self) -> None:
        """Takes up how far the training in the folder has come, unless it is another student's."""
        with images.open_file(self._folder / _STATE) as file:
            state = json.load(file)
        for name, value in self._options.items():
            if state["options"][name] != value:
                raise ValueError(
                    f"{self._folder} holds a training with {name} {state['options'][name]!r}, but "
                    f"{value!r} was given: give the same again to go on, or another folder"
                )
        self._fitted, self._steps = state["fitted"], state["steps"]

    def fit(self, pictures: Sequence[Image.Image]) -> None:
        """Fits the layers that aren't yet, each behind what the student has before it."""
        count, side, seed = (self._options[name] for name in ("fit_crops", "side", "seed"))
        if self._fitted == len(CONVOLUTIONS):
            return
        crops = make_crops(pictures, count, side, seed=[seed, 0])
        for index, name in enumerate(CONVOLUTIONS[self._fitted :], start=self._fitted):
            random = np.random.default_rng([seed, 2, index])
            error = fit_layer(self._teacher, self._student, name, self._widths[name], crops, random)
            self._fitted = index + 1
            self._save()
            self._report("fit", name, error)

    def train(self, pictures: Sequence[Image.Image]) -> None:
        """Takes the steps that aren't taken yet."""
        steps, batch, side = (self._options[name] for name in ("steps", "batch", "side"))
        for step in range(self._steps + 1, steps + 1):
            crops = make_crops(pictures, batch, side, seed=[self._options["seed"], 1, step])
            measured = self._student.train_on_batch(
                crops, self._teacher.predict_on_batch(crops), return_dict=True
            )
            if step % _BETWEEN_CHECKPOINTS == 0 or step == steps:
                self._steps = step
                self._save()
                self._report("train", step, np.exp(measured["loss"] / len(CONVOLUTIONS)))
                self._student.reset_metrics()  # so that what is measured is the mean since then

    def _save(self) -> None:
        values = {v.path: keras.ops.convert_to_numpy(v) for v in self._student.weights}
        if not all(np.isfinite(value).all() for value in values.values()):
            raise ArithmeticError(
                f"the student's weights became infinite; its last good checkpoint is in "
                f"{self._folder}: try a lower learning_rate, in another folder"
            )
        part = images.check_place(self._folder / f"part.{_CHECKPOINT}")
        self._student.save_weights(part)
        part.replace(images.check_place(self._folder / _CHECKPOINT))
        write_lite(self.student_file, self._widths, values)
        state = {"fitted": self._fitted, "steps": self._steps, "options": self._options}
        data = json.dumps(state, indent=1).encode()
        images.write_atomically(self._folder / _STATE, data)

    def _report(self, stage: str, at: str | int, error: float) -> None:
        """Adds a line to the log, and shows it."""
        log = self._folder / _LOG
        fresh = not log.exists()
        with open(images.check_place(log), "a", newline="") as file:
            writer = csv.writer(file)
            if fresh:
                writer.writerow(["time", "stage", "at", "error"])
            writer.writerow([time.strftime("%Y-%m-%dT%H:%M:%S"), stage, at, f"{error:.6g}"])
        if self._progress:
            tell(f"{stage} {at}: relative error {error:.4g}")


def fit_layer(
    teacher: keras.Model,
    student: keras.Model,
    name: str,
    width: Width | None,
    crops: np.ndarray,
    random: np.random.Generator,
) -> float:
    """Fits one convolution of the student to the teacher's responses before their ReLU.

    Args:
        teacher: VGG19, as `vgg_layers` makes it.
        student: Whose layers before this one are fitted already.
        name: Of the convolution.
        width: Its channels in between, or None if it has VGG19's form.
        crops: float32 [n, side, side, 3], 0..255.
        random: Chooses the positions to look at.

    Returns:
        The squared error of the activations, relative to VGG19's, on the last of the crops.
    """
    first = student.get_layer(name if width is None else f"{name}_reduce")
    before_teacher = keras.Model(teacher.input, teacher.get_layer(name).input)
    before_student = keras.Model(student.input, first.input)
    kernel, bias = teacher.get_layer(name).get_weights()
    moments = Moments(9 * first.input.shape[-1], kernel.shape[-1])
    per_crop = -(-max(_SAMPLES, 8 * moments.inputs) // len(crops))
    for batch in np.array_split(crops, -(-len(crops) // _BATCH)):
        seen, own = _outputs(before_teacher, batch), _outputs(before_student, batch)
        places = _places(own.shape, per_crop, random)
        responses = _patches(seen, places) @ kernel.reshape(-1, kernel.shape[-1]) + bias
        moments.add(_patches(own, places), responses)
    if width is None:
        kernel, offset = full_convolution(moments)
    else:
        reduce, core, kernel, offset = narrow_convolution(moments, width)
        student.get_layer(f"{name}_reduce").set_weights([reduce])
        student.get_layer(f"{name}_core").set_weights([core])
    student.get_layer(name).set_weights([kernel, offset])
    wanted, fitted = (
        _outputs(keras.Model(network.input, network.get_layer(name).output), batch)
        for network in (teacher, student)
    )
    return float(np.sum((fitted - wanted) ** 2) / np.sum(wanted**2))


class Moments:
    """Means and covariances of a regression's inputs and outputs, summed up over samples.

    Args:
        inputs: Number of inputs.
        outputs: Number of outputs.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        self.inputs = inputs
        self._count = 0
        self._sum_x, self._sum_y = np.zeros(inputs), np.zeros(outputs)
        self._sum_xx, self._sum_xy = np.zeros((inputs, inputs)), np.zeros((inputs, outputs))

    def add(self, x: np.ndarray, y: np.ndarray) -> None:
        """Adds samples, float32 [m, inputs] and [m, outputs]."""
        self._count += len(x)
        self._sum_x += x.sum(axis=0, dtype=np.float64)
        self._sum_y += y.sum(axis=0, dtype=np.float64)
        self._sum_xx += x.T @ x
        self._sum_xy += x.T @ y

    @property
    def means(self) -> tuple[np.ndarray, np.ndarray]:
        """Means of the inputs and of the outputs."""
        return self._sum_x / self._count, self._sum_y / self._count

    @property
    def covariances(self) -> tuple[np.ndarray, np.ndarray]:
        """Covariances of the inputs with themselves, and with the outputs."""
        mean_x, mean_y = self.means
        return (
            self._sum_xx / self._count - np.outer(mean_x, mean_x),
            self._sum_xy / self._count - np.outer(mean_x, mean_y),
        )


def full_convolution(moments: Moments) -> list[np.ndarray]:
    """Returns kernel [3, 3, C, N] and bias [N] of the convolution that fits best."""
    weights = _regress(*moments.covariances)
    mean_x, mean_y = moments.means
    return [weights.reshape(3, 3, -1, weights.shape[-1]), mean_y - mean_x @ weights]


def narrow_convolution(moments: Moments, width: Width) -> list[np.ndarray]:
    """Returns the convolution of few channels that fits nearly best.

    Of all linear maps of rank r, the least squared error is that of the full regression, projected
    on the r directions in which its own outputs vary most. The inputs' p directions are chosen by
    how much they tell of those outputs, at any of the nine positions; they all share the choice,
    since the 1 x 1 convolution is the same at each. That one is not the very best, but near it.

    Args:
        moments: Of 3 x 3 patches, and of the responses to them.
        width: p and r.

    Returns:
        Kernels [1, 1, C, p], [3, 3, p, r] and [1, 1, r, N], and the bias [N].
    """
    reduced, rank = width
    inputs, shared = moments.covariances
    channels = moments.inputs // 9
    weights = _regress(inputs, shared)
    projected = weights @ _main_directions(weights.T @ inputs @ weights, rank)

    blocks = inputs.reshape(9, channels, 9, channels)
    values, vectors = np.linalg.eigh(np.mean([blocks[i, :, i] for i in range(9)], axis=0))
    scale = np.sqrt(np.maximum(values, _RIDGE * values[-1]))
    by_channel = projected.reshape(9, channels, rank).transpose(1, 0, 2).reshape(channels, -1)
    chosen = np.linalg.svd(scale[:, None] * (vectors.T @ by_channel), full_matrices=False)[0]
    reduce = vectors @ (chosen[:, :reduced] / scale[:, None])
    # The scale is free between the three; of length 1, float16 holds them best.
    reduce /= np.linalg.norm(reduce, axis=0)

    mean_x, mean_y = moments.means
    mean_x = (mean_x.reshape(9, channels) @ reduce).ravel()
    inputs = (reduce.T @ (blocks @ reduce).reshape(9, channels, -1)).reshape(len(mean_x), -1)
    shared = (reduce.T @ shared.reshape(9, channels, -1)).reshape(len(mean_x), -1)
    weights = _regress(inputs, shared)
    widen = _main_directions(weights.T @ inputs @ weights, rank)
    core = weights @ widen
    return [
        reduce[None, None],
        core.reshape(3, 3, reduced, rank),
        widen.T[None, None],
        mean_y - mean_x @ core @ widen.T,
    ]


def _regress(inputs: np.ndarray, shared: np.ndarray) -> np.ndarray:
    ridge = _RIDGE * np.trace(inputs) / len(inputs)
    return np.linalg.solve(inputs + ridge * np.eye(len(inputs)), shared)


def _main_directions(covariance: np.ndarray, count: int) -> np.ndarray:
    """Returns the directions of the largest variances, [N, count]."""
    return np.linalg.eigh(covariance)[1][:, ::-1][:, :count]


def _places(
    shape: tuple[int, ...], per_picture: int, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Chooses positions, without repetition, in each picture of a batch."""
    pictures, height, width = shape[:3]
    count = min(per_picture, height * width)
    flat = np.stack([random.permutation(height * width)[:count] for _ in range(pictures)])
    batch = np.repeat(np.arange(pictures), count)
    return batch, flat.ravel() // width, flat.ravel() % width


def _patches(features: np.ndarray, places: tuple[np.ndarray, np.ndarray, np.ndarray]) -> np.ndarray:
    """Returns what a 3 x 3 convolution sees at the places, [m, 9 * C]."""
    padded = np.pad(features, ((0, 0), (1, 1), (1, 1), (0, 0)))
    batch, row, column = places
    near = [padded[batch, row + i, column + j] for i in range(3) for j in range(3)]
    return np.concatenate(near, axis=1)


def layer_error(wanted: Any, given: Any) -> Any:
    """Returns the error of a layer: of its activations, and of their Gram matrices.

    Args:
        wanted: VGG19's activations, [B, H, W, N].
        given: The student's.

    Returns:
        A number: |F - F'|^2 / |F'|^2 + 0.3 |G - G'| / |G'|.
    """
    ops = keras.ops
    # The 1 is nothing beside what it is added to, but where a picture is blank.
    activations = ops.sum(ops.square(given - wanted)) / (ops.sum(ops.square(wanted)) + 1)
    gram, target = (ops.einsum("bijc,bijd->bcd", f, f) for f in (given, wanted))
    # Of each picture by itself: a loud one would drown the others.
    apart, whole = (ops.sum(ops.square(g), axis=(1, 2)) for g in (gram - target, target))
    grams = ops.mean(ops.sqrt((apart + 1e-6) / (whole + 1)))
    return activations + _GRAM_SHARE * grams


def log_error(wanted: Any, given: Any) -> Any:
    """Returns the logarithm of `layer_error`: what the second stage minimises the sum of.

    The fit leaves the first layers a hundred times truer than the last. Added up as they are, the
    errors of the last would be made smaller at the cost of the first, which the style losses need
    most; their logarithms count a tenth less of any as much.
    """
    return keras.ops.log(layer_error(wanted, given) + _NEGLIGIBLE)


def make_crops(
    pictures: Sequence[Image.Image], count: int, side: int, *, seed: Sequence[int]
) -> np.ndarray:
    """Returns crops to learn from: of pictures, of pictures drawn by code, and changed at random.

    Args:
        pictures: In RGB.
        count: How many crops.
        side: Of a crop, in pixels.
        seed: The same seed gives the same crops.

    Returns:
        float32 [count, side, side, 3], 0..255.
    """
    random = np.random.default_rng(seed)
    crops = [
        _drawn(side, random) if random.random() < 0.15 else _crop(pictures, side, random)
        for _ in range(count)
    ]
    return np.stack([_changed(crop, random) for crop in crops]).astype(np.float32)


def _crop(pictures: Sequence[Image.Image], side: int, random: np.random.Generator) -> np.ndarray:
    """Cuts a square out of a picture, at any scale from the picture's own to its whole."""
    picture = pictures[int(random.integers(len(pictures)))]
    largest = min(picture.size)
    cut = min(largest, side * random.uniform(1, max(1, largest / side)))
    x, y = (random.uniform(0, length - cut) for length in picture.size)
    box = (x, y, x + cut, y + cut)
    return np.asarray(picture.resize((side, side), Image.Resampling.BICUBIC, box), np.float64)


def _changed(crop: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Flips, recolours and roughens a crop: paint has colours and noise that no photo has."""
    if random.random() < 0.5:
        crop = crop[:, ::-1]
    if random.random() < 0.3:
        crop = crop[..., random.permutation(3)]
    if random.random() < 0.15:
        crop = 255 - crop
    if random.random() < 0.4:
        crop = 128 + random.uniform(0.4, 2.5) * (crop - 128)
    if random.random() < 0.5:
        crop = crop + random.uniform(2, 70) * _clouds(len(crop), random)
    return np.asarray(np.clip(crop, 0, 255))


def _clouds(side: int, random: np.random.Generator) -> np.ndarray:
    """Returns noise, white to cloudy, grey or coloured, [side, side, 1 or 3], of variance 1."""
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None])
    falls = np.maximum(frequency, 1 / side) ** -random.uniform(0, 2)
    white = random.standard_normal((side, side, random.choice([1, 3])))
    noise = np.fft.irfft2(np.fft.rfft2(white, axes=(0, 1)) * falls[..., None], (side, side), (0, 1))
    return np.asarray(noise / noise.std())


def _drawn(side: int, random: np.random.Generator) -> np.ndarray:
    """Draws shapes of one kind over a gradient or over clouds."""
    ends = random.uniform(0, 255, (2, 3))
    if random.random() < 0.5:
        return np.asarray(ends[0] + 40 * _clouds(side, random) * np.ones(3))
    angle = random.uniform(0, 2 * np.pi)
    x, y = np.meshgrid(*[np.linspace(-0.5, 0.5, side)] * 2)
    along = 0.5 + np.cos(angle) * x + np.sin(angle) * y
    ground = ends[0] + along[..., None] * (ends[1] - ends[0])
    picture = Image.fromarray(np.clip(ground, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    shape = (_leaf, _stroke, _letter)[random.integers(3)]
    for _ in range(random.integers(5, 200)):
        colour = tuple(int(value) for value in random.integers(0, 256, 3))
        shape(draw, side, colour, random)
    return np.asarray(picture, np.float64)


def _leaf(draw: Any, side: int, colour: Any, random: np.random.Generator) -> None:
    """A disc; their sizes are spread as in "dead leaves" models of natural pictures."""
    radius = side * 0.02 / random.uniform(0.05, 1)
    x, y = random.uniform(0, side, 2)
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), colour)


def _stroke(draw: Any, side: int, colour: Any, random: np.random.Generator) -> None:
    """A brush stroke: a few joined lines."""
    turns = np.cumsum(random.normal(0, side / 8, (4, 2)), axis=0) + random.uniform(0, side, 2)
    draw.line([tuple(point) for point in turns], colour, int(random.integers(1, 9)), "curve")


def _letter(draw: Any, side: int, colour: Any, random: np.random.Generator) -> None:
    """A word of three letters."""
    word = "".join(chr(code) for code in random.integers(33, 127, 3))
    draw.text(tuple(random.uniform(0, side, 2)), word, colour)


def _build_student(
    widths: Mapping[str, Width | None], steps: int, learning_rate: float
) -> keras.Model:
    """Builds the student, untrained, with the optimiser of the second stage."""
    rgb, outputs = VGG19.network("float32", widths)
    student = keras.Model(rgb, {name: outputs[name] for name in CONVOLUTIONS})
    warm = min(200, max(1, steps // 10))
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, max(1, steps - warm), warmup_target=learning_rate, warmup_steps=warm
    )
    student.compile(keras.optimizers.Adam(schedule), dict.fromkeys(CONVOLUTIONS, log_error))
    student.optimizer.build(student.trainable_variables)
    return student


def _outputs(model: keras.Model, crops: np.ndarray) -> np.ndarray:
    # Not `predict`, which compiles: there is a model for every layer, used a few times.
    return np.asarray(keras.ops.convert_to_numpy(model(crops, training=False)))


def _read_pictures(folders: Sequence[str | os.PathLike[str]]) -> list[Image.Image]:
    if not isinstance(folders, (list, tuple)):
        raise TypeError(f"sources is {shown(folders)}: give a folder, or a list of them")
    paths: list[Path] = []
    for folder in (check_path("sources", folder) for folder in folders):
        if not folder.is_dir():
            raise FileNotFoundError(f"{folder}: there is no such folder of pictures")
        paths += sorted(p for p in folder.rglob("*") if p.suffix.lower() in images.FORMATS)
    if not paths:
        raise ValueError(
            f"no picture in {', '.join(map(str, folders))}: give folders with some, their names "
            f"ending in {', '.join(images.FORMATS)}"
        )
    read = (images.to_uint8(images.load_image(path, size=_LONGEST)) for path in paths)
    return [Image.fromarray(picture) for picture in read]


def _check_widths(widths: Mapping[str, Width | None]) -> dict[str, Width | None]:
    if not isinstance(widths, Mapping):
        raise TypeError(
            f"widths is {shown(widths)}: give two numbers for each convolution, by name"
        )
    if set(widths) != set(CONVOLUTIONS):
        odd = sorted(map(str, set(widths) ^ set(CONVOLUTIONS)))
        raise ValueError(
            f"widths differs from VGG19's convolutions in {odd[0]!r}: give one for each of "
            f"{CONVOLUTIONS[0]} to {CONVOLUTIONS[-1]}"
        )
    return {name: _check_width(f"widths[{name!r}]", widths[name]) for name in CONVOLUTIONS}


def _check_width(name: str, width: Any) -> Width | None:
    if width is None:
        return None
    if not isinstance(width, (list, tuple)) or len(width) != 2:
        raise ValueError(f"{name} is {shown(width)}: give two whole numbers, 1 or more, or None")
    return check_whole(name, width[0]), check_whole(name, width[1])
