"""Mixed neural style transfer: one photo, painted in two or more styles at once.

`import mnst` is quick and silent: TensorFlow is loaded by the first call that needs it.

Example:
    >>> import mnst
    >>> result = mnst.stylize("photo.jpg", ["graffiti.jpg", "ink.jpg"], gamma=0.4)
    ... # doctest: +SKIP
    >>> result.save("out.png")  # doctest: +SKIP
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from mnst.animation import Crossfade, crossfade
    from mnst.calibration import Calibration, calibrate
    from mnst.distillation import distill
    from mnst.features import vgg_layers
    from mnst.images import load_image, read_settings, save_image
    from mnst.losses import (
        content_loss,
        gram_matrix,
        make_targets,
        statistics,
        style_loss,
        style_targets,
    )
    from mnst.mixing import loss_ratio, relative_improvement
    from mnst.planning import Plan, plan
    from mnst.recipes import ARTICLE, FAST, PAPER, TUTORIAL, Recipe
    from mnst.segmentation import Segmentation, SegmentationModel, composite, load_mask, segment
    from mnst.sweeps import Sweep, sweep
    from mnst.training import DivergenceError, StepRecord, Trainer
    from mnst.transfer import Result, StyleTransfer, stylize
    from mnst.weights import WeightsError
    from mnst.widgets import Crossfader

# Which room each public name lives in. The rooms are imported on first use (PEP 562), because
# some of them import TensorFlow, which takes seconds.
_ROOMS = {
    "animation": ("Crossfade", "crossfade"),
    "calibration": ("Calibration", "calibrate"),
    "distillation": ("distill",),
    "features": ("vgg_layers",),
    "images": ("load_image", "read_settings", "save_image"),
    "losses": (
        "content_loss",
        "gram_matrix",
        "make_targets",
        "statistics",
        "style_loss",
        "style_targets",
    ),
    "mixing": ("loss_ratio", "relative_improvement"),
    "planning": ("Plan", "plan"),
    "recipes": ("ARTICLE", "FAST", "PAPER", "TUTORIAL", "Recipe"),
    "segmentation": ("Segmentation", "SegmentationModel", "composite", "load_mask", "segment"),
    "sweeps": ("Sweep", "sweep"),
    "training": ("DivergenceError", "StepRecord", "Trainer"),
    "transfer": ("Result", "StyleTransfer", "stylize"),
    "weights": ("WeightsError",),
    "widgets": ("Crossfader",),
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}

__all__ = [
    "ARTICLE",
    "FAST",
    "PAPER",
    "TUTORIAL",
    "Calibration",
    "Crossfade",
    "Crossfader",
    "DivergenceError",
    "Plan",
    "Recipe",
    "Result",
    "Segmentation",
    "SegmentationModel",
    "StepRecord",
    "StyleTransfer",
    "Sweep",
    "Trainer",
    "WeightsError",
    "calibrate",
    "composite",
    "content_loss",
    "crossfade",
    "distill",
    "gram_matrix",
    "load_image",
    "load_mask",
    "loss_ratio",
    "make_targets",
    "plan",
    "read_settings",
    "relative_improvement",
    "save_image",
    "segment",
    "statistics",
    "style_loss",
    "style_targets",
    "stylize",
    "sweep",
    "vgg_layers",
]


def __getattr__(name: str) -> Any:
    if name not in _ROOM_OF:
        raise AttributeError(f"module 'mnst' has no attribute {name!r}")
    value = getattr(import_module(f"mnst.{_ROOM_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
