"""The figures of the article and of the paper, and what they claim, beside what comes out here.

`article()`, `paper()` and `localized()` make the runs; what they return draws the figures and
states the claims in numbers. The originals' photographs are not ours to ship, so the pictures are
others.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from mnst import images, paintings
from mnst.masks.segmentation import (
    Classes,
    Segmentation,
    check_classes,
    composite,
    load_mask,
    segment,
)
from mnst.objective import mixing
from mnst.painting.calibration import Calibration, calibrate
from mnst.painting.sweeps import Sweep, sweep
from mnst.painting.transfer import Localize, Result, stylize
from mnst.recipes import ARTICLE, PAPER, Recipe
from mnst.reporting.plots import log_axis

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ARTICLE_RATIO = 3.6
"""L_style_1(c) / L_style_2(c) in the article's example."""

GAMMAS = tuple(round(0.1 * k, 1) for k in range(11))
ALPHA_BETA = tuple(10.0**power for power in range(-4, 2))


@dataclass(frozen=True)
class Claim:
    """Something that a source says, and what came out here.

    Attributes:
        claim: In words.
        source: What the source found.
        here: What was measured here.
        holds: Whether the measurement agrees with the claim.
    """

    claim: str
    source: str
    here: str
    holds: bool

    def __str__(self) -> str:
        return f"[{'x' if self.holds else ' '}] {self.claim}: {self.source}; here {self.here}"


def article(
    photo: Any = None,
    styles: Any = None,
    *,
    gammas: Sequence[float] = GAMMAS,
    refine: int = 5,
    folder: str | os.PathLike[str] | None = None,
    size: int = 256,
    recipe: Recipe | str = ARTICLE,
    steps: int | None = None,
    progress: bool = True,
    **options: Any,
) -> ArticleFigures:
    """Makes the runs behind the article's figures: gamma from 0 to 1, without sigma and with it.

    Args:
        photo: The content image; Grace Hopper from matplotlib, if not given.
        styles: Two style images; the package's own, if not given.
        gammas: For which to run; 0.5 should be among them, and each with its 1 - gamma.
        refine: At most so many runs to refine sigma.
        folder: Where runs are kept, so that they are made once; see `sweep`.
        size: The longest that a long side may be.
        recipe: As in `stylize`.
        steps: How many steps a run takes.
        progress: Show progress on standard error.
        **options: The rest, such as weights and precision, as in `stylize`.

    Returns:
        The runs, which draw themselves.
    """
    photo, styles = _or_ours(photo, styles)
    common = {"size": size, "recipe": recipe, "steps": steps, "progress": progress, **options}
    calibration = calibrate(photo, styles, refine=refine, **common)
    places = [None if folder is None else Path(folder) / part for part in ("plain", "calibrated")]
    return ArticleFigures(
        inputs=_inputs(photo, styles, size),
        calibration=calibration,
        plain=sweep(photo, styles, gamma=gammas, folder=places[0], **common),
        calibrated=sweep(
            photo, styles, gamma=gammas, sigma=calibration.sigma, folder=places[1], **common
        ),
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
        return self.plain.grid(columns=_half(self.plain), width=width)

    def calibrated_results(self, *, width: int = 320) -> Image.Image:
        """Figure 9: the same with sigma."""
        return self.calibrated.grid(columns=_half(self.calibrated), width=width)

    def curves(self) -> Figure:
        """Figures 6 and 8: RI_1, RI_2 and RI_1 / RI_2 over gamma; left without sigma, right with.

        Thin lines are what the closed form predicts without any run.
        """
        figure = _figure(11, 4.5)
        axes = figure.subplots(1, 2, sharey=True)
        for ax, runs in zip(axes, (self.plain, self.calibrated), strict=True):
            runs.plot_relative_improvement(ax)
            limits = ax.get_ylim()
            sigma = runs[0].result.settings["sigma"]
            gammas = np.linspace(0.005, 0.995, 199)
            told = np.array([self.calibration.predict(gamma, sigma=sigma) for gamma in gammas])
            for k, colour in enumerate(("tab:blue", "tab:orange")):
                ax.plot(gammas, told[:, k], color=colour, linewidth=0.8, alpha=0.7)
            ax.plot(gammas, told[:, 0] / told[:, 1], color="grey", linewidth=0.8, alpha=0.7)
            ax.axvline(_crossing(runs), color="lightgrey", linewidth=0.8, zorder=0)
            ax.set(ylim=limits, title=f"sigma {sigma[0]:.3g}, {sigma[1]:.3g}")
        axes[1].set(ylabel="")
        return figure

    def save(self, folder: str | os.PathLike[str]) -> list[Path]:
        """Writes all figures as PNG into a folder, and returns their paths."""
        return _saved(
            folder,
            {
                "article_3_inputs": self.inputs,
                "article_4_results": self.results(),
                "article_6_8_curves": self.curves(),
                "article_9_results": self.calibrated_results(),
                "article_closed_form": closed_form(),
            },
        )

    def claims(self) -> list[Claim]:
        """Returns what the article claims, and what came out here."""
        start = self.calibration.start_losses
        measured = _crossing(self.plain)
        told = mixing.crossing(start, (1, 1))
        closed = self.calibration.runs[0].imbalance if self.calibration.runs else math.nan
        at_half = abs(_log_ratios(self.calibrated)[0.5])
        skew, height = _asymmetry(self.calibrated)
        fades = bool(np.all(np.diff(_sorted_by_gamma(_log_ratios(self.calibrated))) > 0))
        sigma = self.calibration.sigma[1]
        return [
            Claim(
                "start losses of the two styles differ",
                "L_1 / L_2 = 3.6",
                f"{start[0] / start[1]:.3g}",
                True,
            ),
            Claim(
                "without sigma the two improve equally away from gamma = 0.5",
                "at 0.34",
                f"at {measured:.3f}, by the closed form at {told:.3f}",
                abs(measured - 0.5) > 0.01,
            ),
            Claim(
                "the closed form tells that crossing within 0.03",
                "not in the article",
                f"off by {abs(measured - told):.3f}",
                abs(measured - told) <= 0.03,
            ),
            Claim(
                "sigma in closed form balances gamma = 0.5 within 0.15, without a run",
                "not in the article",
                f"|log(RI_1 / RI_2)| = {closed:.3f}",
                closed <= 0.15,
            ),
            Claim(
                "with sigma the two improve equally at gamma = 0.5",
                "with sigma_2 = 1.9",
                f"with sigma_2 = {sigma:.3g}, |log(RI_1 / RI_2)| = {at_half:.3f}",
                at_half <= 0.05,
            ),
            Claim(
                "with sigma RI_1 / RI_2 is symmetric about 0.5",
                "seen in figure 8",
                f"log ratios at gamma and 1 - gamma differ by {skew:.2f} at most, of {height:.2f}",
                skew <= 0.25 * height,
            ),
            Claim(
                "style 1 fades in continuously",
                "seen in figure 9",
                "RI_1 / RI_2 rises at every step of gamma" if fades else "not at every step",
                fades,
            ),
        ]


def closed_form(ratio: float = ARTICLE_RATIO) -> Figure:
    """Draws RI_1 / RI_2 as the closed form has it, for the sigmas that the article tried.

    RI_1 / RI_2 = ratio * (gamma sigma_1 / ((1 - gamma) sigma_2))^2. With the article's ratio of
    start losses, 3.6, it crosses 1 where the article's curves do.

    Args:
        ratio: L_style_1(c) / L_style_2(c).
    """
    figure = _figure(7, 4.5)
    ax = figure.subplots()
    gammas = np.linspace(0.02, 0.98, 97)
    found = {1.0: "0.34", ratio: "0.64", math.sqrt(ratio): "0.5"}
    for sigma, article_found in found.items():
        crossing = mixing.crossing((ratio, 1), (1, sigma))
        label = f"sigma_2 = {sigma:.3g}: 1 at gamma = {crossing:.3f} (article: {article_found})"
        (line,) = ax.plot(gammas, ratio * (gammas / (1 - gammas) / sigma) ** 2, label=label)
        ax.plot(crossing, 1, "o", color=line.get_color())
    ax.axhline(1, color="lightgrey", linewidth=0.8, zorder=0)
    log_axis(ax).set(ylim=(1e-2, 1e2), xlabel="gamma (share of style 1)", ylabel="RI 1 / RI 2")
    ax.legend()
    return figure


def paper(
    photo: Any = None,
    styles: Any = None,
    *,
    gammas: Sequence[float] = GAMMAS,
    alpha_beta: Sequence[float] = ALPHA_BETA,
    folder: str | os.PathLike[str] | None = None,
    size: int = 256,
    recipe: Recipe | str = PAPER,
    steps: int | None = None,
    progress: bool = True,
    **options: Any,
) -> PaperFigures:
    """Makes the runs behind the paper's figures 2 to 6.

    Args:
        photo: The content image; Grace Hopper from matplotlib, if not given.
        styles: Two style images; the package's own, if not given.
        gammas: For figures 5 and 6.
        alpha_beta: For figure 3; the first style alone, as in the paper's section 4.1.
        folder: Where runs are kept, so that they are made once; see `sweep`.
        size: The longest that a long side may be.
        recipe: As in `stylize`.
        steps: How many steps a run takes.
        progress: Show progress on standard error.
        **options: The rest, such as weights and precision, as in `stylize`.

    Returns:
        The runs, which draw themselves.
    """
    photo, styles = _or_ours(photo, styles)
    common = {"size": size, "recipe": recipe, "steps": steps, "progress": progress, **options}
    places = [None if folder is None else Path(folder) / part for part in ("ratio", "gamma")]
    return PaperFigures(
        inputs=_inputs(photo, styles, size),
        ratios=sweep(photo, styles[:1], alpha_beta=alpha_beta, folder=places[0], **common),
        gammas=sweep(photo, styles, gamma=gammas, folder=places[1], **common),
    )


@dataclass(frozen=True, eq=False)
class PaperFigures:
    """The paper's figures 2 to 6 for one photo and two styles.

    Attributes:
        inputs: Figure 2: the photo and the two styles.
        ratios: The runs over alpha / beta.
        gammas: The runs over gamma.
    """

    inputs: Image.Image
    ratios: Sweep
    gammas: Sweep

    def effect_of_alpha_beta(self, *, width: int = 320) -> Image.Image:
        """Figure 3: the effect of alpha / beta."""
        return self.ratios.grid(columns=3, width=width)

    def chosen(self) -> Result:
        """Figure 4: the result at the ratio that the paper chose, 1e-2."""
        return min(self.ratios, key=lambda run: abs(math.log(run.alpha_beta / 1e-2))).result

    def results(self, *, width: int = 320) -> Image.Image:
        """Figure 5: gamma from 0 to 1 at alpha / beta = 1e-2."""
        return self.gammas.grid(columns=_half(self.gammas), width=width)

    def curves(self) -> Figure:
        """Figure 6: r_1 and r_2 over gamma."""
        figure = _figure(7, 4.5)
        self.gammas.plot_loss_ratio(figure.subplots())
        return figure

    def save(self, folder: str | os.PathLike[str]) -> list[Path]:
        """Writes all figures as PNG into a folder, and returns their paths."""
        return _saved(
            folder,
            {
                "paper_2_inputs": self.inputs,
                "paper_3_alpha_beta": self.effect_of_alpha_beta(),
                "paper_4_chosen": Image.fromarray(self.chosen().image),
                "paper_5_results": self.results(),
                "paper_6_curves": self.curves(),
            },
        )

    def claims(self) -> list[Claim]:
        """Returns what the paper claims, and what came out here."""
        content = [run.result.history[-1].losses["content"] for run in self.ratios]
        style = [run.result.loss_ratio[0] for run in self.ratios]
        keeps = bool(np.all(np.diff(content) < 0))
        # Where the content has no say at all yet, the style is matched equally well, give or take.
        loses = bool(np.all(np.divide(style[1:], style[:-1]) > 0.99) and style[-1] > style[0])
        first, second = np.array([run.result.loss_ratio for run in self.gammas]).T
        return [
            Claim(
                "more weight on the content keeps more of it",
                "seen in figure 3",
                f"content loss from {content[0]:.3g} to {content[-1]:.3g}",
                keeps,
            ),
            Claim(
                "and then the style is matched less well",
                "seen in figure 3",
                f"r from {style[0]:.3g} to {style[-1]:.3g}",
                loses,
            ),
            Claim(
                "the first style increasingly shows as gamma grows",
                "seen in figures 5 and 6",
                f"r_1 from {first[0]:.3g} to {first[-1]:.3g}, "
                f"r_2 from {second[0]:.3g} to {second[-1]:.3g}",
                bool(np.all(np.diff(first / second) < 0)),
            ),
        ]


def localized(
    photo: Any = None,
    styles: Any = None,
    *,
    keep: Classes = "person",
    gamma: float = 0.2,
    folder: str | os.PathLike[str] | None = None,
    size: int = 256,
    recipe: Recipe | str = PAPER,
    steps: int | None = None,
    progress: bool = True,
    **options: Any,
) -> LocalizedFigures:
    """Makes the runs behind the paper's figures 7 to 9: people are kept, the rest is painted.

    A function of its own, since it needs mnst[people] and a DeepLab, which the other figures don't.

    Args:
        photo: The content image; Grace Hopper from matplotlib, if not given.
        styles: Two style images; the package's own, if not given.
        keep: What to keep of the photo, as in `stylize`.
        gamma: The paper's, if not given (section 4.3).
        folder: Where runs are kept, so that they are made once; see `sweep`.
        size: The longest that a long side may be.
        recipe: As in `stylize`; the paper's has its ratio alpha / beta, 1e-2.
        steps: How many steps a run takes.
        progress: Show progress on standard error.
        **options: The rest, such as weights and precision, as in `stylize`.

    Returns:
        The runs, which draw themselves.

    Raises:
        ImportError: If mnst[people] isn't installed.
        WeightsError: If VGG19's weights or DeepLab can't be had.
    """
    check_classes(keep)
    photo, styles = _or_ours(photo, styles)
    found = segment(photo, progress=progress)
    mask = found.mask(keep)
    common = {"size": size, "recipe": recipe, "steps": steps, "progress": progress, **options}

    def painted(localize: Localize) -> Result:
        place = None if folder is None else Path(folder) / localize
        made = sweep(
            found.image, styles, gamma=[gamma], mask=mask, localize=localize, folder=place, **common
        )
        return made[0].result

    content = images.to_uint8(images.load_image(found.image, size=size))
    return LocalizedFigures(found, mask, content, painted("composite"), painted("guided"))


@dataclass(frozen=True, eq=False)
class LocalizedFigures:
    """The paper's figures 7 to 9 for one photo and two styles.

    Attributes:
        found: What DeepLab saw in the photo.
        mask: float32 [H, W] of the photo's own size, 1 where it is kept.
        content: The photo in the size that it was painted at.
        composite: The run whose kept pixels were put back at the end, as in the paper.
        guided: The run whose losses know of the mask; not in the paper.
    """

    found: Segmentation
    mask: np.ndarray
    content: np.ndarray
    composite: Result
    guided: Result

    def mask_picture(self) -> Image.Image:
        """Figure 7: the mask that DeepLab gave."""
        return Image.fromarray(np.rint(255 * self.mask).astype(np.uint8)).convert("RGB")

    def kept(self) -> Image.Image:
        """Figure 8: the portion of the photo that is kept, on grey."""
        photo = self.found.image
        return Image.fromarray(composite(photo, np.full_like(photo, 127), self.mask))

    def result(self) -> Image.Image:
        """Figure 9: the kept portion in the painting."""
        return Image.fromarray(self.composite.image)

    def save(self, folder: str | os.PathLike[str]) -> list[Path]:
        """Writes all figures as PNG into a folder, and returns their paths."""
        return _saved(
            folder,
            {
                "paper_7_mask": self.mask_picture(),
                "paper_8_kept": self.kept(),
                "paper_9_localized": self.result(),
                "paper_9_guided": Image.fromarray(self.guided.image),
            },
        )

    def claims(self) -> list[Claim]:
        """Returns what the paper claims, and what came out here."""
        kept = load_mask(self.mask, *self.content.shape[:2])
        same = np.all(self.composite.image == self.content, axis=2)
        unpainted, transferred = _share(same[kept == 1]), _share(~same[kept == 0])
        shares = ", ".join(f"{name} {share:.1%}" for name, share in self.found.classes.items())
        return [
            Claim(
                "DeepLab finds the people in the photo",
                "seen in figure 7",
                shares,
                bool(kept.any()),
            ),
            Claim(
                "the person has not performed the style transfer",
                "seen in figure 9",
                f"{unpainted:.1%} of the pixels inside the edge are the photo's",
                unpainted == 1,
            ),
            Claim(
                "but the background is transferred",
                "seen in figure 9",
                f"{transferred:.1%} of the pixels outside the edge are others",
                transferred > 0.95,
            ),
        ]


def example(photo: Any = None, styles: Any = None, *, gamma: float = 0.4, **options: Any) -> Result:
    """The article's figures 10 and 11: a further example, with sigma in closed form."""
    photo, styles = _or_ours(photo, styles)
    return stylize(photo, styles, gamma=gamma, sigma="auto", **options)


def _saved(folder: str | os.PathLike[str], drawn: dict[str, Image.Image | Figure]) -> list[Path]:
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, drawing in drawn.items():
        paths.append(place / f"{name}.png")
        if isinstance(drawing, Image.Image):
            images.save_image(paths[-1], np.asarray(drawing))
        else:
            drawing.savefig(paths[-1], dpi=120)
    return paths


def _or_ours(photo: Any, styles: Any) -> tuple[Any, Any]:
    if photo is None:
        from matplotlib import cbook

        photo = cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
    return photo, [paintings.swirls(), paintings.glass()] if styles is None else styles


def _inputs(photo: Any, styles: Sequence[Any], size: int) -> Image.Image:
    pictures = [images.load_image(picture, size=size) for picture in (photo, *styles)]
    return Image.fromarray(images.side_by_side([images.to_uint8(p) for p in pictures]))


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _share(of: np.ndarray) -> float:
    """Returns which share of booleans is true; NaN where there are none."""
    return float(np.mean(of)) if of.size else math.nan


def _half(runs: Sweep) -> int:
    return math.ceil(len(runs) / 2)


def _log_ratios(runs: Sweep) -> dict[float, float]:
    """Returns log(RI_1 / RI_2) by gamma."""
    ratios = {}
    for run in runs:
        first, second = run.result.relative_improvement
        ratios[round(run.result.settings["gamma"][0], 6)] = math.log(first / second)
    return ratios


def _crossing(runs: Sweep) -> float:
    """Returns the gamma at which RI_1 = RI_2, between the runs by interpolation."""
    ratios = _log_ratios(runs)
    gammas, values = sorted(ratios), _sorted_by_gamma(ratios)
    # The ratio rises with gamma, but near 0 and 1 the runs stop short; the crossing is one.
    return float(np.interp(0.0, np.maximum.accumulate(values), gammas))


def _asymmetry(runs: Sweep) -> tuple[float, float]:
    """Returns how far log ratios at gamma and 1 - gamma miss each other, and the largest one."""
    ratios = _log_ratios(runs)
    missed = [
        abs(value + ratios[round(1 - gamma, 6)])
        for gamma, value in ratios.items()
        if 0 < gamma < 0.5 and round(1 - gamma, 6) in ratios
    ]
    inner = [abs(value) for gamma, value in ratios.items() if 0 < gamma < 1]
    return max(missed, default=0.0), max(inner, default=0.0)


def _sorted_by_gamma(ratios: dict[float, float]) -> list[float]:
    return [ratios[gamma] for gamma in sorted(ratios)]
