"""A scene in one of its sizes, measured by the network once, to be painted any number of times."""

from __future__ import annotations

from typing import Any

import numpy as np

from mnst.engine.sizes import Stage
from mnst.engine.trainer import Trainer
from mnst.objective.losses import (
    Statistics,
    Targets,
    make_targets,
    mixed_losses,
    style_regions,
    style_targets,
)
from mnst.objective.regions import Regions
from mnst.objective.terms import InLayers
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
        trainer: The same.
        photo: What the network sees of the photo.
        styles: What the styles ask for, from `mnst.style_targets`.
    """

    def __init__(
        self, scene: Scene, canvas: Canvas, trainer: Trainer, pictures: list[np.ndarray]
    ) -> None:
        self._scene, self._canvas = scene, canvas
        self._own = scene.guided(canvas)
        self.trainer = trainer
        self.photo = self._measured(canvas.content)
        is_last = canvas is scene.canvases[-1]
        each = (pictures.pop(0) if is_last else pictures[k] for k in range(scene.styles))
        sized = (scene.style_at(canvas, k, picture) for k, picture in enumerate(each))
        # One after the other: of all pictures but one, only what is asked for is kept.
        seen = (trainer.style_evaluator.statistics(picture) for picture in sized)
        self.styles = style_targets(seen, self.photo, scene.recipe)

    def see(self, image: Any, regions: Regions | None = None) -> Statistics:
        """Returns what the losses know of a picture of this size, [1, H, W, 3], in regions."""
        return self._measured(self._canvas.margin.around(np.asarray(image)), regions)

    def targets(self, recipe: Recipe, mixture: Mixture, sigma: InLayers) -> Targets:
        """Returns what a run is measured against in this size."""
        gamma, regions = mixture.on(self._canvas, self._own, self._scene.cell)
        photo = (
            self.photo if regions is self._own else self._measured(self._canvas.content, regions)
        )
        return make_targets(
            photo,
            self.styles,
            recipe,
            gamma=gamma,
            sigma=sigma,
            regions=regions,
            pixels=None if self._own is None else self._canvas.content,
        )

    def stage(self, recipe: Recipe, mixture: Mixture, sigma: InLayers, steps: int) -> Stage:
        """Returns what a run does in this size, in so many steps."""
        targets = self.targets(recipe, mixture, sigma)
        return Stage(self.trainer, targets, steps, self._canvas.margin, self._scene.seamless)

    def losses(self, image: Any, targets: Targets) -> dict[str, float]:
        """Returns all losses of a picture of this size, [1, H, W, 3], by name."""
        shown = self._canvas.margin.around(np.asarray(image))
        seen = self.trainer.evaluator.statistics(shown, regions=targets.regions)
        _, named = mixed_losses(seen, targets, self._scene.recipe)
        return {name: float(loss) for name, loss in named.items()}

    def style_losses(self, image: Any, mixture: Mixture) -> tuple[float, ...]:
        """Returns L_style_k of a picture, each style's over its own region."""
        count = self._scene.styles
        targets = self.targets(self._scene.recipe, mixture, (1.0,) * count)
        named = self.losses(image, targets)
        return tuple(named[f"style_{k}"] for k in range(1, count + 1))

    def _measured(self, shown: np.ndarray, regions: Regions | None = None) -> Statistics:
        """Returns what the losses know of a picture with what is painted around it."""
        return self.trainer.evaluator.statistics(shown, regions=style_regions(regions or self._own))
