"""The optimisation loop: Adam with exponential decay, a GradientTape, a generator of step records.

The loop knows features and losses, never a file name or a style's picture. It prints nothing and
shows nothing: progress bars, previews, early stopping and callbacks all consume its records.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from mnst.backend import keras, tf
from mnst.engine.tiling import Losses, Tiled, Whole
from mnst.objective.losses import Targets, Tensor, corrected, mixed_losses
from mnst.optimizers.lbfgs import make_optimizer
from mnst.recipes import Recipe

# A photo, [1, H, W, 3], and what is kept of it, [1, H, W, 1]; None is nothing.
Kept = tuple[Tensor, Tensor] | None


@dataclass(frozen=True)
class StepRecord:
    """What is known of the picture after so many steps.

    Attributes:
        step: How many steps it has behind it; 0 is the start.
        losses: "content", "style_1" .. "style_K" and "total", of this very picture. The style
            losses are L_style_k, without gamma, sigma and beta.
        learning_rate: That of the step which led here; of the first step, at the start.
        seconds: Since the run began.
        image: The picture, float32 [1, H, W, 3], 0..255. Who keeps a record keeps its picture;
            `numbers()` is the record without it.
    """

    step: int
    losses: dict[str, float]
    learning_rate: float
    seconds: float
    image: Tensor | None = dataclasses.field(default=None, repr=False, compare=False)

    def numbers(self) -> StepRecord:
        """Returns the record without its picture."""
        return dataclasses.replace(self, image=None)


class DivergenceError(ArithmeticError):
    """A loss, or the picture itself, turned NaN or infinite.

    Attributes:
        step: After how many steps.
        term: Which loss, by its name in a record; "picture", if the losses did not show it.
        best: The record with the lowest total loss before that, with its picture; None if there
            was none.
        result: The same as a `Result`, where `stylize` raised the error.
    """

    def __init__(self, step: int, term: str, value: float, best: StepRecord | None) -> None:
        what = "picture" if term == "picture" else f"{term} loss"
        super().__init__(
            f"the {what} became {value} after step {step}; try a lower learning_rate or weights, "
            f"or precision='float32'"
        )
        self.step = step
        self.term = term
        self.best = best
        self.result: Any = None


class Trainer:
    """Paints one picture: holds it, its optimiser, and the compiled step.

    The step is traced once for a picture size; new targets of the same shapes and new starts
    reuse it.

    Args:
        extractor: From float32 [1, H, W, 3], 0..255, to a dict of layer name to features that has
            all of the recipe's layers; `vgg_layers` makes one.
        recipe: Losses and optimiser.
        height: Of the picture, in pixels.
        width: Of the picture, in pixels.
        tile: Side of the tiles that a step looks at one after the other, in pixels; None looks at
            the whole picture at once. See `mnst.engine.tiling`.
        surrogate: Takes the steps, where the recipe has one; `extractor` corrects it, and has the
            last word. Like `extractor`, it gives all of the recipe's layers.

    Attributes:
        view: A `Whole`, or a `Tiled`, through which `extractor` measures pictures.
        image: The picture, a Keras variable [1, H, W, 3]; where a run keeps pixels of a photo, what
            is painted beneath them.
        optimizer: The recipe's, from `mnst.optimizers`.
        train_step: One step of the optimiser; a `tf.function`, unless in tiles.
        measure: The losses of a picture, without a step; a `tf.function`, unless in tiles.

    Example:
        A loop of one's own; `content` and `style` are images from `mnst.load_image`:

        >>> recipe = mnst.ARTICLE  # doctest: +SKIP
        >>> extractor = mnst.vgg_layers(recipe.layers)  # doctest: +SKIP
        >>> photo, painting = (  # doctest: +SKIP
        ...     mnst.statistics(extractor(image), recipe) for image in (content, style)
        ... )
        >>> grams = mnst.style_targets([painting], photo, recipe)  # doctest: +SKIP
        >>> targets = mnst.make_targets(photo, grams, recipe, gamma=[1], sigma=[1])
        ... # doctest: +SKIP
        >>> trainer = mnst.Trainer(extractor, recipe, *content.shape[1:3])  # doctest: +SKIP
        >>> for record in trainer.run(content, targets, steps=100):  # doctest: +SKIP
        ...     print(record.step, record.losses["total"])
    """

    def __init__(
        self,
        extractor: Callable[[Tensor], Any],
        recipe: Recipe,
        height: int,
        width: int,
        *,
        tile: int | None = None,
        surrogate: Callable[[Tensor], Any] | None = None,
    ) -> None:
        def view(network: Any) -> Whole | Tiled:
            return Whole(network, recipe) if tile is None else Tiled(network, recipe, tile=tile)

        self.extractor, self.surrogate = extractor, surrogate
        self.recipe = recipe
        self.view = view(extractor)
        self._steps_through = self.view if surrogate is None else view(surrogate)
        self.image = keras.Variable(np.zeros((1, height, width, 3)), dtype="float32", name="image")
        self.optimizer = make_optimizer(recipe, self.image)
        # Through `partial`, since TensorFlow counts tracings by a function's code: it would warn of
        # "frequent retracing" where somebody paints one picture after the other.
        self._update = tf.function(functools.partial(self.optimizer.update))
        if tile is None:
            self.train_step = tf.function(functools.partial(self._train_step))
            self.measure = tf.function(functools.partial(self._measure))
            self._correct = tf.function(functools.partial(self._corrected))
        else:  # many short steps, each of them compiled
            self.train_step, self.measure = self._train_step, self._measure
            self._correct = self._corrected

    def run(
        self,
        start: Any,
        targets: Targets,
        *,
        steps: int,
        warm: int = 0,
        keep: tuple[Any, Any] | None = None,
    ) -> Iterator[StepRecord]:
        """Yields the record of the start and of every step: `steps` + 1 records.

        Stop by leaving the loop; the last record has the picture so far. With a surrogate the
        losses are the extractor's at the start and at the end, whenever it corrects, and nearly so
        in between.

        Args:
            start: The picture to begin with, [1, H, W, 3], 0..255.
            targets: From `mnst.make_targets`.
            steps: How many steps.
            warm: Go on where the optimiser stands, as if after so many steps, rather than afresh:
                what it remembers stays, and its learning rate is that of this step. For targets
                that change little, as between the frames of a crossfade.
            keep: A photo, [1, H, W, 3], and a mask, [H, W], 1 where its pixels are kept, 0 where
                the picture is painted. In between the picture is a mixture at every step.

        Raises:
            DivergenceError: If a loss or a pixel is NaN or infinite. Its record is not yielded.
        """
        self.image.assign(start)
        self.optimizer.begin(warm)
        kept = None if keep is None else _as_tensors(*keep)
        best = None
        aims = targets
        began = time.perf_counter()
        for step in range(steps + 1):
            # A step measures the picture before it changes it. So the record of a picture is made
            # by the step that follows, and the last picture is only measured.
            if step < steps:
                corrects = self._corrects(step)
                if corrects:
                    aims = self._correct(targets, kept)
                image, measured = self.train_step(aims, kept, tf.constant(not corrects))
                values = _to_floats(measured)
            else:
                image, values = self._finish(targets, kept)
            for term, value in values.items():
                if not math.isfinite(value):
                    raise DivergenceError(step, term, value, best)
            del values["picture"], values["objective"]
            record = StepRecord(
                step=step,
                losses=values,
                learning_rate=self.optimizer.learning_rate(warm + max(step - 1, 0)),
                seconds=time.perf_counter() - began,
                image=image,
            )
            if best is None or record.losses["total"] < best.losses["total"]:
                best = record
            yield record

    def _corrects(self, step: int) -> bool:
        return self.surrogate is not None and step % self.recipe.correct_every == 0

    def _train_step(
        self, targets: Targets, kept: Kept, same: Tensor | bool = True
    ) -> tuple[Tensor, Losses]:
        image = _picture(tf.identity(self.image.value), kept)
        objective, gradient, losses = self._steps_through.gradient(image, targets)
        of_painting = gradient if kept is None else (1.0 - kept[1]) * gradient
        self._update(objective, of_painting, tf.convert_to_tensor(same))
        return image, _with_checks(losses, objective, image)

    def _measure(self, targets: Targets, kept: Kept) -> tuple[Tensor, Losses]:
        image = _picture(tf.identity(self.image.value), kept)
        seen = self.view.statistics(image, regions=targets.regions)
        objective, losses = mixed_losses(seen, targets, self.recipe)
        return image, _with_checks(losses, objective, image)

    def _corrected(self, targets: Targets, kept: Kept) -> Targets:
        image = _picture(tf.identity(self.image.value), kept)
        full, small = (
            view.statistics(image, regions=targets.regions)
            for view in (self.view, self._steps_through)
        )
        return corrected(targets, full, small)

    def _finish(self, targets: Targets, kept: Kept) -> tuple[Tensor, dict[str, float]]:
        """Measures the last picture, or the one before, if that is what the optimiser prefers."""
        image, measured = self.measure(targets, kept)
        values = _to_floats(measured)
        if self.optimizer.takes_back(values["objective"]):
            image, measured = self.measure(targets, kept)
            values = _to_floats(measured)
        return image, values


def _picture(painting: Tensor, kept: Kept) -> Tensor:
    """Puts the kept pixels of the photo over the painting, as the network and the user see it.

    A soft mask is why the painting is what is optimised: Adam's step does not get smaller with the
    gradient, so a pixel that is half kept would walk as far as one that isn't, and leave the photo.
    """
    if kept is None:
        return painting
    photo, mask = kept
    return mask * photo + (1.0 - mask) * painting


def _as_tensors(photo: Any, mask: Any) -> Kept:
    mask = np.asarray(mask)[np.newaxis, ..., np.newaxis]
    return tf.constant(photo, tf.float32), tf.constant(mask, tf.float32)


def _with_checks(losses: Losses, objective: Tensor, image: Tensor) -> Losses:
    """Adds what was differentiated, and a number that is finite if the picture is.

    The losses do not tell: TensorFlow's ReLU makes a 0 of NaN on some devices, and an overflow in
    the gradient would go on unseen with a black picture.
    """
    return {**losses, "objective": objective, "picture": tf.reduce_mean(image)}


def _to_floats(losses: Losses) -> dict[str, float]:
    values = tf.stack(list(losses.values())).numpy()  # one copy from the device, not one a loss
    return dict(zip(losses, values.tolist(), strict=True))
