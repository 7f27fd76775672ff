"""`stylize()`: the one place where the parts meet, in the order of the paper's section 3."""

from __future__ import annotations

import dataclasses
import functools
import os
import weakref
from collections.abc import Callable, Hashable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from mnst import __version__, images
from mnst.backend import keras, tf
from mnst.engine import devices, planning
from mnst.images import sha256
from mnst.masks.segmentation import Classes, check_classes, find_mask, load_mask
from mnst.networks import vgg
from mnst.networks.weights import fetch_weights, find_weights
from mnst.objective import mixing
from mnst.objective.regions import Regions, paint_regions
from mnst.recipes import ARTICLE, Recipe, get_recipe
from mnst.reporting.plots import axes, log_axis
from mnst.reporting.progress import (
    Logs,
    Preview,
    Progress,
    check_log_dir,
    check_preview,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mnst.engine.training import StepRecord, Trainer
    from mnst.objective.losses import Statistics

Localize = Literal["guided", "composite"]

# The trainer that was used last, by its kind, while nobody uses it.
_SPARE: dict[Hashable, Trainer] = {}


@dataclass(frozen=True, eq=False)
class Result:
    """A finished picture and how it came about.

    Attributes:
        image: uint8 [H, W, 3], RGB.
        history: A `StepRecord` for the start and for every step, without their pictures. With
            localize="composite" the losses are those of the whole picture, as it was before the
            photo's pixels were put back.
        start_losses: L_style_k(c), the style losses of the content image, one per style.
        settings: What it was made with: gamma, sigma, recipe, steps done, init, seed, backbone,
            weights, precision, device and versions; with masks, how the transfer is localized and
            what share of the pixels is kept. `save` puts it into the file.
        completed: False if the run was ended before its last step.
    """

    image: np.ndarray
    history: tuple[StepRecord, ...]
    start_losses: tuple[float, ...]
    settings: dict[str, Any]
    completed: bool = True

    @property
    def final_losses(self) -> tuple[float, ...]:
        """L_style_k(x_final), the style losses of the picture, one per style."""
        last = self.history[-1].losses
        return tuple(last[f"style_{k}"] for k in range(1, len(self.start_losses) + 1))

    @property
    def relative_improvement(self) -> tuple[float, ...]:
        """RI_k = L_style_k(c) / L_style_k(x_final) (article, fig. 5), one per style."""
        return mixing.relative_improvement(self.start_losses, self.final_losses)

    @property
    def loss_ratio(self) -> tuple[float, ...]:
        """r_k = L_style_k(x_final) / L_style_k(c) (paper, eq. 8 and 9), one per style."""
        return mixing.loss_ratio(self.start_losses, self.final_losses)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the picture with its settings; see `mnst.save_image`.

        Args:
            path: Ends in .png, .jpg, .jpeg, .webp, .tif or .tiff.

        Raises:
            ValueError: If the ending is another.
            OSError: If the file can't be written. What was there before is left as it was.
        """
        images.save_image(path, self.image, self.settings)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draws the style losses over the steps, relative to the content image's: r_k.

        Args:
            ax: Matplotlib axes to draw on; a new figure, if not given.

        Returns:
            The axes.
        """
        ax = axes(ax)
        steps = [record.step for record in self.history]
        for k, start in enumerate(self.start_losses, start=1):
            ratios = [record.losses[f"style_{k}"] / start for record in self.history]
            share = self.settings["gamma"][k - 1]
            ax.plot(steps, ratios, label=f"style {k}, share {share:g}")
        ax.axhline(1, color="grey", linewidth=0.8, linestyle=":")
        ax.set(xlabel="step", ylabel="style loss / style loss of the content image")
        ax.legend()
        return log_axis(ax)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.image, dtype=dtype)

    def _repr_png_(self) -> bytes:
        return images.encode(self.image, "PNG")

    def __repr__(self) -> str:
        height, width = self.image.shape[:2]
        improved = ", ".join(f"{value:.4g}" for value in self.relative_improvement)
        return (
            f"<mnst.Result: {width} x {height} pixels, {self.history[-1].step} steps, "
            f"relative improvement {improved}>"
        )


class StyleTransfer:
    """A photo and its styles, measured by the network once, to be painted any number of times.

    `stylize` is this and one `run`. Runs share the network, the content's features, the styles'
    Gram matrices and the compiled step.

    Args:
        photo: The content image, anything that `mnst.load_image` takes.
        styles: A list or tuple of style images, or a single one.
        recipe: Losses and optimiser: a `Recipe`, or a name ("article", "paper", "tutorial").
        size: The longest that a long side may be, in pixels; larger pictures are reduced.
        keep: Classes of the photo to keep; as in `stylize`.
        only: Classes to paint, and nothing else; as in `stylize`.
        mask: What to keep of the photo; as in `stylize`.
        style_masks: Where each style may paint; as in `stylize`.
        localize: "guided" or "composite"; as in `stylize`.
        backbone: "auto" or "vgg19".
        weights: Path of the backbone's weights; `find_weights` says where they come from else.
        precision: "float32", "bfloat16", or "auto", which is what the hardware is fast in.
        memory: What the run may take; as in `stylize`.

    Attributes:
        start_losses: L_style_k(c), the style losses of the content image, one per style.
        regions: Where the styles may paint, `mnst.objective.regions.Regions`; None without masks.
        style_distances: The style loss of style j's Gram matrices against style k's, [K, K].
        tile: Side of the tiles that the picture is painted in, in pixels; None is as a whole.

    Raises:
        ValueError: If an option or a picture is out of range.
        FileNotFoundError: If a picture or the weights aren't there.
        OSError: If a picture can't be downloaded or opened.
        ImportError: If `keep` or `only` is given without mnst[people].
        WeightsError: If the weights or DeepLab can't be had, or don't fit.

    Example:
        >>> transfer = mnst.StyleTransfer("photo.jpg", ["a.jpg", "b.jpg"])  # doctest: +SKIP
        >>> transfer.run(gamma=0.2).save("mostly_b.png")  # doctest: +SKIP
        >>> transfer.run(gamma=0.8).save("mostly_a.png")  # doctest: +SKIP
    """

    def __init__(
        self,
        photo: Any,
        styles: Any,
        *,
        recipe: Recipe | str = ARTICLE,
        size: int = 512,
        keep: Classes | None = None,
        only: Classes | None = None,
        mask: Any = None,
        style_masks: Sequence[Any] | None = None,
        localize: Localize = "guided",
        backbone: str = "auto",
        weights: str | os.PathLike[str] | None = None,
        precision: str = "auto",
        memory: int | str | None = None,
    ) -> None:
        devices.check_precision(precision)
        allowed = planning.parse_memory(memory)
        check_masks(keep, only, mask, style_masks, localize)
        self.recipe = get_recipe(recipe)
        smallest = vgg.minimum_side(self.recipe.layers)
        self._source = find_weights(weights, backbone=backbone)
        self._styles = len(mixing.style_shares(None, len(style_list(styles))))
        self.content = _load(photo, size, smallest)
        style_images = [_load(style, size, smallest) for style in style_list(styles)]
        height, width = self.content.shape[1:3]
        kept = find_mask(photo, keep=keep, only=only, mask=mask)
        self._asked_to_keep = kept is not None
        self.localize = localize
        self.regions = paint_regions(
            None if kept is None else load_mask(kept, height, width),
            _style_masks(style_masks, height, width),
            self._styles,
            cell=vgg.minimum_side(layer for layer, _ in self.recipe.style_layers),
        )

        # All that was given is checked; from here on it takes time.
        from mnst.objective import losses

        self.device = devices.device_name()
        self.precision = devices.resolve_precision(precision)
        # Styles are measured in the same tiles.
        tall, wide = max((self.content, *style_images), key=np.size).shape[1:3]
        limit = planning.memory_limit() if allowed is None else allowed
        self.tile = planning.find_tile(tall, wide, self.precision, limit, self.recipe.optimizer)
        self._source = fetch_weights(self._source)
        self._weights_hash = sha256(self._source.path)
        self._trainer = self._borrow_trainer()
        look = self._trainer.view.statistics
        self._photo = look(self.content, regions=losses.style_regions(self._guided))
        self._grams = losses.style_targets(map(look, style_images), self._photo, self.recipe)
        self.start_losses = self._style_losses(self._photo)
        between = losses.style_distances(self._grams, self._photo, self.recipe)
        self.style_distances: np.ndarray = between.numpy()

    def run(
        self,
        *,
        gamma: float | Sequence[float] | None = None,
        sigma: Sequence[float] | Literal["auto"] | None = None,
        recipe: Recipe | None = None,
        steps: int | None = None,
        init: Any = None,
        seed: int = 0,
        warm: int = 0,
        callback: Callable[[StepRecord], object] | None = None,
        preview: int | None = None,
        progress: bool = True,
        log_dir: str | os.PathLike[str] | None = None,
    ) -> Result:
        """Paints the picture once; the arguments, errors and outcome are those of `stylize`.

        Args:
            gamma: The crossfader.
            sigma: Calibration weight of each style, or "auto".
            recipe: One that differs from this object's only in name, alpha, beta, init and steps.
            steps: How many steps.
            init: What to start from.
            seed: Of the noise.
            warm: Go on with the optimiser as the run before left it; see `Trainer.run`.
            callback: Called with every `StepRecord`.
            preview: Show the picture in the notebook, after every so many steps.
            progress: Show progress on standard error.
            log_dir: A folder for TensorBoard's logs.
        """
        from mnst.engine.training import DivergenceError

        check_preview(preview)
        shares = mixing.style_shares(gamma, self._styles)
        if isinstance(sigma, str) and sigma == "auto":
            sigma = self.closed_form_sigma()
        sigmas = mixing.style_sigmas(sigma, self._styles)
        recipe = self._same_losses(recipe or self.recipe)
        recipe = recipe if steps is None else recipe.replace(steps=steps)
        steps = recipe.steps
        start, init_name = self._start(recipe.init if init is None else init, seed)
        settings = self._settings(recipe, shares, sigmas, init_name, seed)
        targets = self._targets(recipe, shares, sigmas)
        keep = None if self._guided is None else (self.content, 1 - self._guided.painted)
        history: list[StepRecord] = []
        last = None
        consumers: list[Callable[[StepRecord], object]] = []
        try:
            with ExitStack() as opened:
                if progress:
                    bar = Progress(self._heading(shares, steps), steps)
                    consumers.append(opened.enter_context(bar))
                if log_dir is not None:
                    consumers.append(opened.enter_context(Logs(log_dir, steps, settings)))
                if preview is not None:
                    consumers.append(Preview(preview, steps))
                if callback is not None:
                    consumers.append(callback)
                records = self._trainer.run(start, targets, steps=steps, warm=warm, keep=keep)
                for last in map(self._composited, records):
                    history.append(last.numbers())
                    for consume in consumers:
                        consume(last)
        except (KeyboardInterrupt, StopIteration):
            if last is None:
                raise
        except DivergenceError as error:
            if error.best is not None:
                best = self._composited(error.best)
                error.result = _result(best, history, self.start_losses, settings, steps)
            raise
        assert last is not None  # a run yields its start, if nothing else
        return _result(last, history, self.start_losses, settings, steps)

    def _borrow_trainer(self) -> Trainer:
        """Returns the last trainer that nobody uses any more, if it is of the same kind, or else a
        new one: to load the network and to compile the step takes seconds.
        """
        from mnst.engine.training import Trainer

        height, width = self.content.shape[1:3]
        layers, network = self.recipe.layers, (self._source.backbone, self._weights_hash)
        kind = (self.recipe.of_trainer(), height, width, self.tile, self.precision, *network)
        trainer = _SPARE.pop(kind, None)
        _SPARE.clear()
        if trainer is None:
            extractor = vgg.build_layers(layers, self._source, self.precision)
            surrogate = vgg.build_surrogate(
                layers, self._source, self.precision, self.recipe.surrogate
            )
            trainer = Trainer(
                extractor, self.recipe, height, width, tile=self.tile, surrogate=surrogate
            )
        trainer.optimizer.begin(0)
        weakref.finalize(self, _SPARE.__setitem__, kind, trainer).atexit = False
        return trainer

    def _same_losses(self, recipe: Recipe) -> Recipe:
        if not recipe.shares_a_trainer_with(self.recipe):
            raise ValueError(
                f"recipe {recipe.name!r} has other layers, losses or optimiser than the "
                f"StyleTransfer's, {self.recipe.name!r}; make a StyleTransfer for it"
            )
        return recipe

    def closed_form_sigma(self) -> tuple[float, ...]:
        """Returns the sigma of `mnst.objective.mixing.closed_form_sigma` for these pictures.

        Raises:
            ValueError: If the styles have regions of their own: it rests on one that they share.
        """
        if self.regions is not None and len(self.regions.styles) > 1:
            raise ValueError(
                "sigma 'auto' and the closed form are for styles that share a region, but these "
                "have style_masks: give a number for each"
            )
        return mixing.closed_form_sigma(self.start_losses, self.style_distances)

    def style_losses(self, image: Any) -> tuple[float, ...]:
        """Returns L_style_k of any picture of this size, each style's over its own region.

        Args:
            image: Anything that `mnst.load_image` takes, as large as `content`.

        Raises:
            ValueError: If it has another size.
        """
        from mnst.objective import losses

        pixels = images.load_image(image, size=None)
        if pixels.shape != self.content.shape:
            height, width = self.content.shape[1:3]
            raise ValueError(
                f"the picture is {pixels.shape[2]} x {pixels.shape[1]} pixels: give one of "
                f"{width} x {height}"
            )
        seen = self._trainer.view.statistics(pixels, regions=losses.style_regions(self._guided))
        return self._style_losses(seen)

    @property
    def _guided(self) -> Regions | None:
        """What the loss knows of the masks."""
        return self.regions if self.localize == "guided" else None

    def _composited(self, record: StepRecord) -> StepRecord:
        """Puts the photo's pixels back where they are kept (paper, section 4.3)."""
        if self.regions is None or self.localize == "guided":
            return record
        painted = self.regions.painted[np.newaxis, ..., np.newaxis]
        image = (1 - painted) * self.content + painted * np.asarray(record.image)
        return dataclasses.replace(record, image=image)

    def _targets(self, recipe: Recipe, gamma: Sequence[float], sigma: Sequence[float]) -> Any:
        from mnst.objective import losses

        return losses.make_targets(
            self._photo,
            self._grams,
            recipe,
            gamma=gamma,
            sigma=sigma,
            regions=self._guided,
        )

    def _style_losses(self, seen: Statistics) -> tuple[float, ...]:
        from mnst.objective import losses

        styles = range(1, self._styles + 1)
        targets = self._targets(
            self.recipe, [1 / self._styles] * self._styles, [1.0] * self._styles
        )
        _, named = losses.mixed_losses(seen, targets, self.recipe)
        return tuple(float(named[f"style_{k}"]) for k in styles)

    def _start(self, init: Any, seed: int) -> tuple[np.ndarray, str]:
        """Returns the picture to start from and what to call it in the settings."""
        height, width = self.content.shape[1:3]
        if isinstance(init, str) and init == "content":
            return self.content, init
        if isinstance(init, str) and init == "noise":
            noise = np.random.default_rng(seed).uniform(0, 255, self.content.shape)
            return noise.astype(np.float32), init
        image = read_start(init)
        if abs(image.shape[1] * width - image.shape[2] * height) > max(image.shape[1:3]):
            raise ValueError(
                f"init is {image.shape[2]} x {image.shape[1]} pixels, but the picture will be "
                f"{width} x {height}; give one of the same proportions, 'content' or 'noise'"
            )
        return images.resize_image(image, height, width), "image"

    def _settings(
        self, recipe: Recipe, shares: Sequence[float], sigmas: Sequence[float], init: str, seed: int
    ) -> dict[str, Any]:
        """What is worth knowing of a run later; no file names, which are the user's own affair."""
        return {
            "mnst": __version__,
            "gamma": list(shares),
            "sigma": list(sigmas),
            "recipe": recipe.as_dict(),
            "init": init,
            "seed": int(seed),
            "localized": self._localized(),
            "backbone": self._source.backbone,
            "weights": {"origin": self._source.origin, "sha256": self._weights_hash},
            "precision": self.precision,
            "tile": self.tile,
            "device": self.device,
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
        }

    def _localized(self) -> dict[str, Any] | None:
        if self.regions is None:
            return None
        return {
            "by": self.localize,
            "kept": round(1 - float(self.regions.painted.mean(dtype=np.float64)), 4),
            "regions": [round(area, 4) for area in self.regions.areas.tolist()],
        }

    @functools.cached_property
    def _seconds_a_step(self) -> float:
        height, width = self.content.shape[1:3]
        networks = self._trainer.extractor, self._trainer.surrogate
        return planning.seconds_a_step(*networks, self.recipe, height, width, self.tile)

    def _heading(self, shares: Sequence[float], steps: int) -> list[str]:
        height, width = self.content.shape[1:3]
        listed = ", ".join(f"{share:.3g}" for share in shares)
        steps_through = "" if self._trainer.surrogate is None else f", {self.recipe.surrogate}"
        lines = [
            f"mnst {__version__}: {self._source.backbone} ({self._source.origin}){steps_through} "
            f"on {self.device}, {self.precision}",
            f"{width} x {height} pixels, styles in shares {listed}, {steps} steps",
        ]
        if (localized := self._localized()) is not None:
            lines.append(f"{localized['by']}: {localized['kept']:.1%} of the pixels are kept")
        elif self._asked_to_keep:
            lines.append("nothing of the photo is kept")
        if self.tile is not None:
            taken = planning.memory_needed(
                height, width, self.precision, self.tile, self.recipe.optimizer
            )
            lines.append(
                f"{planning.tiles_named(self.tile)}, at most {taken / 1e9:.1f} GB of memory, "
                f"about {planning.duration(steps * self._seconds_a_step)}"
            )
        for gpu in devices.unused_gpus():
            lines.append(f"{gpu} is there, but TensorFlow does not use it; `mnst info` says why")
        return lines


def stylize(
    photo: Any,
    styles: Any,
    *,
    gamma: float | Sequence[float] | None = None,
    sigma: Sequence[float] | Literal["auto"] | None = None,
    recipe: Recipe | str = ARTICLE,
    steps: int | None = None,
    size: int = 512,
    init: Any = None,
    seed: int = 0,
    keep: Classes | None = None,
    only: Classes | None = None,
    mask: Any = None,
    style_masks: Sequence[Any] | None = None,
    localize: Localize = "guided",
    backbone: str = "auto",
    weights: str | os.PathLike[str] | None = None,
    precision: str = "auto",
    memory: int | str | None = None,
    callback: Callable[[StepRecord], object] | None = None,
    preview: int | None = None,
    progress: bool = True,
    log_dir: str | os.PathLike[str] | None = None,
) -> Result:
    """Paints a photo in one or more styles at once (article; paper, section 3.3).

    Two runs with the same arguments on one machine give the same picture, byte for byte. (On a
    GPU, call `tf.config.experimental.enable_op_determinism()` first.) Ctrl-C ends a run early and
    gives back the picture so far.

    Args:
        photo: The content image: a path, an http(s) address, a PIL image, an array or a tensor;
            see `mnst.load_image`.
        styles: A list of style images of the same kinds, or a single one.
        gamma: The crossfader. With two styles the share of style 1, in 0..1; with any number of
            styles the share of each, in sum 1. None is equal shares.
        sigma: Calibration weight of each style, above 0 (article, fig. 7). None is 1 for each;
            "auto" is the closed form of `calibrate`, which takes no run.
        recipe: Losses and optimiser: a `Recipe`, or a name ("article", "paper", "tutorial"),
            optionally with changes ("article,alpha=0.01").
        steps: How many steps; None is what the recipe says.
        size: The longest that a long side may be, in pixels. Larger pictures are reduced, smaller
            ones stay as they are.
        init: What to start from: "content", "noise", or an image of the same proportions. None is
            what the recipe says.
        seed: Of the noise, where it starts from noise.
        keep: What to keep of the photo: a class that DeepLab knows, such as "person", or several.
            `mnst.segment` finds it, and needs mnst[people]; where there is none, a warning says so,
            and all is painted.
        only: The other way round: classes to paint, and to keep the rest.
        mask: What to keep, as `mnst.load_mask` takes it: a path or an array [h, w],
            of the photo's proportions in any size. White, or 1, keeps the pixel as it is, 0 paints
            it, and what is between is a mixture. At most one of `keep`, `only` and `mask`.
        style_masks: Where each style may paint: one such mask for each, or None for everywhere. A
            pixel that no style may paint is kept.
        localize: "guided" lets the masks take part in the losses: strokes are made for what is
            painted, and end at what is kept as at any edge in the photo. "composite" paints all of
            it and puts the pixels back (paper, section 3.4).
        backbone: Which network measures: "vgg19", or "auto".
        weights: Path of the backbone's weights. Without it the file named by the variable
            MNST_VGG19_WEIGHTS is taken, or Keras' cache, or Keras' download.
        precision: What the network computes in: "float32", "bfloat16", or "auto", which is
            bfloat16 where the hardware multiplies it faster. Losses are float32 always.
        memory: What the run may take: bytes, or a text such as "8GB". A picture that takes more is
            painted in tiles, to the same numbers, but for rounding, in 1.5 to 1.8 times the time.
            None is most of what is free: of the GPU's memory, or else the machine's.
        callback: Called with a `StepRecord` at the start and after every step. Raise StopIteration
            to end the run early.
        preview: Show the picture in the notebook, and refresh it in place after every so many
            steps. Outside of a notebook there is nowhere to show it: a warning says so.
        progress: Show a bar on a terminal or in a notebook, plain lines elsewhere, on standard
            error; with it, the run's first line names device and backbone.
        log_dir: A folder for logs that `tensorboard --logdir` shows: losses, learning rate, and
            the picture every so often. It needs `pip install tensorboard`.

    Returns:
        The picture, with its history and settings. It shows itself in a notebook.

    Raises:
        ValueError: If an option or a picture is out of range.
        TypeError: If a picture is none of the kinds above.
        FileNotFoundError: If a picture or the weights aren't there.
        OSError: If a picture can't be downloaded or opened.
        ImportError: If `keep` or `only` is given without mnst[people], or `log_dir` without
            TensorBoard.
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
    recipe = check_options(styles, gamma=gamma, sigma=sigma, recipe=recipe, steps=steps, seed=seed)
    check_preview(preview)
    if log_dir is not None:
        check_log_dir(log_dir)
    start = read_start(init)
    transfer = StyleTransfer(
        photo,
        styles,
        recipe=recipe,
        size=size,
        keep=keep,
        only=only,
        mask=mask,
        style_masks=style_masks,
        localize=localize,
        backbone=backbone,
        weights=weights,
        precision=precision,
        memory=memory,
    )
    return transfer.run(
        gamma=gamma,
        sigma=sigma,
        init=start,
        seed=seed,
        callback=callback,
        preview=preview,
        progress=progress,
        log_dir=log_dir,
    )


def check_options(
    styles: Any,
    *,
    gamma: float | Sequence[float] | None = None,
    sigma: Sequence[float] | Literal["auto"] | None = None,
    recipe: Recipe | str = ARTICLE,
    steps: int | None = None,
    seed: int = 0,
) -> Recipe:
    """Checks what costs nothing to check, before pictures are read; returns the recipe to run.

    Raises:
        ValueError: If an option is out of range.
    """
    count = len(style_list(styles))
    mixing.style_shares(gamma, count)
    if not isinstance(sigma, str):
        mixing.style_sigmas(sigma, count)
    elif sigma != "auto":
        raise ValueError(f"sigma is {sigma!r}: give 'auto', or a number for each style")
    if isinstance(seed, bool) or not isinstance(seed, Integral) or seed < 0:
        raise ValueError(f"seed is {seed!r}: give a whole number, 0 or more")
    recipe = get_recipe(recipe)
    return recipe if steps is None else recipe.replace(steps=steps)


def check_masks(
    keep: Classes | None,
    only: Classes | None,
    mask: Any,
    style_masks: Sequence[Any] | None,
    localize: str,
) -> None:
    """Checks what says where to paint, before pictures are read; the classes by their names.

    Raises:
        ValueError: If options don't go together, or DeepLab is known not to know a class.
        FileNotFoundError: If MNST_DEEPLAB names a file that isn't there.
        ImportError: If classes are given without mnst[people].
        WeightsError: If MNST_DEEPLAB names a file that is no model.
    """
    given = [n for n, v in (("keep", keep), ("only", only), ("mask", mask)) if v is not None]
    if len(given) > 1:
        raise ValueError(f"{given[0]} and {given[1]} were both given: give one of them")
    if localize not in get_args(Localize):
        raise ValueError(f"localize is {localize!r}: give one of {', '.join(get_args(Localize))}")
    if localize == "composite" and style_masks is not None:
        raise ValueError("style_masks take part in the loss: give localize='guided'")
    for name, classes in (("keep", keep), ("only", only)):
        if classes is not None:
            check_classes(classes, name)


def read_start(init: Any) -> Any:
    """Returns what a run starts from: None, "content", "noise", or a picture, which is read."""
    if init is None or (isinstance(init, str) and init in ("content", "noise")):
        return init
    return images.load_image(init, size=None)


def style_list(styles: Any) -> list[Any]:
    """Returns the styles as a list, also where a single picture was given."""
    return list(styles) if isinstance(styles, (list, tuple)) else [styles]


def _load(source: Any, size: int, smallest: int) -> np.ndarray:
    """Reads a picture, and makes sure that the deepest layer can see it."""
    image = images.load_image(source, size=size)
    height, width = image.shape[1:3]
    if min(height, width) < smallest:
        raise ValueError(
            f"{images.describe(source)}: {width} x {height} pixels (with size={size}) is too "
            f"small; the recipe's deepest layer needs {smallest} x {smallest} or more"
        )
    return image


def _style_masks(
    masks: Sequence[Any] | None, height: int, width: int
) -> list[np.ndarray | None] | None:
    if masks is None:
        return None
    return [
        None if one is None else load_mask(one, height, width, name=f"style_masks[{k}]")
        for k, one in enumerate(masks)
    ]


def _result(
    last: StepRecord,
    history: Sequence[StepRecord],
    start_losses: tuple[float, ...],
    settings: dict[str, Any],
    steps: int,
) -> Result:
    """Makes the result whose picture is that of the record `last`."""
    # An interrupt may fall between a record's arrival and its place in the history.
    earlier = [record for record in history if record.step < last.step]
    return Result(
        image=images.to_uint8(last.image),
        history=(*earlier, last.numbers()),
        start_losses=start_losses,
        settings={**settings, "steps": last.step},
        completed=last.step == steps,
    )
