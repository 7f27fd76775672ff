"""sigma, the calibration that balances the crossfader: known beforehand, and checked by runs.

The article calibrates by a pilot run without sigma (`method="pilot"`). The closed form of
`mixing.closed_form_sigma` needs none. Either can be refined by runs that measure what it missed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from mnst.checks import check_choice, check_number, check_whole
from mnst.objective import mixing
from mnst.painting.options import CalibrateOptions, RunOptions, in_folder, those_of
from mnst.painting.scene import style_list
from mnst.painting.signatures import takes
from mnst.painting.transfer import prepare
from mnst.reporting.plots import axes, log_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from typing_extensions import Unpack

Method = Literal["closed-form", "pilot"]

# What was measured of a slope counts as far as it is this many times the closed form's.
_SLOPE_LIMITS = (0.25, 4.0)


@dataclass(frozen=True)
class CalibrationRun:
    """A run with equal shares that calibration made.

    Attributes:
        sigma: What it was run with.
        relative_improvement: What came out, one RI_k per style.
        steps: What it cost, in steps.
        seconds: What it cost, in seconds.
    """

    sigma: tuple[float, ...]
    relative_improvement: tuple[float, ...]
    steps: int
    seconds: float

    @property
    def imbalance(self) -> float:
        """How far apart the styles are: log(largest RI / smallest RI), 0 if they are equal."""
        return imbalance(self.relative_improvement)


@dataclass(frozen=True, eq=False)
class Calibration:
    """sigma, and all that it rests on.

    Attributes:
        sigma: One per style, the first one 1: pass it to `stylize` or `sweep`.
        method: How its first guess was made.
        start_losses: L_style_k(c), the style losses of the content image.
        distances: The style loss between the styles, [K, K]; in the units of each style's loss,
            [K, K, K], where it has units of its own.
        runs: The runs that were made, in order; none for an unrefined closed form.
        tolerance: The imbalance that refinement aims at.
        converged: Whether a run with this very sigma was within the tolerance; None if there was
            no run to tell.
        completed: False if it was ended in the middle of a run. That run does not count: sigma is
            the best that was measured before, or else the first guess; before a pilot run has
            told anything, 1 for each style.
    """

    sigma: tuple[float, ...]
    method: Method
    start_losses: tuple[float, ...]
    distances: np.ndarray
    runs: tuple[CalibrationRun, ...]
    tolerance: float
    converged: bool | None
    completed: bool = True

    def predict(
        self, gamma: float | Sequence[float], *, sigma: Sequence[float] | None = None
    ) -> tuple[float, ...]:
        """Returns the RI_k that the closed form predicts; see `mixing.predicted_improvement`.

        Args:
            gamma: As in `stylize`.
            sigma: This calibration's, if not given; [1, 1] predicts the uncalibrated crossfader.
        """
        styles = len(self.start_losses)
        sigmas = self.sigma if sigma is None else mixing.style_sigmas(sigma, styles)
        shares = np.multiply(mixing.style_shares(gamma, styles), sigmas)
        return mixing.predicted_improvement(shares.tolist(), self.start_losses, self.distances)

    def crossing(self, *, sigma: Sequence[float] = (1.0, 1.0)) -> float:
        """Returns the gamma at which two styles are predicted to improve equally.

        Args:
            sigma: With which sigma; without any, if not given (the article found 0.34).

        Raises:
            ValueError: If there are not two styles.
        """
        if len(self.start_losses) != 2:
            raise ValueError(f"{len(self.start_losses)} styles have no crossing; two have one")
        sigmas = mixing.style_sigmas(sigma, 2)
        return mixing.crossing(self.start_losses, sigmas, self.distances)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draws the predicted RI_k over gamma, with this sigma and without, and the runs made.

        Args:
            ax: Matplotlib axes to draw on; a new figure, if not given.

        Raises:
            ValueError: If there are not two styles.
        """
        crossing = self.crossing()
        ax = axes(ax)
        gammas = np.linspace(0.02, 0.98, 97)
        for sigma, line in ((self.sigma, "-"), ((1.0, 1.0), ":")):
            curves = np.array([self.predict(gamma, sigma=sigma) for gamma in gammas])
            with_sigma = f"sigma {sigma[0]:.3g}, {sigma[1]:.3g}"
            for k, colour in enumerate(("tab:blue", "tab:orange")):
                label = f"style {k + 1}, {with_sigma}"
                ax.plot(gammas, curves[:, k], line, color=colour, label=label)
        for run in self.runs:
            first, second = run.relative_improvement
            ax.plot(0.5, first, "o", color="tab:blue")
            ax.plot(0.5, second, "o", color="tab:orange")
        ax.axvline(crossing, color="grey", linewidth=0.8, linestyle=":")
        ax.set(xlabel="gamma (share of style 1)", ylabel="relative improvement RI")
        ax.legend()
        return log_axis(ax)

    def __repr__(self) -> str:
        listed = ", ".join(f"{value:.4g}" for value in self.sigma)
        checked = "" if self.converged is None else f", converged: {self.converged}"
        ended = "" if self.completed else ", ended early"
        return (
            f"<mnst.Calibration: sigma {listed}, {self.method}, {len(self.runs)} runs{checked}"
            f"{ended}>"
        )


@takes(CalibrateOptions)
def calibrate(
    photo: Any,
    styles: Any,
    *,
    method: Method = "closed-form",
    refine: int = 0,
    tolerance: float = 0.05,
    **options: Unpack[CalibrateOptions],
) -> Calibration:
    """Finds the sigma with which equal shares make equal relative improvement.

    Ctrl-C, and a callback that raises StopIteration, end it and give back the calibration so far.

    Args:
        photo: The content image, as in `stylize`.
        styles: The style images, as in `stylize`; two or more.
        method: How the first guess is made, "closed-form" or "pilot". "closed-form" computes sigma
            from the start losses and the styles' Gram matrices, without a run. "pilot" is the
            article's procedure: a run with equal shares and without sigma, then
            sigma_k = sqrt(RI_1 / RI_k), and for K styles the power (K - 1) / 2 of that ratio.
        refine: At most so many runs check and correct sigma. Each runs with equal shares, measures
            log RI, and corrects by the secant rule until the styles' imbalance,
            log(largest RI / smallest RI), is within the tolerance.
        tolerance: The imbalance that is good enough; 0.05 is 5 %.
        **options: Those of `CalibrateOptions`.

    Returns:
        sigma, what is predicted with it, and the runs that were made.

    Raises:
        ValueError: If an option or a picture is out of range, there are fewer than two styles, or
            the photo is one of the styles already.
        TypeError: If a picture or an option is of another kind than it takes.
        FileNotFoundError: If a picture or the weights aren't there.
        OSError: If a picture can't be downloaded or opened, or there can't be a folder for logs.
        ImportError: If `log_dir` is given without TensorBoard.
        WeightsError: If the weights or DeepLab can't be had, or don't fit.
        DivergenceError: If a loss turns NaN or infinite.

    Example:
        >>> calibration = mnst.calibrate("photo.jpg", ["a.jpg", "b.jpg"])  # doctest: +SKIP
        >>> calibration.sigma, calibration.crossing()  # doctest: +SKIP
        ((1.0, 1.897), 0.345)
    """
    check_choice("method", method, get_args(Method))
    refine = check_whole("refine", refine, 0)
    tolerance = check_number("tolerance", tolerance, lambda value: value > 0, "above 0")
    if len(style_list(styles)) < 2:
        raise ValueError("calibration is between styles: give two or more")
    transfer, prepared = prepare(photo, styles, options)
    runs: list[CalibrationRun] = []

    def measure(sigma: Sequence[float]) -> CalibrationRun:
        of_run = those_of(RunOptions, in_folder(prepared, f"run-{len(runs) + 1}"))
        result = transfer.run(**of_run, sigma=sigma)
        if not result.completed:
            raise _EndedError
        last = result.history[-1]
        runs.append(
            CalibrationRun(tuple(sigma), result.relative_improvement, last.step, last.seconds)
        )
        return runs[-1]

    completed = True
    guess = (
        (1.0,) * len(transfer.start_losses) if method == "pilot" else transfer.closed_form_sigma()
    )
    try:
        if method == "pilot":
            improved = measure(guess).relative_improvement
            # For two styles the square root, as in the article.
            exponent = 1 / _slope(len(improved))
            guess = tuple((improved[0] / value) ** exponent for value in improved)
        _refine(guess, measure, runs, refine, tolerance)
    except _EndedError:
        completed = False
    tried = runs[1:] if method == "pilot" else runs
    best = min(tried, key=lambda run: run.imbalance, default=None)
    return Calibration(
        guess if best is None else best.sigma,
        method,
        transfer.start_losses,
        transfer.style_distances,
        tuple(runs),
        tolerance,
        converged=None if best is None else best.imbalance <= tolerance,
        completed=completed,
    )


def imbalance(relative_improvement: Sequence[float]) -> float:
    """Returns log(largest RI / smallest RI): |log(RI_1 / RI_2)| for two styles."""
    return float(np.ptp(np.log(relative_improvement)))


def _slope(styles: int) -> float:
    """Returns d log RI_k / d log sigma_k, both relative to their mean over the styles.

    It is that of the closed form for styles that are equally far from each other: at equal shares
    L_k is D (1 - 1/K) / 2, and falls by D for each unit of style k's share.
    """
    return 2 / (styles - 1)


class _EndedError(Exception):
    """A run of the calibration was ended before its last step."""


def _refine(
    sigma: Sequence[float],
    measure: Callable[[Sequence[float]], CalibrationRun],
    runs: Sequence[CalibrationRun],
    limit: int,
    tolerance: float,
) -> None:
    """Measures sigma and corrects it until it is within the tolerance, but at most so often.

    `runs` are those that `measure` has made.
    """
    for _ in range(limit):
        before = runs[-1] if runs else None  # a pilot run is a point of the secant, too
        run = measure(sigma)
        if run.imbalance <= tolerance:
            return
        sigma = _secant_step(run, before)


def _secant_step(run: CalibrationRun, before: CalibrationRun | None) -> tuple[float, ...]:
    """Takes a secant step on log RI_k over log sigma_k, each relative to the styles' mean."""
    s, improved = _centred(run.sigma), _centred(run.relative_improvement)
    expected = _slope(len(s))
    slope = np.full(len(s), expected)
    if before is not None:
        moved = s - _centred(before.sigma)
        gained = improved - _centred(before.relative_improvement)
        known = np.abs(moved) > 1e-6
        least, most = _SLOPE_LIMITS
        measured = gained[known] / moved[known]
        slope[known] = np.clip(measured, least * expected, most * expected)
    corrected = np.exp(s - improved / slope)
    return tuple((corrected / corrected[0]).tolist())


def _centred(values: Sequence[float]) -> np.ndarray:
    logs = np.log(values)
    centred: np.ndarray = logs - logs.mean()
    return centred
