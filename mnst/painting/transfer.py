"""`stylize()`: a scene opened and painted once. `StyleTransfer`: opened, and painted many times."""

from __future__ import annotations

import dataclasses
import functools
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from mnst import __version__, images
from mnst.backend import keras, tf
from mnst.checks import check_proportions
from mnst.engine import devices, planning
from mnst.engine.sizes import Stage, paint
from mnst.engine.trainer import DivergenceError, StepRecord
from mnst.errors import calls_within_mnst
from mnst.networks import VGG
from mnst.objective import mixing
from mnst.objective.losses import Targets
from mnst.objective.terms import InLayers, Mix
from mnst.painting.at_size import AtSize
from mnst.painting.cache import borrow_trainers
from mnst.painting.checkpoints import Checkpoint
from mnst.painting.digests import digest
from mnst.painting.mixture import Mixture
from mnst.painting.options import (
    RunOptions,
    SceneOptions,
    StylizeOptions,
    check_run,
    check_scene,
    those_of,
)
from mnst.painting.repeating import repeatable
from mnst.painting.result import Result, make_result
from mnst.painting.scene import Scene, open_scene, read_once, style_list
from mnst.painting.signatures import takes
from mnst.recipes import Recipe, get_recipe
from mnst.reporting.progress import watch

if TYPE_CHECKING:
    from typing_extensions import Unpack


@takes(SceneOptions)
class StyleTransfer:
    """A photo and its styles, measured by the network once, to be painted any number of times.

    `stylize` is this and one `run`. Runs share the network, the content's features, the styles'
    Gram matrices and the compiled step. They come one after the other: a run that is asked for
    while another goes on, from a thread or a callback, is refused.

    Args:
        photo: The content image, anything that `mnst.load_image` takes.
        styles: A list or tuple of style images, or a single one.
        **options: Those of `SceneOptions`.

    Attributes:
        scene: What was opened: pictures, regions, recipe, network, tiles; a
            `mnst.painting.scene.Scene`.
        sizes: The scene in each of its sizes, coarse to fine; `mnst.painting.at_size.AtSize`.

    Raises:
        ValueError: If an option or a picture is out of range.
        TypeError: If a picture or an option is of another kind than it takes.
        FileNotFoundError: If a picture or the weights aren't there.
        OSError: If a picture can't be downloaded or opened.
        WeightsError: If the weights or DeepLab can't be had, or don't fit.

    Example:
        >>> transfer = mnst.StyleTransfer("photo.jpg", ["a.jpg", "b.jpg"])  # doctest: +SKIP
        >>> transfer.run(gamma=0.2).save("mostly_b.png")  # doctest: +SKIP
        >>> transfer.run(gamma=0.8).save("mostly_a.png")  # doctest: +SKIP
    """

    def __init__(self, photo: Any, styles: Any, **options: Unpack[SceneOptions]) -> None:
        scene, pictures = open_scene(photo, styles, options)
        self.scene, self._given = scene, options
        if all(np.array_equal(style, scene.photo) for style in pictures):
            warnings.warn(
                "the photo is its only style: there is nothing to improve, and relative "
                "improvement is 0 or no number",
                stacklevel=calls_within_mnst() + 1,
            )
        self._running = threading.Lock()
        self._digests = _digests(scene, pictures)
        trainers = borrow_trainers(self, scene.trainer_kind, scene.make_trainers)
        self.sizes = [
            AtSize(scene, canvas, trainer, pictures)
            for canvas, trainer in zip(scene.canvases, trainers, strict=True)
        ]
        self._full = self.sizes[-1]

    @takes(RunOptions)
    def run(
        self, *, recipe: Recipe | str | None = None, warm: int = 0, **options: Unpack[RunOptions]
    ) -> Result:
        """Paints the picture once.

        Args:
            recipe: One that differs from the scene's only in name, weights of terms, init and
                steps; or its name, with or without changes, as in `stylize`.
            warm: Go on with the optimiser as the run before left it; see `Trainer.run`.
            **options: Those of `RunOptions`.

        Returns:
            The picture, with its history and settings.

        Raises:
            ValueError: If an option is out of range, or the recipe needs another trainer.
            DivergenceError: If a loss turns NaN or infinite; its `result` has the best picture so
                far.
            RuntimeError: If this object is painting already.
        """
        recipe = check_run(options, self.scene.styles, self._same_step(recipe))
        if warm and options["checkpoint"] is not None:
            raise ValueError("warm and checkpoint were both given: give one of them")
        mixture = Mixture.of(options["gamma"], self.scene.styles, recipe)
        mixture = mixture.over(self.scene.photo, self.scene.photo_sides)
        init = recipe.init if options["init"] is None else options["init"]
        given = not isinstance(init, str)
        sigma = self._sigma(options["sigma"], mixture)
        stages, mix = self._stages(recipe, mixture, sigma, in_full=given or warm > 0)
        start, init = self._start(init, options["seed"], stages[0])
        settings = {
            "mnst": __version__,
            "gamma": mixture.settings(recipe.groups),
            "sigma": _plain(mix.sigma, recipe.groups),
            "strength": recipe.strength,
            "recipe": recipe.as_dict(),
            "init": init,
            "seed": int(options["seed"]),
            **self.scene.settings(),
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
        }

        def finish(last: StepRecord) -> Result:
            last = self._in_full(last, stages[-1].targets)
            made = {**settings, **self._repeatable(options, recipe)}
            made |= self._improvement(last, mixture, mix)
            alpha = self.scene.alpha
            return make_result(self._seen(last), history, start_losses, made, recipe.steps, alpha)

        run = self._told_apart_by(settings, options, mixture, start)
        checkpoint = Checkpoint(options["checkpoint"], run, stages)
        history = checkpoint.history

        def heading() -> list[str]:
            return [*self._heading(mixture, recipe.steps), *checkpoint.told]

        # Of the run's own targets: in zones, each style is measured where it paints.
        start_losses = self._full.start_losses(stages[-1].targets)
        last = None
        try:
            with (
                self._painting(),
                checkpoint,
                watch(heading, recipe.steps, settings, options) as show,
            ):
                for last in paint(stages, start, warm=warm, since=checkpoint.since):
                    history.append(last.numbers())
                    checkpoint.keep()
                    show(self._seen(last))
        except (KeyboardInterrupt, StopIteration):
            if last is None:
                raise
        except DivergenceError as error:
            if error.best is not None:
                error.result = finish(error.best)
            checkpoint.remove()  # from which it would diverge again
            raise
        assert last is not None  # a run yields its start, or what is left of it
        result = finish(last)
        if result.completed:
            checkpoint.remove()
        return result

    @functools.cached_property
    def start_losses(self) -> tuple[float, ...]:
        """L_style_k(c), the style losses of the content image, one per style."""
        return self._full.start_losses(self._full.targets(self.scene.recipe, self._full.even))

    @functools.cached_property
    def style_distances(self) -> np.ndarray:
        """The style loss of style j's targets against style k's; see `Term.distances`."""
        style = self.scene.recipe.style
        style.check_distances()
        full = self._full
        distances: np.ndarray = style.distances(full.styles["style"], full.photo["style"]).numpy()
        return distances

    def closed_form_sigma(self) -> tuple[float, ...]:
        """Returns the sigma of `mnst.objective.mixing.closed_form_sigma` for these pictures.

        Raises:
            ValueError: If the styles have regions of their own: it rests on one that they share.
        """
        regions = self.scene.regions
        if regions is not None and len(regions.styles) > 1:
            raise ValueError(
                "sigma 'auto' and the closed form are for styles that share a region, but these "
                "have style_masks: give a number for each"
            )
        return mixing.closed_form_sigma(self.start_losses, self.style_distances)

    def style_losses(self, image: Any) -> tuple[float, ...]:
        """Returns L_style_k of any picture of this size, each style's over its own region.

        Args:
            image: Anything that `mnst.load_image` takes, as large as the content. With
                colours="photo" its luminance is measured, as that of photo and styles is.

        Raises:
            ValueError: If it has another size.
        """
        pixels = images.load_image(image, size=None)
        if pixels.shape != self.scene.photo.shape:
            height, width = self.scene.sides
            raise ValueError(
                f"the picture is {pixels.shape[2]} x {pixels.shape[1]} pixels: give one of "
                f"{width} x {height}"
            )
        return self._full.style_losses(self.scene.to_paint(pixels), self._full.even)

    @contextmanager
    def _painting(self) -> Iterator[None]:
        """Refuses a second run while one goes on: they would paint over each other."""
        if not self._running.acquire(blocking=False):
            raise RuntimeError(
                "this StyleTransfer is painting already: wait until it is done, or make another"
            )
        try:
            yield
        finally:
            self._running.release()

    def _same_step(self, given: Recipe | str | None) -> Recipe:
        """Returns a run's recipe; None is the scene's."""
        own = self.scene.recipe
        if given is None:
            return own
        recipe = get_recipe(given)
        recipe = recipe.periodic() if self.scene.seamless else recipe
        if recipe.without_run_values() != own.without_run_values():
            raise ValueError(
                f"recipe {recipe.name!r} has other layers, losses or optimiser than the "
                f"StyleTransfer's, {own.name!r}; make a StyleTransfer for it"
            )
        return recipe

    def _repeatable(self, options: Mapping[str, Any], recipe: Recipe) -> dict[str, Any]:
        """Returns what it takes to paint a run again, for settings."""
        photo, *styles = (
            source.as_dict(named=options["file_names"]) for source in self.scene.sources
        )
        given = {**self._given, **options, "precision": self.scene.precision}
        backbone = self.scene.weights.backbone
        if isinstance(backbone, VGG):  # the one that "auto" has come to
            given["backbone"] = backbone.name
        return {"photo": photo, "styles": styles, **repeatable(given, recipe)}

    def _told_apart_by(
        self,
        settings: Mapping[str, Any],
        options: Mapping[str, Any],
        mixture: Mixture,
        start: np.ndarray,
    ) -> dict[str, Any]:
        """Returns all that a run's picture depends on, as a checkpoint tells it from others."""
        if options["checkpoint"] is None:
            return {}
        pictures = dict(self._digests)
        if settings["init"] == "image":
            pictures["init"] = digest(start)
        if mixture.pictures:
            pictures["gamma"] = digest(*mixture.pictures)
        sigma = options["sigma"]
        return {
            **settings,
            # As it was asked for: what "auto" finds is rounded as the machine does.
            "sigma": sigma if isinstance(sigma, str) else settings["sigma"],
            "weights": self.scene.weights_hash,
            "surrogate": self.scene.surrogate and self.scene.surrogate.sha256,
            "pictures": pictures,
        }

    def _sigma(self, sigma: Any, mixture: Mixture) -> InLayers | str:
        """Returns a run's sigma; "auto", where each size has to look for it layer by layer."""
        if not isinstance(sigma, str):
            return mixing.sigma_by_layer(
                sigma, self.scene.styles, self.scene.recipe.groups, self.scene.recipe.mixed_layers
            )
        return self.closed_form_sigma() if mixture.is_even else sigma

    def _stages(
        self,
        recipe: Recipe,
        mixture: Mixture,
        sigma: InLayers | str,
        *,
        in_full: bool,
    ) -> tuple[list[Stage], Mix]:
        """Returns what a run goes through, and how the full size mixes.

        With `in_full` it is the full size alone. That is for a run which goes on from a picture: to
        paint it again from its coarse forms would leave nothing of its strokes.
        """
        steps = (recipe.steps,) if in_full else self.scene.steps(recipe.steps)
        stages = []
        for size, of_size in zip(self.sizes[-len(steps) :], steps, strict=True):
            if of_size or size is self._full:
                mix = size.mix(mixture, sigma)
                stages.append((size, mix, of_size))
        return [size.stage(recipe, mix, of_size) for size, mix, of_size in stages if of_size], mix

    def _start(self, init: Any, seed: int, first: Stage) -> tuple[np.ndarray, str]:
        """Returns the picture to start from and what to call it in the settings."""
        if isinstance(init, str) and init == "content":
            return self.scene.photo, init
        if isinstance(init, str) and init == "noise":
            noise = np.random.default_rng(int(seed)).uniform(0, 255, (1, *first.sides, 3))
            return noise.astype(np.float32), init
        image = read_start(init).pixels
        sides, scene = image.shape[1:3], self.scene
        if sides != scene.sides:  # which need not be the photo's proportions
            should = "give one of the same proportions, 'content' or 'noise'"
            check_proportions("init", sides, scene.photo_sides, should)
        resized = images.resize_image(image, *scene.sides, wraps=scene.seamless)
        return scene.to_paint(resized), "image"

    def _seen(self, record: StepRecord) -> StepRecord:
        """Returns a record with the picture as it is seen."""
        canvas = next(each for each in self.scene.canvases if max(each.sides) == record.size)
        return record.with_image(self.scene.to_see(canvas, record.image))

    def _in_full(self, record: StepRecord, targets: Targets) -> StepRecord:
        """Returns a record in the full size; of a run that has ended before, it is measured so."""
        if record.size != max(self.scene.sides):
            pixels = images.resize_image(
                np.asarray(record.image), *self.scene.sides, wraps=self.scene.seamless
            )
            losses = self._full.losses(pixels, targets)
            size = max(self.scene.sides)
            record = dataclasses.replace(record, losses=losses, size=size, image=pixels)
        return record

    def _improvement(self, last: StepRecord, mixture: Mixture, mix: Mix) -> dict[str, Any]:
        """Returns the style losses of each group of layers, for settings, where they may differ."""
        if mixture.is_even:
            return {}
        groups = self.scene.recipe.groups
        return {"groups": self._full.losses_of_groups(last.image, mix, groups)}

    @functools.cached_property
    def _pace(self) -> planning.Pace:
        trainer = self._full.trainer
        return self.scene.pace(trainer.extractor, trainer.surrogate)

    def _heading(self, mixture: Mixture, steps: int) -> list[str]:
        """Returns what a run says of itself before its first step."""
        scene = self.scene
        height, width = scene.sides
        mixed = mixture.told(scene.recipe.groups)
        sizes = ", ".join(str(max(canvas.sides)) for canvas in scene.canvases[:-1])
        coarse = f", coarse to fine from {sizes}" if sizes else ""
        lines = [
            f"mnst {__version__}: {scene.network_named}",
            f"{width} x {height} pixels{', seamless' * scene.seamless}, {mixed}, {steps} steps"
            f"{coarse}",
        ]
        if scene.localized is not None:
            lines.append(f"{scene.localize}: {scene.localized['kept']:.1%} of the pixels are kept")
        elif scene.asked_to_keep:
            lines.append("nothing of the photo is kept")
        if scene.tile is not None:
            lines.append(
                f"{planning.tiles_named(scene.tile)}, at most {scene.memory / 1e9:.1f} GB of "
                f"memory, about {planning.duration(scene.seconds(steps, self._pace))}"
            )
        for gpu in devices.unused_gpus():
            lines.append(f"{gpu} is there, but TensorFlow does not use it; `mnst info` says why")
        return lines


def _plain(sigma: InLayers, groups: Mapping[str, Sequence[str]]) -> Any:
    """Returns a sigma as JSON holds it."""
    if isinstance(sigma, Mapping):
        listed = {layer: np.asarray(of).tolist() for layer, of in sigma.items()}
        return mixing.in_short(listed, groups)
    return list(sigma)


def _digests(scene: Scene, styles: Sequence[np.ndarray]) -> dict[str, str]:
    """Returns hashes of the pictures of a scene, by what they are called."""
    canvas, regions = scene.canvases[-1], scene.regions
    found = {"photo": digest(canvas.content, canvas.own, scene.alpha)}
    found |= {f"style {k}": digest(picture) for k, picture in enumerate(styles, start=1)}
    if regions is not None:
        found["mask"] = digest(*regions)
    return found


@takes(StylizeOptions)
def stylize(photo: Any, styles: Any, **options: Unpack[StylizeOptions]) -> Result:
    """Paints a photo in one or more styles at once (article; paper, section 3.3).

    Two runs with the same arguments on one machine give the same picture, byte for byte. (On a
    GPU, call `tf.config.experimental.enable_op_determinism()` first.) Ctrl-C ends a run early and
    gives back the picture so far.

    Args:
        photo: The content image: a path, an http(s) address, a PIL image, an array or a tensor;
            see `mnst.load_image`.
        styles: A list of style images of the same kinds, or a single one.
        **options: Those of `StylizeOptions`.

    Returns:
        The picture, with its history and settings. It shows itself in a notebook.

    Raises:
        ValueError: If an option or a picture is out of range.
        TypeError: If a picture is none of the kinds above, an option is of another kind than it
            takes, or there is no such option.
        FileNotFoundError: If a picture or the weights aren't there.
        OSError: If a picture can't be downloaded or opened, or there can't be a folder for logs.
        ImportError: If `log_dir` is given without TensorBoard.
        WeightsError: If the weights or DeepLab can't be had, or don't fit.
        DivergenceError: If a loss turns NaN or infinite; its `result` has the best picture so far.

    Example:
        >>> import mnst
        >>> from mnst.paintings import glass, swirls
        >>> result = mnst.stylize(
        ...     swirls(size=64), [glass(size=64)], steps=2, progress=False
        ... )  # doctest: +SKIP
        >>> result.save("out.png")  # doctest: +SKIP
    """
    transfer, options = prepare(photo, styles, options)
    return transfer.run(**those_of(RunOptions, options))


def prepare(photo: Any, styles: Any, options: Any) -> tuple[StyleTransfer, Any]:
    """Checks all options before anything is read, reads the start, and opens the scene.

    Args:
        photo: The content image.
        styles: One or more.
        options: All of them, of any function that paints.

    Returns:
        The scene to paint, and the options, with `init` read.
    """
    recipe = check_run(options, len(style_list(styles)), check_scene(options))
    settled = {"recipe": recipe, "steps": None, "strength": None}
    options = {**options, **settled, "init": read_start(options["init"])}
    return StyleTransfer(photo, styles, **those_of(SceneOptions, options)), options


def read_start(init: Any) -> Any:
    """Returns what a run starts from: None, "content", "noise", or a picture, `AsRead`."""
    if init is None or (isinstance(init, str) and init in ("content", "noise")):
        return init
    return read_once(init, "init", size=None)
