"""A scene, opened: pictures read, masks found, network and tiles chosen. Nothing is painted here.

All that was given is checked first, in the order of what it costs: names and numbers, pictures and
masks, and only then what needs TensorFlow and the weights.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mnst import images
from mnst.engine import devices, planning
from mnst.engine.memory import memory_limit
from mnst.engine.tiled import check_terms_can_be_tiled
from mnst.engine.trainer import Trainer
from mnst.images.colours import greyed, in_palette
from mnst.masks.pixels import load_mask, resize_mask
from mnst.masks.selection import check_classes, find_mask
from mnst.networks import Backbone, WeightsSource, get_backbone
from mnst.objective import PICTURE
from mnst.objective.mixing import style_shares
from mnst.objective.regions import Regions, paint_regions
from mnst.painting.canvas import Canvas
from mnst.painting.options import (
    Colours,
    SceneOptions,
    check_colours,
    check_scene,
    check_style_size,
)
from mnst.painting.repeating import Source, source_of
from mnst.recipes import Recipe

Masks = tuple[np.ndarray | None, list[np.ndarray | None] | None]
"""What to keep, float32 [H, W] in 0..1, and where each style may paint; None is all of it."""


@dataclass(frozen=True, eq=False)
class AsRead:
    """A picture that is read already: floats tell by their values what is white, but once only.

    Attributes:
        pixels: From `mnst.load_image`.
        name: What to call it in errors.
        alpha: Of a photo, how opaque it is, uint8 [H, W]; None is all of it.
        source: What it was read from.
        kept: Of a photo in which classes were looked for already, the mask of what is kept.
    """

    pixels: np.ndarray
    name: str
    alpha: np.ndarray | None = None
    source: Source | None = None
    kept: Any = None


def read_once(source: Any, argument: str, *, size: int | None) -> AsRead:
    """Reads a picture, unless it is read already; errors name the argument that it was."""
    if isinstance(source, AsRead):
        return source
    name = images.name_of(argument, source)
    fetched = images.fetched(source)
    pixels = images.load_image(fetched, size=size, name=name)
    return AsRead(pixels, name, source=source_of(source, fetched))


def read_photo(source: Any, *, size: int, name: str | None = None) -> AsRead:
    """Reads a photo, with its transparency, unless it is read already; errors have its name."""
    if isinstance(source, AsRead):
        return source
    name = name or images.name_of("photo", source)
    fetched = images.fetched(source)
    pixels, alpha = images.load_with_alpha(fetched, size=size, name=name)
    if alpha is not None and not alpha.any():
        raise ValueError(f"{name}: is transparent throughout; give one that shows something")
    return AsRead(pixels, name, alpha, source_of(source, fetched))


@dataclass(frozen=True, eq=False)
class Scene:
    """A photo and its styles, and what will paint them.

    Attributes:
        recipe: Losses and optimiser.
        canvases: The photo and its masks in each size that a run goes through, coarse to fine; the
            last is the picture's own.
        style_sizes: Of each style, how long the long side of its picture is, in units of the
            photo's; or less, where the picture has no more pixels. The pictures themselves are let
            go once they are measured.
        localize: How masks work, "guided" or "composite".
        colours: Whose colours the picture has: "photo", the number of a style, or None.
        alpha: How opaque the photo is, uint8 [H, W]; None is all of it.
        asked_to_keep: Whether something was to be kept, be it found or not.
        weights: The network that measures, and where its weights are.
        weights_hash: The SHA-256 of its weights.
        surrogate: The network that takes the steps for it; None is itself.
        precision: What the network computes in, "float32" or "bfloat16".
        device: What it runs on.
        memory: Bytes that the run is planned to take at its most.
        memory_limit: Bytes that it may take.
        seamless: Whether the picture's opposite borders are neighbours.
        photo_sides: Height and width of the photo before it was brought to the picture's; masks
            and other pictures beside it have its proportions.
        sources: What photo and styles were read from.
    """

    recipe: Recipe
    canvases: tuple[Canvas, ...]
    style_sizes: tuple[float, ...]
    localize: str
    colours: Colours | None
    alpha: np.ndarray | None
    asked_to_keep: bool
    weights: WeightsSource
    weights_hash: str | None
    surrogate: WeightsSource | None
    precision: devices.Precision
    device: str
    memory: int
    memory_limit: int
    seamless: bool
    photo_sides: tuple[int, int]
    sources: tuple[Source, ...]

    @property
    def photo(self) -> np.ndarray:
        """The photo in the size of the picture, as it is painted from: float32 [1, H, W, 3]."""
        return self.canvases[-1].photo

    @property
    def sides(self) -> tuple[int, int]:
        """Height and width of the picture."""
        return self.canvases[-1].sides

    @property
    def regions(self) -> Regions | None:
        """Where the styles may paint; None without masks."""
        return self.canvases[-1].regions

    @property
    def tile(self) -> int | None:
        """Side of the tiles that the picture is painted in, in pixels; None is as a whole."""
        return self.canvases[-1].tile

    @property
    def styles(self) -> int:
        """How many styles there are."""
        return len(self.style_sizes)

    def style_at(self, canvas: Canvas, k: int, picture: np.ndarray) -> np.ndarray:
        """Returns the picture of a style as large as it is looked at beside one of the canvases."""
        if canvas is self.canvases[-1]:
            return picture
        height, width = picture.shape[1:3]
        least = self.smallest * max(height, width) / min(height, width)
        side = max(self.style_sizes[k] * max(canvas.sides), math.ceil(least))
        return images.resize_to(picture, min(round(side), max(height, width)))

    def guided(self, canvas: Canvas) -> Regions | None:
        """The regions of one of the canvases, where they take part in the losses."""
        return canvas.painted_regions if self.localize == "guided" else None

    def to_paint(self, image: np.ndarray) -> np.ndarray:
        """Returns a picture as the photo is looked at: in grey, or as it is."""
        return greyed(image) if self.colours == "photo" else image

    def to_see(self, canvas: Canvas, image: Any) -> Any:
        """Returns what was painted as it is seen.

        The photo's pixels are put back where masks take no part in the losses, and then its colours
        where it was painted in grey.
        """
        return canvas.coloured(image if self.localize == "guided" else canvas.composited(image))

    def steps(self, steps: int) -> tuple[int, ...]:
        """Returns how many of a run's steps each of the canvases gets; 0 for one left out."""
        pyramid = self.recipe.pyramid
        return (steps,) if pyramid is None else pyramid.steps(len(self.canvases), steps)

    @property
    def smallest(self) -> int:
        """The shortest side that the deepest layer can see, in pixels."""
        return self.weights.backbone.minimum_side(self.recipe.layers)

    @property
    def cell(self) -> int:
        """The side in pixels of the positions of the style's deepest layer."""
        return self.weights.backbone.minimum_side(self.recipe.style.layer_names)

    @property
    def trainer_kind(self) -> Hashable:
        """All that the trainers for this scene depend on."""
        network = self.weights.backbone, self.weights_hash, self.precision
        sizes = tuple((*canvas.painted_sides, canvas.tile) for canvas in self.canvases)
        return self.recipe.without_run_values(), sizes, network, self.seamless

    def make_trainers(self) -> tuple[Trainer, ...]:
        """Loads the networks, and returns a trainer for each of the canvases."""
        extractor, surrogate = self.networks()
        recipe = self._recipe_of_steps
        return tuple(
            Trainer(
                extractor,
                recipe,
                *canvas.painted_sides,
                tile=canvas.tile,
                surrogate=surrogate,
                seamless=self.seamless,
            )
            for canvas in self.canvases
        )

    def networks(self) -> tuple[Any, Any]:
        """Loads the network that measures, and the surrogate of the recipe, or None."""
        extractor = self.weights.build(self.recipe.layers, self.precision)
        if self.surrogate is None:
            return extractor, None
        return extractor, self.surrogate.build(self.recipe.layers, self.precision)

    def pace(self, extractor: Any, surrogate: Any) -> planning.Pace:
        """Times its networks on a small picture."""
        recipe, side = self._recipe_of_steps, max(self.sides)
        return planning.Pace(extractor, surrogate, recipe, side, self.smallest, self.seamless)

    def seconds(self, steps: int, pace: planning.Pace) -> float:
        """Estimates the seconds of a run."""
        return sum(
            of_canvas * pace.seconds_a_step(*canvas.painted_sides, tile=canvas.tile)
            for canvas, of_canvas in zip(self.canvases, self.steps(steps), strict=True)
        )

    @property
    def _recipe_of_steps(self) -> Recipe:
        """The recipe, without a surrogate where that would be the network itself."""
        return self.recipe if self.surrogate else self.recipe.replace(surrogate="none")

    @property
    def localized(self) -> dict[str, Any] | None:
        """How the transfer is localized, for settings; None without masks."""
        if self.regions is None:
            return None
        return {
            "by": self.localize,
            "kept": round(1 - float(self.regions.painted.mean(dtype=np.float64)), 4),
            "regions": [round(area, 4) for area in self.regions.areas.tolist()],
        }

    @property
    def network_named(self) -> str:
        """Says which network measures, on what."""
        through = "" if self.surrogate is None else f", {self.surrogate.backbone.name}"
        return (
            f"{self.weights.backbone.name} ({self.weights.origin}){through} on {self.device}, "
            f"{self.precision}"
        )

    def settings(self) -> dict[str, Any]:
        """Returns what is worth knowing of it later; no file names, which are private."""
        return {
            "sizes": [list(canvas.sides) for canvas in self.canvases],
            "seamless": self.seamless,
            "style_size": list(self.style_sizes),
            "colours": self.colours,
            "localized": self.localized,
            "backbone": self.weights.backbone.name,
            "weights": {"origin": self.weights.origin, "sha256": self.weights_hash},
            "precision": self.precision,
            "tile": self.tile,
            "device": self.device,
        }


def open_scene(photo: Any, styles: Any, options: SceneOptions) -> tuple[Scene, list[np.ndarray]]:
    """Reads a photo and its styles, and chooses what will paint them.

    Args:
        photo: The content image, anything that `mnst.load_image` takes.
        styles: A list or tuple of style images, or a single one.
        options: All of them.

    Returns:
        The scene; and the style images in the size they are measured in, float32 [1, H, W, 3],
        0..255.

    Raises:
        ValueError: If an option or a picture is out of range.
        TypeError: If a picture is none of the kinds that `mnst.load_image` takes.
        FileNotFoundError: If a picture or the weights aren't there.
        OSError: If a picture can't be downloaded or opened.
        WeightsError: If the weights or DeepLab can't be had, or don't fit.
    """
    recipe, seamless = check_scene(options), options["seamless"]
    recipe = recipe.periodic() if seamless else recipe
    kept = photo.kept if isinstance(photo, AsRead) else None
    if kept is None:
        check_kept(options)
    backbone = get_backbone(options["backbone"])
    smallest = backbone.minimum_side(recipe.layers)
    weights = backbone.find_weights(options["weights"])
    given = style_list(styles)
    style_shares(None, len(given))
    colours = check_colours(options["colours"], len(given))
    read = read_photo(photo, size=options["size"])
    _check_side(read.name, read.pixels, smallest, f"with size={options['size']}")
    content = read.pixels
    style_sizes = check_style_size(options["style_size"], len(given))
    styles_read = [
        read_once(style, f"styles[{k}]", size=style_read_size(options["size"], factor))
        for k, (style, factor) in enumerate(zip(given, style_sizes, strict=True))
    ]
    pictures = [
        _sized_style(style, content, recipe, options["size"], factor, smallest)
        for style, factor in zip(styles_read, style_sizes, strict=True)
    ]
    if kept is None:
        kept = find_mask(photo, keep=options["keep"], only=options["only"], mask=options["mask"])
    photo_sides: tuple[int, int] = content.shape[1:3]
    masks, alpha = read_masks(kept, options["style_masks"], *photo_sides), read.alpha
    if seamless:
        cells = whole_cells(*photo_sides, smallest)
        content, masks = images.resize_image(content, *cells), resize_masks(masks, *cells)
        if alpha is not None:
            opaque = resize_mask(alpha.astype(np.float32) / 255, *cells)
            alpha = np.rint(255 * opaque).astype(np.uint8)
    masks = _with_hidden_kept(masks, alpha)
    regions_of = functools.partial(
        paint_regions, styles=len(given), cell=backbone.minimum_side(recipe.style.layer_names)
    )
    regions = regions_of(*masks)
    if seamless:
        content = _without_seams(content, regions)
    pictures = _in_colours(pictures, colours, content)
    canvas_of = functools.partial(Canvas.of, pixels=recipe.margin, grey=colours == "photo")
    canvas = canvas_of(content, regions)
    coarse = _coarse_canvases(recipe, content, masks, regions_of, canvas_of, smallest, seamless)

    # All that was given is checked; from here on it takes time.
    device = devices.device_name()
    precision = devices.resolve_precision(options["precision"], backbone.precision)
    limit = planning.parse_memory(options["memory"]) or memory_limit()
    guided = canvas.painted_regions if options["localize"] == "guided" else None
    count = 0 if guided is None else len(guided.styles)
    load = _load(backbone, recipe, precision, pictures, count)
    if seamless:
        load = load._replace(activations=planning.OF_BORDERS * load.activations)
    # What the coarse sizes keep is there until the run ends.
    kept_of_coarse = (planning.kept_bytes(*each.painted_sides, load) for each in coarse)
    load = load._replace(standing=load.standing + sum(kept_of_coarse))
    # Styles are measured in the same tiles.
    sides = [canvas.painted_sides, *(picture.shape[1:3] for picture in pictures)]
    tall, wide = max(sides, key=math.prod)
    tile = planning.find_tile(tall, wide, load, limit)
    if tile is not None:
        check_terms_can_be_tiled(recipe)
        if seamless:
            raise ValueError(
                f"seamless is True, but {wide} x {tall} pixels would have to be painted in tiles, "
                f"which have borders: give a smaller size, or more memory"
            )
    needed = planning.memory_needed(tall, wide, load, tile)
    weights = weights.fetch()
    surrogate = None
    if recipe.surrogate not in ("none", weights.backbone.name):
        surrogate = get_backbone(recipe.surrogate).find_weights().fetch()
    scene = Scene(
        recipe,
        (*(_tiled(each, tile) for each in coarse), replace(canvas, tile=tile)),
        tuple(1.0 if factor is None else factor for factor in style_sizes),
        options["localize"],
        colours,
        alpha,
        kept is not None,
        weights,
        weights.sha256,
        surrogate,
        precision,
        device,
        needed,
        limit,
        seamless,
        photo_sides,
        tuple(each.source or source_of(each.pixels) for each in (read, *styles_read)),
    )
    return scene, pictures


def _coarse_canvases(
    recipe: Recipe,
    content: np.ndarray,
    masks: Masks,
    regions_of: Callable[[np.ndarray | None, list[np.ndarray | None] | None], Regions | None],
    canvas_of: Callable[[np.ndarray, Regions | None], Canvas],
    smallest: int,
    seamless: bool,
) -> list[Canvas]:
    """Returns the canvases of all sizes but the last, of those that the network can see."""
    canvases: list[Canvas] = []
    if recipe.pyramid is None:
        return canvases
    for sides in recipe.pyramid.sizes(*content.shape[1:3])[:-1]:
        if min(sides) < smallest:
            continue
        if seamless:
            sides = whole_cells(*sides, smallest)
        try:
            regions = regions_of(*resize_masks(masks, *sides))
        except ValueError:  # a place that a style has in the picture is lost in that size
            canvases.clear()
            continue
        photo = images.resize_image(content, *sides, wraps=seamless)
        canvases.append(canvas_of(photo, regions))
    return canvases


def _without_seams(content: np.ndarray, regions: Regions | None) -> np.ndarray:
    """Returns a photo whose opposite borders meet; what is kept of it stays as it is."""
    painted = 1 if regions is None else regions.painted[np.newaxis, ..., np.newaxis]
    even: np.ndarray = painted * images.without_seams(content) + (1 - painted) * content
    return even


def _with_hidden_kept(masks: Masks, alpha: np.ndarray | None) -> Masks:
    """Adds what can't be seen to what is kept: strokes painted there would be missed elsewhere."""
    if alpha is None:
        return masks
    kept, style_masks = masks
    hidden = (alpha == 0).astype(np.float32)
    return hidden if kept is None else np.maximum(kept, hidden), style_masks


def _in_colours(
    pictures: list[np.ndarray], colours: Colours | None, content: np.ndarray
) -> list[np.ndarray]:
    """Returns the styles' pictures as they are looked at where the picture has others' colours."""
    if colours is None:
        return pictures
    if colours == "photo":
        return [greyed(picture, like=content) for picture in pictures]
    palette = pictures[colours - 1]
    return [
        picture if k == colours else in_palette(picture, palette)
        for k, picture in enumerate(pictures, start=1)
    ]


def whole_cells(height: int, width: int, cell: int) -> tuple[int, int]:
    """Returns the sides that a seamless picture has: multiples of the deepest layer's cell.

    The long one is the next below, and the short one the nearest to the old proportions.

    Example:
        >>> from mnst.painting.scene import whole_cells
        >>> whole_cells(341, 512, 16), whole_cells(500, 333, 16)
        ((336, 512), (496, 336))
    """
    long = max(height, width) // cell * cell
    tall, wide = (round(side * long / max(height, width) / cell) for side in (height, width))
    return max(tall, 1) * cell, max(wide, 1) * cell


def _tiled(coarse: Canvas, tile: int | None) -> Canvas:
    """Returns a canvas in tiles as large as the last one's; whole, if it is no larger than one."""
    return coarse if tile is None or max(coarse.sides) <= tile else replace(coarse, tile=tile)


def _load(
    backbone: Backbone,
    recipe: Recipe,
    precision: devices.Precision,
    pictures: Sequence[np.ndarray],
    regions: int,
) -> planning.Load:
    """Returns what a run takes for each pixel, and for its styles.

    Args:
        backbone: Whose layers.
        recipe: Whose terms and optimiser.
        precision: What the network computes in.
        pictures: Of the styles.
        regions: How many the style is measured in; 0 without masks.
    """
    channels = {layer: backbone.channels(layer) for layer in recipe.style.layer_names}

    def of_pixel(layer: str) -> float:
        # A layer behind pools has fewer positions, by as much as its smallest picture is larger.
        return backbone.channels(layer) / backbone.minimum_side([layer]) ** 2

    joined = {
        layer
        for term in recipe.objective.values()
        for layer in term.layer_names
        if term.over_tiles == "join" and layer != PICTURE
    }
    # In each region a style is brought to float32; by some terms, without any.
    widened = (
        max(regions if term is recipe.style else 0, term.widens) * of_pixel(layer)
        for term in recipe.objective.values()
        for layer in term.layer_names
        if layer != PICTURE
    )
    return planning.Load(
        backbone.activations,
        precision,
        recipe.optimizer.arrays,
        sum(map(of_pixel, joined)),
        sum(widened),
        planning.style_bytes(pictures, channels.values()),
    )


def check_kept(options: Mapping[str, Any]) -> None:
    """Checks the classes to keep or to paint by their names, before the photo is searched."""
    for name in ("keep", "only"):
        if options[name] is not None:
            check_classes(options[name], name)


def style_list(styles: Any) -> list[Any]:
    """Returns the styles as a list, also where a single picture was given."""
    return list(styles) if isinstance(styles, (list, tuple)) else [styles]


def _sized_style(
    read: AsRead,
    content: np.ndarray,
    recipe: Recipe,
    size: int,
    factor: float | None,
    smallest: int,
) -> np.ndarray:
    """Returns a style in the size that makes its strokes as large as they are asked for."""
    if factor is None:  # said of the picture as it was read, before it is made smaller
        _check_side(read.name, read.pixels, smallest, f"with size={size}")
    pixels, beside = read.pixels, max(content.shape[1:3])
    if factor is not None:
        pixels = images.resize_to(pixels, round(factor * beside))
    elif recipe.pyramid is not None:
        # A recipe of one size takes `size` for both pictures, as its source does, even where the
        # photo is smaller. Here strokes are to be in proportion to the photo.
        pixels = images.resize_to(pixels, min(beside, max(pixels.shape[1:3])))
    of_factor = "" if factor is None else f" and style_size={factor:g}"
    _check_side(read.name, pixels, smallest, f"with size={size}{of_factor}")
    return pixels


def style_read_size(size: int, factor: float | None) -> int:
    """Returns how large a style has to be read, to be made as large as it is asked for."""
    return size if factor is None else max(1, round(size * factor))


def _check_side(name: str, pixels: np.ndarray, smallest: int, why: str) -> None:
    height, width = pixels.shape[1:3]
    if min(height, width) < smallest:
        raise ValueError(
            f"{name}: {width} x {height} pixels ({why}) is too "
            f"small; the recipe's deepest layer needs {smallest} x {smallest} or more"
        )


def read_masks(mask: Any, style_masks: Sequence[Any] | None, height: int, width: int) -> Masks:
    """Reads what to keep, and where each style may paint, in a picture's size; None is all."""
    return (
        None if mask is None else load_mask(mask, height, width),
        None
        if style_masks is None
        else [
            None if own is None else load_mask(own, height, width, name=f"style_masks[{k}]")
            for k, own in enumerate(style_masks)
        ],
    )


def resize_masks(masks: Masks, height: int, width: int) -> Masks:
    """Brings masks that were read to another size."""

    def resized(mask: np.ndarray | None) -> np.ndarray | None:
        return None if mask is None else resize_mask(mask, height, width)

    kept, of_styles = masks
    return resized(kept), None if of_styles is None else [resized(own) for own in of_styles]
