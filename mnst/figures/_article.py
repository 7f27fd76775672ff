"""The article's figures."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from mnst.checks import check_number, check_whole
from mnst.figures._common import (
    GAMMAS,
    SIZE,
    Claim,
    at_least,
    at_most,
    check_gammas,
    in_two_rows,
    input_pictures,
    new_figure,
    save_figures,
    subfolder,
    with_defaults,
)
from mnst.objective import mixing
from mnst.painting.calibration import Calibration, calibrate
from mnst.painting.options import FigureOptions
from mnst.painting.result import Result
from mnst.painting.signatures import takes
from mnst.painting.transfer import stylize
from mnst.reporting.plots import log_axis
from mnst.sweeping.outcome import Sweep
from mnst.sweeping.sweeps import sweep

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from typing_extensions import Unpack

ARTICLE_RATIO = 3.6
"""L_style_1(c) / L_style_2(c) in the article's example."""


@takes(FigureOptions, size=SIZE, recipe="article")
def article(
    photo: Any = None,
    styles: Any = None,
    *,
    gammas: Sequence[float] = GAMMAS,
    refine: int = 5,
    folder: str | os.PathLike[str] | None = None,
    **options: Unpack[FigureOptions],
) -> ArticleFigures:
    """Makes the runs behind the article's figures: gamma from 0 to 1, without sigma and with it.

    Args:
        photo: The content image; Grace Hopper from matplotlib, if not given.
        styles: Two style images; the package's own, if not given.
        gammas: For which to run, two or more; 0.5 should be among them, and each with its
            1 - gamma. Between them the claims are read off straight lines.
        refine: At most so many runs to refine sigma.
        folder: Where runs are kept, so that they are made once; see `sweep`.
        **options: Those of `FigureOptions`.

    Returns:
        The runs, which draw themselves.

    Raises:
        ValueError: If an option is out of range, or there are not two styles.
        TypeError: If a picture or an option is of another kind than it takes.
        FileNotFoundError: If a picture or the weights aren't there.
        OSError: If a picture can't be opened, or the folder can't be made.
        ImportError: If `log_dir` is given without TensorBoard.
        WeightsError: If the weights can't be had, or don't fit.
        DivergenceError: If a loss turns NaN or infinite.
    """
    photo, styles = with_defaults(photo, styles)
    refine = check_whole("refine", refine, 0)
    check_gammas(gammas)

    def painted(name: str, **sigma: Any) -> Sweep:
        return sweep(
            photo, styles, gamma=gammas, folder=subfolder(folder, name), **{**options, **sigma}
        )

    plain = painted("plain")
    calibration = calibrate(photo, styles, refine=refine, **options)
    return ArticleFigures(
        inputs=input_pictures(photo, styles, options["size"]),
        calibration=calibration,
        plain=plain,
        calibrated=painted("calibrated", sigma=calibration.sigma),
    )


@dataclass(frozen=True, eq=False)
class ArticleFigures:
    """The article's figures for one photo and two styles.

    Attributes:
        inputs: Figure 3: the photo and the two styles.
        calibration: sigma, in closed form and refined by runs.
        plain: The runs without sigma.
        calibrated: The runs with it.
    """

    inputs: Image.Image
    calibration: Calibration
    plain: Sweep
    calibrated: Sweep

    def results(self, *, width: int = 320) -> Image.Image:
        """Figure 4: what comes out for gamma from 0 to 1, without sigma."""
        return in_two_rows(self.plain, width)

    def calibrated_results(self, *, width: int = 320) -> Image.Image:
        """Figure 9: the same with sigma."""
        return in_two_rows(self.calibrated, width)

    def curves(self) -> Figure:
        """Figures 6 and 8: RI_1, RI_2 and RI_1 / RI_2 over gamma; left without sigma, right with.

        Thin lines are what the closed form predicts without any run.
        """
        figure = new_figure(11, 4.5)
        left, right = figure.subplots(1, 2, sharey=True)
        self._draw_curves(left, self.plain)
        self._draw_curves(right, self.calibrated)
        right.set(ylabel="")
        return figure

    def _draw_curves(self, ax: Axes, runs: Sweep) -> None:
        runs.plot_relative_improvement(ax)
        limits = ax.get_ylim()
        sigma = runs[0].result.settings["sigma"]
        gammas = np.linspace(0.005, 0.995, 199)
        first, second = np.transpose([self.calibration.predict(g, sigma=sigma) for g in gammas])
        predicted = {"tab:blue": first, "tab:orange": second, "grey": first / second}
        for colour, values in predicted.items():
            ax.plot(gammas, values, color=colour, linewidth=0.8, alpha=0.7)
        ax.axvline(crossing(runs), color="lightgrey", linewidth=0.8, zorder=0)
        ax.set(ylim=limits, title=f"sigma {sigma[0]:.3g}, {sigma[1]:.3g}")

    def save(self, folder: str | os.PathLike[str]) -> list[Path]:
        """Writes all figures as PNG into a folder, and returns their paths."""
        figures: dict[str, Image.Image | Figure] = {
            "article_3_inputs": self.inputs,
            "article_4_results": self.results(),
            "article_6_8_curves": self.curves(),
            "article_9_results": self.calibrated_results(),
            "article_closed_form": closed_form(),
        }
        return save_figures(folder, figures)

    def claims(self) -> list[Claim]:
        """Returns what the article claims, and what came out here."""
        first, second = self.calibration.start_losses
        balanced = crossing(self.plain)
        untried = self.calibration.runs[0].imbalance if self.calibration.runs else math.nan
        plain, ratios = _log_ratios(self.plain), _log_ratios(self.calibrated)
        return [
            Claim(
                "the start losses of the two styles differ",
                "article, above fig. 5",
                "3.6",
                "the larger over the smaller",
                max(first / second, second / first),
                at_least(1.1),
            ),
            Claim(
                "and at gamma = 0.5 the styles improve by that ratio",
                "article, above fig. 5",
                "nearly 4, over 3.6",
                "(RI_1 / RI_2) / (L_1 / L_2)",
                math.exp(_at_half(plain)) * second / first,
                (0.8, 1.25),
            ),
            Claim(
                "so both improve equally away from gamma = 0.5",
                "article, fig. 6",
                "0.34, which is 0.16 away",
                f"RI_1 = RI_2 at {balanced:.3f}, away by",
                abs(balanced - 0.5),
                at_least(0.03),
            ),
            Claim(
                "where, the start losses tell without a run",
                "follows from fig. 6",
                "0.34, by the closed form 0.345",
                "the runs' gamma minus the closed form's",
                balanced - self.calibration.crossing(),
                (-0.03, 0.03),
            ),
            Claim(
                "a change of gamma is hard to see on one side",
                "article, fig. 4",
                "from 0.5 on",
                "the picture's change over one half of gamma, over the other's",
                _evenness(self.plain),
                at_most(0.8),
            ),
            Claim(
                "the square root of the ratio as sigma balances the two",
                "article, above fig. 7",
                "sigma_2 = 1.9, the root of 3.6",
                "without another run, log(RI_1 / RI_2) at gamma = 0.5 is off by",
                untried,
                at_most(0.15),
            ),
            Claim(
                "with sigma the two improve equally at gamma = 0.5",
                "article, fig. 8",
                "0",
                f"with sigma_2 = {self.calibration.sigma[1]:.3g}, log(RI_1 / RI_2)",
                _at_half(ratios),
                (-0.05, 0.05),
            ),
            Claim(
                "and RI_1 / RI_2 is symmetric about it",
                "article, fig. 8",
                "seen",
                "log ratios at gamma and 1 - gamma differ, over the largest, by",
                _asymmetry(ratios),
                at_most(0.1),
            ),
            Claim(
                "style 1 fades in continuously",
                "article, fig. 9",
                "seen",
                "the least rise of log(RI_1 / RI_2) for 0.1 of gamma",
                _least_rise(ratios),
                at_least(0.05),
            ),
            Claim(
                "and does not dominate from 0.5 on",
                "article, fig. 9",
                "seen",
                "the picture's change over one half of gamma, over the other's",
                _evenness(self.calibrated),
                at_least(0.8),
            ),
        ]


def closed_form(ratio: float = ARTICLE_RATIO) -> Figure:
    """Draws RI_1 / RI_2 as the closed form has it, for the sigmas that the article tried.

    RI_1 / RI_2 = ratio * (gamma sigma_1 / ((1 - gamma) sigma_2))^2. With the article's ratio of
    start losses, 3.6, it crosses 1 where the article's curves do.

    Args:
        ratio: L_style_1(c) / L_style_2(c).

    Raises:
        ValueError: If the ratio is not above 0.
    """
    ratio = check_number("ratio", ratio, lambda value: value > 0, "above 0")
    figure = new_figure(7, 4.5)
    ax = figure.subplots()
    gammas = np.linspace(0.02, 0.98, 97)
    found = {1.0: "0.34", ratio: "0.64", math.sqrt(ratio): "0.5"}
    for sigma, article_found in found.items():
        balanced = mixing.crossing((ratio, 1), (1, sigma))
        label = f"sigma_2 = {sigma:.3g}: 1 at gamma = {balanced:.3f} (article: {article_found})"
        (line,) = ax.plot(gammas, ratio * (gammas / (1 - gammas) / sigma) ** 2, label=label)
        ax.plot(balanced, 1, "o", color=line.get_color())
    ax.axhline(1, color="lightgrey", linewidth=0.8, zorder=0)
    log_axis(ax).set(ylim=(1e-2, 1e2), xlabel="gamma (share of style 1)", ylabel="RI 1 / RI 2")
    ax.legend()
    return figure


def example(photo: Any = None, styles: Any = None, *, gamma: float = 0.4, **options: Any) -> Result:
    """The article's figures 10 and 11: a further example, with sigma in closed form."""
    photo, styles = with_defaults(photo, styles)
    return stylize(photo, styles, gamma=gamma, sigma="auto", **options)


def _log_ratios(runs: Sweep) -> dict[float, float]:
    """Returns log(RI_1 / RI_2) by gamma, from the smallest gamma to the largest."""
    ratios = {}
    for run in runs:
        first, second = run.result.relative_improvement
        ratios[round(run.result.settings["gamma"][0], 6)] = math.log(first / second)
    return dict(sorted(ratios.items()))


def crossing(runs: Sweep) -> float:
    """Returns the gamma at which RI_1 = RI_2, read off between runs over gamma (article, fig. 6).

    Args:
        runs: Of two styles, over gamma as one number.
    """
    ratios = _log_ratios(runs)
    # The ratio rises with gamma, but near 0 and 1 the runs stop short; the crossing is one.
    return float(np.interp(0.0, np.maximum.accumulate([*ratios.values()]), [*ratios]))


def _at_half(ratios: Mapping[float, float]) -> float:
    return float(np.interp(0.5, [*ratios], [*ratios.values()]))


def _asymmetry(ratios: Mapping[float, float]) -> float:
    """Returns how far log ratios at gamma and 1 - gamma miss each other, over the largest one.

    At 0 and 1 there is none: the closed form goes to infinity, and a run stops short of it.
    """
    inner = {gamma: value for gamma, value in ratios.items() if 0 < gamma < 1}
    missed = [
        abs(value + inner[round(1 - gamma, 6)])
        for gamma, value in inner.items()
        if gamma < 0.5 and round(1 - gamma, 6) in inner
    ]
    largest = max(map(abs, inner.values()), default=0.0)
    return max(missed, default=math.nan) / largest if largest else math.nan


def _least_rise(ratios: Mapping[float, float]) -> float:
    gammas, values = [*ratios], [*ratios.values()]
    return float(np.min(0.1 * np.diff(values) / np.diff(gammas)))


def _evenness(runs: Sweep) -> float:
    """Returns how much a picture changes over one half of gamma, over that of the other half.

    That is by the mean difference of pixels, the smaller over the larger; NaN where there are no
    runs at 0, 0.5 and 1, or nothing changes.
    """
    by_gamma = {run.result.settings["gamma"][0]: run.result for run in runs}
    if not {0, 0.5, 1} <= by_gamma.keys():
        return math.nan
    pictures = [np.float64(by_gamma[gamma].image) for gamma in (0, 0.5, 1)]
    changes = [float(np.mean(np.abs(a - b))) for a, b in itertools.pairwise(pictures)]
    return min(changes) / max(changes) if any(changes) else math.nan
