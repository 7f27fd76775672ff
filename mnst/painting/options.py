"""The options of all that paints: their types, defaults and meaning, each said once.

Functions take them as keywords, `**options: Unpack[StylizeOptions]` (PEP 692), which type checkers
read; `mnst.painting.signatures.takes` checks their names, fills in the defaults, and shows them in
help. An option is added here, and used where it matters; the command line reads it off the
signatures.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, TypedDict, get_args

import numpy as np

from mnst.checks import check_choice, check_number, check_whole, shown
from mnst.engine.devices import PRECISIONS
from mnst.engine.planning import parse_memory
from mnst.engine.trainer import StepRecord
from mnst.masks import Classes
from mnst.objective.mixing import sigma_by_layer
from mnst.painting.checkpoints import check_checkpoint
from mnst.painting.mixture import Mixture
from mnst.recipes import Recipe, get_recipe
from mnst.reporting.progress import check_log_dir
from mnst.sources.hubs import check_place

Path = str | os.PathLike[str]
Localize = Literal["guided", "composite"]
Colours = Literal["photo"] | int
AnyRecipe = Recipe | str | Mapping[str, Any]


class RecipeOption(TypedDict, total=False):
    """What is minimised, and how.

    Attributes:
        recipe: Losses and optimiser: a `Recipe`, or a name: "fine", the best pictures; "draft", the
            same in a few seconds; "article", "paper" and "tutorial", as their sources have it, and
            "fast". With changes, if any: "article,steps=300,learning_rate=8". Or what settings have
            of one, a dict.
    """

    recipe: Annotated[AnyRecipe, "fine"]


class NetworkOptions(TypedDict, total=False):
    """What is painted how large, and what measures it.

    Attributes:
        size: The longest that a long side may be, in pixels. Larger pictures are reduced, smaller
            ones stay as they are.
        backbone: The network that measures: "vgg19", "vgg16", "vgg19-lite", or an object of your
            own, such as a Keras model. "auto" is VGG19, and the small vgg19-lite where VGG19's
            weights can't be had.
        weights: Path of the backbone's weights, or their address, `hf://...` or `kaggle://...`.
            Without it what the variable MNST_VGG19_WEIGHTS names is taken, or Keras' cache, or a
            download.
        precision: What the network computes in: "float32", "bfloat16", or "auto", which is
            bfloat16 where the hardware multiplies it faster. Losses are float32 always.
        memory: What the run may take: bytes, or a text such as "8GB". A picture that takes more is
            painted in tiles, to the same numbers, but for rounding, in 1.5 to 1.8 times the time.
            None is most of what is free: of the GPU's memory, or else the machine's.
    """

    size: Annotated[int, 512]
    backbone: Annotated[Any, "auto"]
    weights: Annotated[Path | str | None, None]
    precision: Annotated[str, "auto"]
    memory: Annotated[int | str | None, None]


class StyleSizeOption(TypedDict, total=False):
    """How large strokes are.

    Attributes:
        style_size: How large the styles' strokes are: 1 takes a style's picture as large as the
            photo's, 2 twice as large, enlarged if it has to be. A number for all styles, or one for
            each. None is 1, but enlarges nothing.
    """

    style_size: Annotated[float | Sequence[float] | None, None]


class ColoursOption(TypedDict, total=False):
    """Whose colours the picture has.

    Attributes:
        colours: Whose colours the picture has: "photo" keeps the photo's own, and the styles paint
            its lights and shadows alone. A style's number, from 1, takes that style's palette, and
            the others paint in it. None is those of the styles, as they are mixed.
    """

    colours: Annotated[Colours | None, None]


class MaskOptions(TypedDict, total=False):
    """Where is painted.

    Attributes:
        keep: What to keep of the photo: a class that DeepLab knows, such as "person", or several.
            `mnst.segment` finds it in the photo as it was given. Where there is none, a warning
            says so, and all is painted. At most one of `keep`, `only` and `mask` is given.
        only: Classes to paint, and to keep the rest.
        mask: What to keep, as `mnst.load_mask` takes it: a path or an array [h, w], of the photo's
            proportions in any size. White, or 1, keeps the pixel as it is, 0 paints it, and what is
            between is a mixture.
        style_masks: Where each style may paint: one such mask for each, or None for everywhere. A
            pixel that no style may paint is kept.
        localize: How masks work, "guided" or "composite". "guided" lets them take part in the
            losses: strokes are made for what is painted, and end at what is kept as at any edge in
            the photo. "composite" paints all of it and puts the pixels back (paper, section 3.4).
    """

    keep: Annotated[Classes | None, None]
    only: Annotated[Classes | None, None]
    mask: Annotated[Any, None]
    style_masks: Annotated[Sequence[Any] | None, None]
    localize: Annotated[Localize, "guided"]


class SeamlessOption(TypedDict, total=False):
    """What lies beyond the borders.

    Attributes:
        seamless: Paint a texture that tiles the plane: each border goes on at the opposite one. Its
            sides are multiples of the cell of the recipe's deepest layer, 16 pixels for most; the
            photo is stretched a little where it has others. For a pure texture of the styles, give
            init="noise" and strength=1. It is not painted in tiles.
    """

    seamless: Annotated[bool, False]


class SceneOptions(
    RecipeOption,
    NetworkOptions,
    StyleSizeOption,
    ColoursOption,
    MaskOptions,
    SeamlessOption,
    total=False,
):
    """What a photo and its styles are opened with."""


class StrengthOption(TypedDict, total=False):
    """How much of the painting there is.

    Attributes:
        strength: From 0, mostly the photo, to 1, mostly the painting; equal moves look equal. None
            is what the recipe says. The recipes "fine" and "draft" have it.
    """

    strength: Annotated[float | None, None]


class StepsOption(TypedDict, total=False):
    """How long a run is.

    Attributes:
        steps: How many steps a run takes, over all sizes; None is what the recipe says.
    """

    steps: Annotated[int | None, None]


class StartOptions(TypedDict, total=False):
    """What a run starts from.

    Attributes:
        init: What to start from: "content", "noise", or an image of the same proportions, from
            which it goes on in the full size alone. None is what the recipe says.
        seed: The seed of the noise, where a run starts from noise.
    """

    init: Annotated[Any, None]
    seed: Annotated[int, 0]


class WatchOptions(TypedDict, total=False):
    """How something that takes a while shows itself.

    Attributes:
        callback: Called with a `StepRecord` at the start and after every step. Raise StopIteration
            to end the run early.
        preview: Show the picture in the notebook, and refresh it in place after every so many
            steps. Outside of a notebook there is nowhere to show it: a warning says so.
        progress: Show a bar on a terminal or in a notebook, plain lines elsewhere, on standard
            error; with it, the run's first line names device and backbone.
        log_dir: A folder for logs that `tensorboard --logdir` shows: losses, learning rate, and
            the picture every so often. Where several runs are made, each has a folder in it. It
            needs `pip install tensorboard`.
    """

    callback: Annotated[Callable[[StepRecord], object] | None, None]
    preview: Annotated[int | None, None]
    progress: Annotated[bool, True]
    log_dir: Annotated[Path | None, None]


class CheckpointOption(TypedDict, total=False):
    """Where a long run is kept, to go on after whatever has ended it.

    Attributes:
        checkpoint: A file, .npz, in which the run keeps how far it is, about once a minute. Killed
            and started again with the same arguments, it goes on from there, and ends with the same
            picture to the last bit. A file of another run is refused. A run that comes to its end
            removes it; one that is ended early leaves it.
    """

    checkpoint: Annotated[Path | None, None]


class FileNamesOption(TypedDict, total=False):
    """What settings tell of photo and styles.

    Attributes:
        file_names: Write the names of the photo's and the styles' files into the settings. Without
            it they have hashes alone, since names may be private.
    """

    file_names: Annotated[bool, False]


class LoopOptions(StepsOption, StartOptions, WatchOptions, total=False):
    """What a run is started and watched with, whatever it mixes."""


class SigmaOption(TypedDict, total=False):
    """How styles are balanced.

    Attributes:
        sigma: The calibration weight of each style, above 0 (article, fig. 7). None is 1 for each;
            "auto" is the closed form of `calibrate`, which takes no run: where gamma differs by
            layer, that of "colour" and of "form" each, and where it is a picture, in each zone. Or
            weights by these names, or by the names of layers.
    """

    sigma: Annotated[Sequence[float] | Mapping[str, Sequence[float]] | Literal["auto"] | None, None]


class GammaOption(TypedDict, total=False):
    """The crossfader.

    Attributes:
        gamma: The share of style 1 of two, in 0..1, or the share of each style, in sum 1: the
            crossfader. None is equal shares. Or two crossfaders, each with such shares: "colour"
            for the palette and "form" for the strokes, as in {"colour": 0.2, "form": 0.8}; or one
            for each of the style's layers, by its name. A gamma that changes over the picture is a
            picture itself, of the photo's proportions, as `mnst.load_mask` takes it: white is all
            of style 1 of two; or one for each style. "left-to-right", "top-to-bottom", "radial"
            and "luminance" are such pictures by their names; `mnst.maps` has more.
    """

    gamma: Annotated[Any, None]


class RunOptions(
    GammaOption,
    SigmaOption,
    StrengthOption,
    LoopOptions,
    CheckpointOption,
    FileNamesOption,
    total=False,
):
    """What one run is made with."""


class StylizeOptions(
    GammaOption,
    SigmaOption,
    StrengthOption,
    SceneOptions,
    LoopOptions,
    CheckpointOption,
    FileNamesOption,
    total=False,
):
    """What one picture is made with.

    What makes many pictures has no checkpoint: a sweep goes on from the runs that it has finished,
    and a crossfade's frames and a calibration's runs are short.
    """


class CalibrateOptions(StrengthOption, SceneOptions, LoopOptions, total=False):
    """What calibration is made with: gamma is equal shares then, and sigma what it looks for."""


class CrossfadeOptions(SigmaOption, StrengthOption, SceneOptions, LoopOptions, total=False):
    """What all frames of a crossfade are made with: gamma is what moves."""


class LiveOptions(SigmaOption, SceneOptions, WatchOptions, total=False):
    """What a live picture learns with: gamma and strength are what it learns."""


class SweepOptions(
    SigmaOption,
    StrengthOption,
    NetworkOptions,
    StyleSizeOption,
    ColoursOption,
    MaskOptions,
    SeamlessOption,
    LoopOptions,
    total=False,
):
    """What all runs of a sweep are made with; its gamma and recipe are lists."""


class FigureOptions(RecipeOption, NetworkOptions, LoopOptions, total=False):
    """What the runs behind figures are made with; they mix, and keep, what the sources do."""


class PlanOptions(SceneOptions, StepsOption, total=False):
    """What is planned: a plan does not depend on the mixture, nor on who watches."""


class StudioOptions(RecipeOption, NetworkOptions, StepsOption, total=False):
    """What full pictures of the crossfader are made with: the rest is what its controls ask for."""


def those_of(kind: type, options: Mapping[str, Any]) -> Any:
    """Returns those of some options that are of a kind."""
    return {name: options[name] for name in kind.__annotations__ if name in options}


def in_folder(options: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Returns the options of one of several runs: its logs go to a folder of their own."""
    log_dir = options["log_dir"]
    return {**options, "log_dir": None if log_dir is None else pathlib.Path(log_dir) / name}


def check_scene(options: SceneOptions) -> Recipe:
    """Checks what costs nothing to check, before pictures are read; returns the recipe.

    Raises:
        ValueError: If an option is out of range, or options don't go together.
        TypeError: If an option is of another kind than it takes.
    """
    given = [name for name in ("keep", "only", "mask") if options[name] is not None]
    if len(given) > 1:
        raise ValueError(f"{given[0]} and {given[1]} were both given: give one of them")
    localize = check_choice("localize", options["localize"], get_args(Localize))
    if localize == "composite" and options["style_masks"] is not None:
        raise ValueError("style_masks take part in the loss: give localize='guided'")
    check_choice("precision", options["precision"], PRECISIONS)
    parse_memory(options["memory"])
    check_whole("size", options["size"])
    if not isinstance(options["seamless"], bool):
        raise TypeError(f"seamless is {shown(options['seamless'])}: give True or False")
    check_style_size(options["style_size"])
    check_colours(options["colours"])
    if options["weights"] is not None:
        check_place("weights", options["weights"])
    masks = options["style_masks"]
    if masks is not None and not (isinstance(masks, (list, tuple)) or np.ndim(masks) == 3):
        raise TypeError(f"style_masks is {shown(masks)}: give a list, a mask for each style")
    return get_recipe(options["recipe"])


def check_style_size(style_size: Any, styles: int | None = None) -> tuple[float | None, ...]:
    """Returns how large each style's picture is to be; None is as large as the photo's, at most.

    Args:
        style_size: As in `stylize`.
        styles: How many styles there are; None checks the numbers alone.

    Raises:
        ValueError: If a number is out of range, or there is not one for each style.
    """

    def check(name: str, value: Any) -> float:
        return check_number(name, value, lambda v: 0.05 <= v <= 20, "from 0.05 to 20")

    if not isinstance(style_size, (list, tuple)) and np.ndim(style_size) == 0:
        only = None if style_size is None else check("style_size", style_size)
        return (only,) * (styles or 1)
    each = tuple(check(f"style_size[{k}]", value) for k, value in enumerate(style_size))
    if styles is not None and len(each) != styles:
        raise ValueError(
            f"style_size has {len(each)} numbers for {styles} styles: give one for all, or for each"
        )
    return each


def check_colours(colours: Any, styles: int | None = None) -> Colours | None:
    """Returns whose colours the picture has.

    Args:
        colours: As in `stylize`.
        styles: How many styles there are; None lets a style have any number.

    Raises:
        ValueError: If it is something else, or there is no style of that number.
    """
    if colours is None:
        return None
    if isinstance(colours, str) and colours == "photo":
        return "photo"
    last = " on" if styles is None else f" to {styles}"
    try:
        number = check_whole("colours", colours)
    except ValueError:
        number = 0
    if not 1 <= number <= (styles or number):
        raise ValueError(
            f"colours is {shown(colours)}: give 'photo', or a style's number, from 1{last}"
        )
    return number


def check_run(options: Mapping[str, Any], styles: int, recipe: Recipe) -> Recipe:
    """Checks the options of a run that cost nothing to check; returns the recipe with its steps.

    Raises:
        ValueError: If an option is out of range.
        TypeError: If an option is of another kind than it takes.
        OSError: If there can't be a folder for logs, or no checkpoint be kept where it should be.
        ImportError: If `log_dir` is given without TensorBoard.
    """
    Mixture.of(options.get("gamma"), styles, recipe)
    sigma = options.get("sigma")
    if not isinstance(sigma, str):
        sigma_by_layer(sigma, styles, recipe.groups, recipe.mixed_layers)
    elif sigma != "auto":
        raise ValueError(f"sigma is {shown(sigma)}: give 'auto', or a number for each style")
    else:
        recipe.style.check_distances()
    check_whole("seed", options["seed"], 0)
    if options["preview"] is not None:
        check_whole("preview", options["preview"])
    if options["callback"] is not None and not callable(options["callback"]):
        raise TypeError(f"callback is {shown(options['callback'])}: give a function")
    if options["log_dir"] is not None:
        check_log_dir(options["log_dir"])
    if not isinstance(options.get("file_names", False), bool):
        raise TypeError(f"file_names is {shown(options['file_names'])}: give True or False")
    if options.get("checkpoint") is not None:
        check_checkpoint(options["checkpoint"], recipe)
    strength = options.get("strength")
    if strength is not None:
        recipe = recipe.replace(strength=strength)
    return check_steps(options["steps"], recipe)


def check_steps(steps: int | None, recipe: Recipe) -> Recipe:
    """Returns the recipe with so many steps; None is its own."""
    return recipe if steps is None else recipe.replace(steps=steps)
