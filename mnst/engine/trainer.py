"""The optimisation loop: a GradientTape, an optimiser, a generator of step records.

The loop knows features and losses, never a file name or a style's picture. It prints nothing and
shows nothing: progress bars, previews, early stopping and callbacks all consume its records.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from mnst.backend import keras, tf
from mnst.engine.tiled import Tiled
from mnst.engine.whole import Evaluator, NamedLosses, Whole
from mnst.networks.borders import with_borders
from mnst.objective.losses import Targets, corrected, mixed_losses
from mnst.objective.terms import Tensor
from mnst.recipes import Recipe


@dataclass(frozen=True)
class StepRecord:
    """What is known of the picture after so many steps.

    Attributes:
        step: How many steps it has behind it; 0 is the start.
        losses: "content", "style_1" .. "style_K", further terms by their names, and "total", of
            this very picture. The style losses are L_style_k, without gamma, sigma and beta.
        learning_rate: That of the step which led here; of the first step, at the start.
        seconds: Since the run began.
        size: The long side of the picture, in pixels: coarse to fine, it grows in a run. Losses
            are of the picture in that size.
        image: The picture, float32 [1, H, W, 3], 0..255. Who keeps a record keeps its picture;
            `numbers()` is the record without it.
    """

    step: int
    losses: dict[str, float]
    learning_rate: float
    seconds: float
    size: int
    image: Tensor | None = dataclasses.field(default=None, repr=False, compare=False)

    def with_image(self, image: Tensor | None) -> StepRecord:
        """Returns the record with another picture."""
        return dataclasses.replace(self, image=image)

    def numbers(self) -> StepRecord:
        """Returns the record without its picture."""
        return self.with_image(None)


@dataclass(frozen=True)
class Standing:
    """Where a run of a trainer stands between two steps, beside what its `variables` hold.

    Attributes:
        step: Of the record that was yielded last.
        seconds: Since the run began.
        best: The record with the lowest total loss so far, with its picture.
        corrected_at: What was painted when the surrogate was corrected last, float32 [1, H, W, 3];
            None without one.
    """

    step: int
    seconds: float
    best: StepRecord
    corrected_at: Tensor | None = None


class DivergenceError(ArithmeticError):
    """A loss, or the picture itself, turned NaN or infinite.

    Attributes:
        step: After how many steps.
        term: Which loss, by its name in a record; "picture", if the losses did not show it.
        value: What it turned: NaN, or an infinity.
        best: The record with the lowest total loss before that, with its picture; None if there
            was none.
        result: The same as a `Result`, where `stylize` raised the error.
    """

    def __init__(self, step: int, term: str, value: float, best: StepRecord | None) -> None:
        what = "picture" if term == "picture" else f"{term} loss"
        super().__init__(
            f"the {what} became {value} after step {step}; try a lower learning_rate or weights, "
            f"or float32 for bfloat16"
        )
        self.step = step
        self.term = term
        self.value = value
        self.best = best
        self.result: Any = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Lets it be sent to another process, where TensorFlow need not be loaded to read it."""
        best = self.best and self.best.with_image(np.asarray(self.best.image))
        made_of = self.step, self.term, self.value, best
        return type(self), made_of, {"result": self.result}


class Measured(NamedTuple):
    """What a step has measured of a picture.

    Attributes:
        losses: All losses by name, float32 [] each.
        objective: What was differentiated, float32 [].
        brightness: The mean of the picture, float32 []: finite if the picture is. The losses do not
            tell: TensorFlow's ReLU makes a 0 of NaN on some devices, and an overflow in the
            gradient would go on unseen with a black picture.
    """

    losses: NamedLosses
    objective: Tensor
    brightness: Tensor


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
            the whole picture at once. See `mnst.engine.tiled`.
        surrogate: Takes the steps, where the recipe has one; `extractor` corrects it, and has the
            last word. Like `extractor`, it gives all of the recipe's layers.
        seamless: Take the picture's opposite borders for neighbours, so that it tiles the plane;
            see `mnst.networks.borders`. Its sides are multiples of the deepest layer's cell then.

    Raises:
        ValueError: If the recipe has a surrogate, and none is given; if it is seamless, and in
            tiles; or if a model has layers that can't be cut into tiles, or made seamless.

    Attributes:
        evaluator: A `Whole`, or a `Tiled`, through which `extractor` measures pictures.
        style_evaluator: Measures styles: the same, or, of a seamless picture, one that mirrors
            them at their borders.
        step_evaluator: Gives the steps their gradient: that of the surrogate, if there is one.
        image: The picture, a Keras variable [1, H, W, 3]; where a run keeps pixels of a photo, what
            is painted beneath them.
        optimizer: The recipe's, at work on the picture; see `mnst.optimizers.OptimizerState`.
        standing: Where its run stands; None while a step changes the picture.
        train_step: One step of the optimiser; a `tf.function`, unless in tiles.
        measure: The losses of a picture, without a step; a `tf.function`, unless in tiles.

    Example:
        A loop of one's own; `content` and `style` are images from `mnst.load_image`:

        >>> recipe = mnst.ARTICLE  # doctest: +SKIP
        >>> extractor = mnst.vgg_layers(recipe.layers)  # doctest: +SKIP
        >>> trainer = mnst.Trainer(extractor, recipe, *content.shape[1:3])  # doctest: +SKIP
        >>> photo, painting = map(trainer.evaluator.statistics, (content, style))
        ... # doctest: +SKIP
        >>> styles = mnst.style_targets([painting], photo, recipe)  # doctest: +SKIP
        >>> targets = mnst.make_targets(photo, styles, recipe, gamma=[1], sigma=[1])
        ... # doctest: +SKIP
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
        seamless: bool = False,
    ) -> None:
        def evaluate(network: Any) -> Evaluator:
            if seamless:
                return Whole(with_borders(network, "wrap"), recipe)
            return Whole(network, recipe) if tile is None else Tiled(network, recipe, tile=tile)

        if seamless and tile is not None:
            raise ValueError(f"seamless is True, and tile is {tile}: give one of them")
        if surrogate is None and recipe.surrogate != "none":
            raise ValueError(
                f"surrogate is None, but recipe {recipe.name!r} has one: give a function as "
                f"extractor is, or recipe.replace(surrogate='none')"
            )
        self.extractor, self.surrogate = extractor, surrogate
        self.recipe = recipe
        self.evaluator = evaluate(extractor)
        self.style_evaluator = self.evaluator
        if seamless:
            # Whatever a style shows at its borders would be painted somewhere within the picture:
            # wrapped, it has seams, and zeros leave marks that no picture without borders can have.
            self.style_evaluator = Whole(with_borders(extractor, "mirror"), recipe)
        self.step_evaluator = self.evaluator if surrogate is None else evaluate(surrogate)
        self.image = keras.Variable(np.zeros((1, height, width, 3)), dtype="float32", name="image")
        self.optimizer = recipe.optimizer.start(self.image)
        self.standing: Standing | None = None
        self._run: object = None  # the run that has the picture now
        self._changing = threading.Lock()  # whoever changes the picture, or whose it is, holds it
        # Through `partial`, since TensorFlow counts tracings by a function's code: it would warn of
        # "frequent retracing" where somebody paints one picture after the other.
        self._update = tf.function(functools.partial(self.optimizer.update))
        if tile is None:
            self.train_step = tf.function(functools.partial(self._train_step))
            self.measure = tf.function(functools.partial(self._measure))
            self._correct = tf.function(functools.partial(self._corrected_targets))
        else:  # many short steps, each of them compiled
            self.train_step, self.measure = self._train_step, self._measure
            self._correct = self._corrected_targets

    def run(
        self,
        start: Any,
        targets: Targets,
        *,
        steps: int,
        warm: int = 0,
        before: Trainer | None = None,
        since: Standing | None = None,
    ) -> Iterator[StepRecord]:
        """Yields the record of the start and of every step: `steps` + 1 records.

        Stop by leaving the loop; the last record has the picture so far. With a surrogate the
        losses are the extractor's at the start and at the end, whenever it corrects, and nearly so
        in between.

        Args:
            start: The picture to begin with, [1, H, W, 3], 0..255.
            targets: From `mnst.make_targets`. Where they keep pixels of the photo, the picture is
                the photo there at every step, and a mixture where the mask is soft.
            steps: How many steps.
            warm: Go on where the optimiser stands, as if after so many steps, rather than afresh:
                what it remembers stays, and its learning rate is that of this step. For targets
                that change little, as between the frames of a crossfade.
            before: Go on where the optimiser of this trainer stands, one of another size, with what
                can be taken over from it.
            since: Where another run with the same targets stood, whose `variables` this trainer's
                have been assigned: go on there, and yield the records that are missing. They are
                the same, to the last bit. The start is not looked at then.

        Raises:
            DivergenceError: If a loss or a pixel is NaN or infinite. Its record is not yielded.
            RuntimeError: If another run of this trainer has begun since: they have one picture.
        """
        run = object()
        aims = targets
        with self._changing:
            self._run, self.standing = run, None
            if since is not None:
                aims = self._aims_of(targets, since)
            else:
                self._begin(start, warm, before)
        done, best, corrected_at = -1, None, None
        began = time.perf_counter()
        if since is not None:
            done, best, corrected_at = since.step, since.best, since.corrected_at
            began -= since.seconds
        first = 0 if before is None else -1  # of the step which led here: the last in that size
        for step in range(done + 1, steps + 1):
            with self._picture_of(run):
                self.standing = None
                # A step measures the picture before it changes it. So the record of a picture is
                # made by the step that follows, and the last picture is only measured.
                if step < steps:
                    corrects = self.surrogate is not None and step % self.recipe.correct_every == 0
                    if corrects:
                        corrected_at = tf.identity(self.image.value)
                        aims = _called(self._correct, targets)
                    image, measured = _called(self.train_step, aims, tf.constant(not corrects))
                else:
                    image, measured = self._finish(targets)
            record = StepRecord(
                step=step,
                losses=_checked(measured, step, best),
                learning_rate=self.optimizer.learning_rate(warm + max(step - 1, first)),
                seconds=time.perf_counter() - began,
                size=max(image.shape[1:3]),
                image=image,
            )
            if best is None or record.losses["total"] < best.losses["total"]:
                best = record
            self.standing = Standing(step, record.seconds, best, corrected_at)
            yield record

    @property
    def variables(self) -> dict[str, Any]:
        """All that steps change: the picture, and what the optimiser remembers, by name."""
        remembered = self.optimizer.variables
        return {"image": self.image, **{f"optimizer_{name}": of for name, of in remembered.items()}}

    def _begin(self, start: Any, warm: int, before: Trainer | None) -> None:
        self.image.assign(start)
        if before is None:
            self.optimizer.begin(warm)
        else:
            self.optimizer.go_on_from(before.optimizer, warm)

    def _aims_of(self, targets: Targets, since: Standing) -> Targets:
        """Returns what the steps of a run aim at since the surrogate was corrected last."""
        if since.corrected_at is None:
            return targets
        painting = tf.identity(self.image.value)
        self.image.assign(since.corrected_at)
        aims: Targets = _called(self._correct, targets)
        self.image.assign(painting)
        return aims

    @contextlib.contextmanager
    def _picture_of(self, run: object) -> Iterator[None]:
        """Holds the picture while a step of this run is taken, or says that it is another's now."""
        with self._changing:
            if self._run is not run:
                raise RuntimeError("this trainer has begun another run: make a trainer for each")
            yield

    def _train_step(
        self, targets: Targets, comparable: Tensor | bool = True
    ) -> tuple[Tensor, Measured]:
        """Measures the picture, then changes it.

        Args:
            targets: What the step aims at.
            comparable: False if these are not the targets of the step before.

        Returns:
            The picture before the step, and what was measured of it.
        """
        image = self._picture(targets)
        objective, gradient, losses = self.step_evaluator.gradient(image, targets)
        if targets.kept:
            gradient = (1.0 - targets.kept[1]) * gradient
        self._update(objective, gradient, tf.convert_to_tensor(comparable))
        return image, Measured(losses, objective, tf.reduce_mean(image))

    def _measure(self, targets: Targets) -> tuple[Tensor, Measured]:
        """Returns the picture, and what is measured of it."""
        image = self._picture(targets)
        seen = self.evaluator.statistics(image, places=targets.places)
        objective, losses = mixed_losses(seen, targets, self.recipe)
        return image, Measured(losses, objective, tf.reduce_mean(image))

    def _corrected_targets(self, targets: Targets) -> Targets:
        """Returns targets for the surrogate: at this picture its losses are the extractor's."""
        image = self._picture(targets)
        full, small = (
            evaluator.statistics(image, places=targets.places)
            for evaluator in (self.evaluator, self.step_evaluator)
        )
        return corrected(targets, full, small, self.recipe)

    def _picture(self, targets: Targets) -> Tensor:
        """Puts the kept pixels of the photo over the painting, as the network and the user see it.

        A soft mask is why the painting is what is optimised: Adam's step does not get smaller with
        the gradient, so a pixel that is half kept would walk as far as one that isn't, and leave
        the photo.
        """
        painting = tf.identity(self.image.value)
        if not targets.kept:
            return painting
        photo, mask = targets.kept
        return mask * photo + (1.0 - mask) * painting

    def _finish(self, targets: Targets) -> tuple[Tensor, Measured]:
        """Measures the last picture, or the one before, if that is what the optimiser prefers."""
        image, measured = _called(self.measure, targets)
        if self.optimizer.takes_back(float(measured.objective)):
            image, measured = _called(self.measure, targets)
        return image, measured


def _called(function: Callable[..., Any], *given: Any) -> Any:
    """Calls a function that may be compiled; for what it has not been given before, it is traced.

    That is done ahead, since TensorFlow warns of calls that have to be traced again and again, and
    another number of styles or regions is no mistake.
    """
    trace = getattr(function, "get_concrete_function", None)
    if trace is not None:
        trace(*given)
    return function(*given)


def _checked(measured: Measured, step: int, best: StepRecord | None) -> dict[str, float]:
    """Returns the losses as numbers, or raises a `DivergenceError`."""
    named = {
        **measured.losses,
        "objective": measured.objective,
        "picture": measured.brightness,
    }
    values = tf.stack(list(named.values())).numpy()  # one copy from the device, not one a loss
    for name, value in zip(named, values.tolist(), strict=True):
        if not math.isfinite(value):
            raise DivergenceError(step, name, value, best)
    return dict(zip(measured.losses, values.tolist(), strict=False))
