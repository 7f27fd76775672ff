"""A scene in one of its sizes, measured by the network once, to be painted any number of times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mnst.engine.sizes import Stage
from mnst.engine.trainer import Trainer
from mnst.objective.losses import (
    Places,
    Statistics,
    Targets,
    make_targets,
    mixed_losses,
    style_targets,
)
from mnst.objective.terms import InLayers, Mix, Seen
from mnst.painting import balance
from mnst.painting.cache import seen_of_styles
from mnst.painting.canvas import Canvas
from mnst.painting.mixture import Mixture
from mnst.painting.scene import Scene
from mnst.recipes import Recipe


class AtSize:
    """What a scene's photo and styles ask for in one of its sizes, and what paints it there.

    Args:
        scene: All of it.
        canvas: The photo and its masks in that size.
        trainer: Paints it.
        pictures: The styles in full size. The last of the scene's canvases takes them out of the
            list, so that each can be let go once it is measured.

    Attributes:
        canvas: The same.
        trainer: The same.
        photo: What the network sees of the photo.
        styles: What the styles ask for, from `mnst.style_targets`.
    """

    def __init__(
        self, scene: Scene, canvas: Canvas, trainer: Trainer, pictures: list[np.ndarray]
    ) -> None:
        self._scene, self.canvas = scene, canvas
        self._regions = scene.guided(canvas)
        self.trainer = trainer
        self.photo = self._seen(canvas.content, Places.of(self._regions))
        is_last = canvas is scene.canvases[-1]
        each = (pictures.pop(0) if is_last else pictures[k] for k in range(scene.styles))
        sized = (scene.style_at(canvas, k, picture) for k, picture in enumerate(each))
        # One after the other: of all pictures but one, only what is asked for is kept.
        seen = seen_of_styles(trainer, sized)
        self.styles = style_targets(seen, self.photo, scene.recipe)

    def mix(self, mixture: Mixture, sigma: InLayers | str) -> Mix:
        """Returns how a run mixes the styles in this size.

        Args:
            mixture: What was asked for.
            sigma: Numbers for each style, in all layers or by layer; or "auto", the closed form of
                each group of layers, and in each zone.
        """
        positions = {
            layer: int(of) for seen in self.photo.values() for layer, of in seen.positions.items()
        }
        gamma, zones = mixture.on(self.canvas, self._regions, positions)
        if not isinstance(sigma, str):
            return Mix(gamma, sigma, self._regions, zones)
        mix = Mix(gamma, (1.0,) * self._scene.styles, self._regions, zones)
        term, groups = self._scene.recipe.style, self._scene.recipe.groups
        found = balance.closed_form_sigma(
            term, groups, self._photo_in(mix), self.styles["style"], mix
        )
        return mix._replace(sigma=dict.fromkeys(gamma | zones, mix.sigma) | found)

    @property
    def even(self) -> Mix:
        """All styles alike."""
        count = self._scene.styles
        return Mix((1 / count,) * count, (1.0,) * count, self._regions)

    def stage(self, recipe: Recipe, mix: Mix, steps: int) -> Stage:
        """Returns what a run does in this size, in so many steps."""
        targets, seamless = self.targets(recipe, mix), self._scene.seamless
        return Stage(self.trainer, targets, steps, self.canvas.margin, seamless)

    def targets(self, recipe: Recipe, mix: Mix) -> Targets:
        """Returns what a run is measured against in this size."""
        pixels = self.canvas.content
        return make_targets(self.photo, self.styles, recipe, **mix._asdict(), pixels=pixels)

    def losses(self, image: Any, targets: Targets) -> dict[str, float]:
        """Returns all losses of a picture of this size, [1, H, W, 3], by name."""
        seen = self._seen(self.canvas.margin.around(np.asarray(image)), targets.places)
        return self._losses(seen, targets)

    def style_losses(self, image: Any, mix: Mix) -> tuple[float, ...]:
        """Returns L_style_k of a picture, each style's where it paints."""
        return self._of_styles(self.losses(image, self.targets(self._scene.recipe, mix)))

    def start_losses(self, targets: Targets) -> tuple[float, ...]:
        """Returns L_style_k of the photo, which has been looked at before, but for its zones."""
        zones = targets.places.zones
        seen = self._seen(self.canvas.content, targets.places) if zones else self.photo
        return self._of_styles(self._losses(seen, targets))

    def losses_of_groups(
        self, image: Any, mix: Mix, groups: Mapping[str, Sequence[str]]
    ) -> dict[str, dict[str, list[float]]]:
        """Returns the style losses of groups of layers; see `balance.losses_of_groups`."""
        shown = self.canvas.margin.around(np.asarray(image))
        seen = self._seen(shown, Places.of(self._regions, mix.zones))["style"]
        term, styles = self._scene.recipe.style, self.styles["style"]
        return balance.losses_of_groups(term, groups, self._photo_in(mix), seen, styles, mix)

    def _losses(self, seen: Statistics, targets: Targets) -> dict[str, float]:
        _, named = mixed_losses(seen, targets, self._scene.recipe)
        return {name: float(loss) for name, loss in named.items()}

    def _of_styles(self, named: Mapping[str, float]) -> tuple[float, ...]:
        return tuple(named[f"style_{k}"] for k in range(1, self._scene.styles + 1))

    def _photo_in(self, mix: Mix) -> Seen:
        """Returns what the style's term sees of the photo, in zones if there are any."""
        if not mix.zones:
            return self.photo["style"]
        return self._seen(self.canvas.content, Places.of(self._regions, mix.zones))["style"]

    def _seen(self, shown: Any, places: Places) -> Statistics:
        """Returns what the losses know of a picture with what is painted around it."""
        return self.trainer.evaluator.statistics(shown, places=places)
