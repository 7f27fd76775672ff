"""A scene, opened: pictures read, masks found, network and tiles chosen. Nothing is painted here.

All that was given is checked first, in the order of what it costs: names and numbers, pictures and
masks, and only then what needs TensorFlow and the weights.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mnst import images
from mnst.engine import devices, planning
from mnst.engine.memory import memory_limit
from mnst.engine.tiled import check_terms_can_be_tiled
from mnst.engine.trainer import Trainer
from mnst.masks.pixels import load_mask
from mnst.masks.selection import check_classes, find_mask
from mnst.networks import Backbone, WeightsSource, get_backbone
from mnst.objective.mixing import style_shares
from mnst.objective.regions import Regions, paint_regions
from mnst.painting.options import MaskOptions, SceneOptions, check_scene
from mnst.recipes import Recipe


@dataclass(frozen=True, eq=False)
class AsRead:
    """A picture that is read already: floats tell by their values what is white, but once only.

    Attributes:
        pixels: From `mnst.load_image`.
        name: What to call it in errors.
    """

    pixels: np.ndarray
    name: str


def read_once(source: Any, argument: str, *, size: int | None) -> AsRead:
    """Reads a picture, unless it is read already; errors name the argument that it was."""
    if isinstance(source, AsRead):
        return source
    name = images.name_of(argument, source)
    return AsRead(images.load_image(source, size=size, name=name), name)


@dataclass(frozen=True, eq=False)
class Scene:
    """A photo and its styles, and what will paint them.

    Attributes:
        recipe: Losses and optimiser.
        content: The photo in the size it is painted in, float32 [1, H, W, 3], 0..255.
        styles: How many styles there are. Their pictures are let go once they are measured.
        regions: Where the styles may paint; None without masks.
        localize: How masks work, "guided" or "composite".
        asked_to_keep: Whether something was to be kept, be it found or not.
        weights: The network that measures, and where its weights are.
        weights_hash: The SHA-256 of its weights.
        surrogate: The network that takes the steps for it; None is itself.
        precision: What the network computes in, "float32" or "bfloat16".
        device: What it runs on.
        memory: Bytes that the run is planned to take at its most.
        memory_limit: Bytes that it may take.
        tile: Side of the tiles that the picture is painted in, in pixels; None is as a whole.
    """

    recipe: Recipe
    content: np.ndarray
    styles: int
    regions: Regions | None
    localize: str
    asked_to_keep: bool
    weights: WeightsSource
    weights_hash: str | None
    surrogate: WeightsSource | None
    precision: devices.Precision
    device: str
    memory: int
    memory_limit: int
    tile: int | None

    @property
    def sides(self) -> tuple[int, int]:
        """Height and width of the picture."""
        height, width = self.content.shape[1:3]
        return height, width

    @property
    def guided_regions(self) -> Regions | None:
        """The regions, where they take part in the losses."""
        return self.regions if self.localize == "guided" else None

    @property
    def trainer_kind(self) -> Hashable:
        """All that a trainer for this scene depends on."""
        network = self.weights.backbone, self.weights_hash, self.precision
        return self.recipe.without_run_values(), *self.sides, self.tile, network

    def make_trainer(self) -> Trainer:
        """Loads the networks, and returns a trainer for the picture."""
        extractor, surrogate = self.networks()
        recipe = self._recipe_of_steps
        return Trainer(extractor, recipe, *self.sides, tile=self.tile, surrogate=surrogate)

    def networks(self) -> tuple[Any, Any]:
        """Loads the network that measures, and the surrogate of the recipe, or None."""
        extractor = self.weights.build(self.recipe.layers, self.precision)
        if self.surrogate is None:
            return extractor, None
        return extractor, self.surrogate.build(self.recipe.layers, self.precision)

    def seconds_a_step(self, extractor: Any, surrogate: Any) -> float:
        """Estimates the seconds of a step with its networks, from those of a small picture's."""
        return planning.seconds_a_step(
            extractor,
            surrogate,
            self._recipe_of_steps,
            *self.sides,
            tile=self.tile,
            smallest=self.weights.backbone.minimum_side(self.recipe.layers),
        )

    @property
    def _recipe_of_steps(self) -> Recipe:
        """The recipe, without a surrogate where that would be the network itself."""
        return self.recipe if self.surrogate else self.recipe.replace(surrogate="none")

    def composited(self, image: Any) -> Any:
        """Puts the photo's pixels back where a picture keeps them (paper, section 4.3)."""
        if self.regions is None or self.localize == "guided":
            return image
        painted = self.regions.painted[None, ..., None]
        return (1 - painted) * self.content + painted * np.asarray(image)

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

    def settings(self) -> dict[str, Any]:
        """Returns what is worth knowing of it later; no file names, which are private."""
        return {
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
    recipe = check_scene(options)
    check_kept(options)
    backbone = get_backbone(options["backbone"])
    smallest = backbone.minimum_side(recipe.layers)
    weights = backbone.find_weights(options["weights"])
    given = style_list(styles)
    style_shares(None, len(given))
    content = _read(photo, "photo", options["size"], smallest)
    pictures = [
        _read(style, f"styles[{k}]", options["size"], smallest) for k, style in enumerate(given)
    ]
    cell = backbone.minimum_side(recipe.style.layer_names)
    regions, asked_to_keep = _find_regions(photo, content, len(given), options, cell)

    # All that was given is checked; from here on it takes time.
    device = devices.device_name()
    precision = devices.resolve_precision(options["precision"], backbone.precision)
    limit = planning.parse_memory(options["memory"]) or memory_limit()
    guided = regions if options["localize"] == "guided" else None
    load = _load(backbone, recipe, precision, pictures, 0 if guided is None else len(guided.styles))
    # Styles are measured in the same tiles.
    tall, wide = max((content, *pictures), key=np.size).shape[1:3]
    tile = planning.find_tile(tall, wide, load, limit)
    if tile is not None:
        check_terms_can_be_tiled(recipe)
    weights = weights.fetch()
    surrogate = None
    if recipe.surrogate not in ("none", weights.backbone.name):
        surrogate = get_backbone(recipe.surrogate).find_weights().fetch()
    scene = Scene(
        recipe,
        content,
        len(pictures),
        regions,
        options["localize"],
        asked_to_keep,
        weights,
        weights.sha256,
        surrogate,
        precision,
        device,
        planning.memory_needed(tall, wide, load, tile),
        limit,
        tile,
    )
    return scene, pictures


def _load(
    backbone: Backbone,
    recipe: Recipe,
    precision: devices.Precision,
    pictures: Sequence[np.ndarray],
    regions: int,
) -> planning.Load:
    """Returns what a run takes for each pixel, and for its styles."""
    channels = {layer: backbone.channels(layer) for layer in recipe.style.layer_names}
    # A layer behind pools has fewer positions, by as much as its smallest picture is larger.
    of_pixel = sum(many / backbone.minimum_side([name]) ** 2 for name, many in channels.items())
    return planning.Load(
        backbone.activations,
        precision,
        recipe.optimizer.arrays,
        regions * of_pixel,
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


def _read(source: Any, argument: str, size: int, smallest: int) -> np.ndarray:
    """Reads a picture, and makes sure that the deepest layer can see it."""
    read = read_once(source, argument, size=size)
    height, width = read.pixels.shape[1:3]
    if min(height, width) < smallest:
        raise ValueError(
            f"{read.name}: {width} x {height} pixels (with size={size}) is too "
            f"small; the recipe's deepest layer needs {smallest} x {smallest} or more"
        )
    return read.pixels


def _find_regions(
    photo: Any, content: np.ndarray, styles: int, options: MaskOptions, cell: int
) -> tuple[Regions | None, bool]:
    """Returns where the styles may paint, and whether something was to be kept."""
    height, width = content.shape[1:3]
    kept = find_mask(photo, keep=options["keep"], only=options["only"], mask=options["mask"])
    regions = paint_regions(
        None if kept is None else load_mask(kept, height, width),
        load_style_masks(options["style_masks"], height, width),
        styles,
        cell=cell,
    )
    return regions, kept is not None


def load_style_masks(
    masks: Sequence[Any] | None, height: int, width: int
) -> list[np.ndarray | None] | None:
    """Reads where each style may paint, in a picture's size; None is everywhere."""
    if masks is None:
        return None
    return [
        None if mask is None else load_mask(mask, height, width, name=f"style_masks[{k}]")
        for k, mask in enumerate(masks)
    ]
