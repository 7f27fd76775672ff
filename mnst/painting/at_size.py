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
from mnst.objective.terms import InLayers
from mnst.painting.scene import Canvas, Scene
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
        self.trainer = trainer
        self.photo = self._measured(canvas.content)
        is_last = canvas is scene.canvases[-1]
        each = (pictures.pop(0) if is_last else pictures[k] for k in range(scene.styles))
        sized = (scene.style_at(canvas, k, picture) for k, picture in enumerate(each))
        # One after the other: of all pictures but one, only what is asked for is kept.
        seen = (trainer.evaluator.statistics(picture) for picture in sized)
        self.styles = style_targets(seen, self.photo, scene.recipe)

    def see(self, image: Any) -> Statistics:
        """Returns what the losses know of a picture of this size, [1, H, W, 3]."""
        return self._measured(self._canvas.margin.around(np.asarray(image)))

    def stage(self, recipe: Recipe, gamma: InLayers, sigma: InLayers, steps: int) -> Stage:
        """Returns what a run does in this size, in so many steps."""
        targets = self.targets(recipe, gamma, sigma)
        return Stage(self.trainer, targets, steps, self._canvas.margin)

    def targets(self, recipe: Recipe, gamma: InLayers, sigma: InLayers) -> Targets:
        """Returns what a run is measured against in this size."""
        return make_targets(
            self.photo,
            self.styles,
            recipe,
            gamma=gamma,
            sigma=sigma,
            regions=self._scene.guided(self._canvas),
            pixels=self._canvas.content,
        )

    def style_losses(self, seen: Statistics) -> tuple[float, ...]:
        """Returns L_style_k of a picture, each style's over its own region."""
        recipe, count = self._scene.recipe, self._scene.styles
        targets = self.targets(recipe, (1 / count,) * count, (1.0,) * count)
        named = self.losses(seen, targets)
        return tuple(named[f"style_{k}"] for k in range(1, count + 1))

    def losses(self, seen: Statistics, targets: Targets) -> dict[str, float]:
        """Returns all losses of a picture by name."""
        _, named = mixed_losses(seen, targets, self._scene.recipe)
        return {name: float(loss) for name, loss in named.items()}

    def _measured(self, shown: np.ndarray) -> Statistics:
        """Returns what the losses know of a picture with what is painted around it."""
        regions = style_regions(self._scene.guided(self._canvas))
        return self.trainer.evaluator.statistics(shown, regions=regions)
