"""What comes out of a run: the picture, and how it came about."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mnst.engine.trainer import StepRecord
from mnst.images import encode, save_image, to_uint8, with_alpha
from mnst.objective import mixing
from mnst.reporting.plots import axes, log_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Improvement(NamedTuple):
    """How much a group of layers has improved, one number for each style.

    Attributes:
        measured: L_style_k(c) / L_style_k(x_final) over these layers.
        predicted: The same of a picture that meets what is aimed at in every zone; inf for a style
            that has all the share. A run stops short of it. None, for a term without distances.
    """

    measured: tuple[float, ...]
    predicted: tuple[float, ...] | None


@dataclass(frozen=True, eq=False)
class Result:
    """A finished picture and how it came about.

    Attributes:
        image: uint8 [H, W, 3], RGB. Where nothing of it is seen it has the colours around that.
        history: A `StepRecord` for the start and for every step, without their pictures. With
            localize="composite" the losses are those of the whole picture, as it was before the
            photo's pixels were put back; with colours="photo", of the grey one, before it got the
            photo's colours.
        start_losses: L_style_k(c), the style losses of the content image, one per style.
        settings: What it was made with: gamma, sigma, recipe, steps done, init, seed, backbone,
            weights, precision, device and versions; whose colours it has; with masks, how the
            transfer is localized and what share of the pixels is kept; with a gamma by layer or
            place, the style losses of each group of layers; "options", what `stylize` takes to
            paint it again, "options_left_out", and hashes of "photo" and "styles". `save` puts it
            into the file.
        completed: False if the run was ended before its last step.
        alpha: How opaque the picture is, uint8 [H, W]: as the photo was. None is all of it.
    """

    image: np.ndarray
    history: tuple[StepRecord, ...]
    start_losses: tuple[float, ...]
    settings: dict[str, Any]
    completed: bool = True
    alpha: np.ndarray | None = None

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

    @property
    def improvement_by_group(self) -> dict[str, Improvement]:
        """RI_k of each group of layers ("colour", "form"), as measured and as predicted.

        Where gamma is a picture, each style is measured where it paints. Empty, where gamma is the
        same in all layers and everywhere: then `relative_improvement` says it all.
        """
        return {
            group: Improvement(
                mixing.relative_improvement(losses["start"], losses["final"]),
                mixing.relative_improvement(losses["start"], losses["predicted"])
                if "predicted" in losses
                else None,
            )
            for group, losses in self.settings.get("groups", {}).items()
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the picture with its settings; see `mnst.save_image`.

        It is as transparent as the photo. JPEG can't be, and has it on white.

        Args:
            path: Ends in .png, .jpg, .jpeg, .webp, .tif or .tiff.

        Raises:
            ValueError: If the ending is another.
            OSError: If the file can't be written. What was there before is left as it was.
        """
        save_image(path, with_alpha(self.image, self.alpha), self.settings)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draws the style losses over the steps, relative to the content image's: r_k.

        Further terms of the recipe are drawn as dashed lines, relative to their largest value, and
        a grey line where the next size begins.

        Args:
            ax: Matplotlib axes to draw on; a new figure, if not given.

        Returns:
            The axes.
        """
        ax = axes(ax)
        steps = [record.step for record in self.history]
        for k, start in enumerate(self.start_losses, start=1):
            ratios = [record.losses[f"style_{k}"] / start for record in self.history]
            ax.plot(steps, ratios, label=f"style {k}{self._share(k)}")
        for name in self._further_losses:
            values = np.array([record.losses[name] for record in self.history])
            ax.plot(steps, values / (values.max() or 1), linestyle="--", label=name)
        for before, after in pairwise(self.history):
            if before.size != after.size:
                ax.axvline(after.step, color="lightgrey", linewidth=0.8, zorder=0)
        ax.axhline(1, color="grey", linewidth=0.8, linestyle=":")
        ax.set(xlabel="step", ylabel="style loss / style loss of the content image")
        ax.legend()
        return log_axis(ax)

    def _share(self, k: int) -> str:
        """Says a style's share, where it has one in all layers and everywhere."""
        gamma = self.settings["gamma"]
        return f", share {gamma[k - 1]:g}" if isinstance(gamma, list) else ""

    @property
    def _further_losses(self) -> list[str]:
        styles = [f"style_{k}" for k in range(1, len(self.start_losses) + 1)]
        return [
            name for name in self.history[0].losses if name not in ("content", *styles, "total")
        ]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.image, dtype=dtype)

    def _repr_png_(self) -> bytes:
        return encode(with_alpha(self.image, self.alpha), "PNG")

    def __repr__(self) -> str:
        height, width = self.image.shape[:2]
        improved = ", ".join(f"{value:.4g}" for value in self.relative_improvement)
        return (
            f"<mnst.Result: {width} x {height} pixels, {self.history[-1].step} steps, "
            f"relative improvement {improved}>"
        )


def make_result(
    last: StepRecord,
    history: Sequence[StepRecord],
    start_losses: tuple[float, ...],
    settings: dict[str, Any],
    steps: int,
    alpha: np.ndarray | None,
) -> Result:
    """Returns the result whose picture is that of the record `last`."""
    # An interrupt may fall between a record's arrival and its place in the history.
    earlier = [record for record in history if record.step < last.step]
    return Result(
        image=to_uint8(last.image),
        history=(*earlier, last.numbers()),
        start_losses=start_losses,
        settings={**settings, "steps": last.step},
        completed=last.step == steps,
        alpha=alpha,
    )
