"""The paper's figures, and its people who stay themselves."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from mnst import images
from mnst.figures._common import (
    GAMMAS,
    SIZE,
    Claim,
    at_least,
    at_most,
    check_gammas,
    check_numbers,
    in_two_rows,
    input_pictures,
    new_figure,
    save_figures,
    subfolder,
    with_defaults,
)
from mnst.masks import Classes
from mnst.masks.pixels import composite, load_mask
from mnst.masks.segmentation import Segmentation, segment
from mnst.masks.selection import check_classes
from mnst.networks import get_backbone
from mnst.objective.mixing import style_shares
from mnst.painting.options import FigureOptions, Localize, SceneOptions, check_run, check_scene
from mnst.painting.result import Result
from mnst.painting.scene import style_list
from mnst.painting.signatures import defaults, takes
from mnst.painting.transfer import read_start
from mnst.sweeping.outcome import Sweep, SweepRun
from mnst.sweeping.sweeps import sweep

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from typing_extensions import Unpack

ALPHA_BETA = tuple(10.0**power for power in range(-4, 2))


@takes(FigureOptions, size=SIZE, recipe="paper")
def paper(
    photo: Any = None,
    styles: Any = None,
    *,
    gammas: Sequence[float] = GAMMAS,
    alpha_beta: Sequence[float] = ALPHA_BETA,
    folder: str | os.PathLike[str] | None = None,
    **options: Unpack[FigureOptions],
) -> PaperFigures:
    """Makes the runs behind the paper's figures 2 to 6.

    Args:
        photo: The content image; Grace Hopper from matplotlib, if not given.
        styles: Two style images; the package's own, if not given.
        gammas: For figures 5 and 6.
        alpha_beta: For figure 3; the first style alone, as in the paper's section 4.1.
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
    check_gammas(gammas)
    check_numbers("alpha_beta", alpha_beta, lambda ratio: ratio >= 0, "0 or more")
    style_shares(0.0, len(style_list(styles)))
    return PaperFigures(
        ratios=sweep(
            photo,
            style_list(styles)[:1],
            alpha_beta=alpha_beta,
            folder=subfolder(folder, "ratio"),
            **options,
        ),
        gammas=sweep(photo, styles, gamma=gammas, folder=subfolder(folder, "gamma"), **options),
        inputs=input_pictures(photo, styles, options["size"]),
        photo=images.to_uint8(images.load_image(photo, size=options["size"])),
    )


@dataclass(frozen=True, eq=False)
class PaperFigures:
    """The paper's figures 2 to 6 for one photo and two styles.

    Attributes:
        inputs: Figure 2: the photo and the two styles.
        photo: The photo in the size of the runs, uint8 [H, W, 3].
        ratios: The runs over alpha / beta.
        gammas: The runs over gamma.
    """

    inputs: Image.Image
    photo: np.ndarray
    ratios: Sweep
    gammas: Sweep

    def effect_of_alpha_beta(self, *, width: int = 320) -> Image.Image:
        """Figure 3: the effect of alpha / beta."""
        return self.ratios.grid(columns=3, width=width)

    def chosen(self) -> Result:
        """Figure 4: the result at the ratio that the paper chose, 1e-2."""
        return min(self.ratios, key=_from_chosen).result

    def results(self, *, width: int = 320) -> Image.Image:
        """Figure 5: gamma from 0 to 1 at alpha / beta = 1e-2."""
        return in_two_rows(self.gammas, width)

    def curves(self) -> Figure:
        """Figure 6: r_1 and r_2 over gamma."""
        figure = new_figure(7, 4.5)
        self.gammas.plot_loss_ratio(figure.subplots())
        return figure

    def save(self, folder: str | os.PathLike[str]) -> list[Path]:
        """Writes all figures as PNG into a folder, and returns their paths."""
        figures: dict[str, Image.Image | Figure] = {
            "paper_2_inputs": self.inputs,
            "paper_3_alpha_beta": self.effect_of_alpha_beta(),
            "paper_4_chosen": Image.fromarray(self.chosen().image),
            "paper_5_results": self.results(),
            "paper_6_curves": self.curves(),
        }
        return save_figures(folder, figures)

    def claims(self) -> list[Claim]:
        """Returns what the paper claims, and what came out here.

        How much of the photo a picture shows is the correlation of both pictures' edges, in squares
        of 8 pixels.
        """
        runs = sorted(self.ratios, key=lambda run: run.alpha_beta)
        content = [run.result.history[-1].losses["content"] for run in runs]
        style = [run.result.loss_ratio[0] for run in runs]
        shown = [_edges_in_common(run.result.image, self.photo) for run in runs]
        chosen = runs.index(min(runs, key=_from_chosen))
        first, second = np.array([run.result.loss_ratio for run in self.gammas]).T
        return [
            Claim(
                "more weight on the content keeps more of it",
                "paper, fig. 3",
                "seen",
                "the content loss, at most, over that at the ratio before",
                max(_steps(content)),
                at_most(1.0),
            ),
            Claim(
                "and then the style is matched less well",
                "paper, fig. 3",
                "seen",
                # Where the content has no say yet, it is matched equally well, give or take.
                "r, at least, over that at the ratio before",
                min(_steps(style)),
                at_least(0.95),
            ),
            Claim(
                "a strong emphasis on the style hardly shows the content",
                "paper, section 4.1",
                "seen",
                f"edges in common with the photo at {runs[0].alpha_beta:.0e}",
                shown[0],
                at_most(0.3),
            ),
            Claim(
                "with one on the content it is well-preserved",
                "paper, section 4.1",
                "seen",
                f"edges in common with the photo at {runs[-1].alpha_beta:.0e}",
                shown[-1],
                at_least(0.8),
            ),
            Claim(
                "at 1e-2 both are balanced: of the content there is much",
                "paper, fig. 4",
                "well-balanced",
                "edges in common with the photo",
                shown[chosen],
                at_least(0.4),
            ),
            Claim(
                "and of the style",
                "paper, fig. 4",
                "well-balanced",
                "r, of the way from the least to 1, by its logarithm",
                _way(style[chosen], min(style)),
                at_most(0.5),
            ),
            Claim(
                "the first style increasingly shows as gamma grows",
                "paper, figs. 5 and 6",
                "seen",
                "r_1 / r_2, at most, over that at the gamma before",
                max(_steps(first / second)),
                at_most(1.0),
            ),
        ]


@takes(FigureOptions, size=SIZE, recipe="paper")
def localized(
    photo: Any = None,
    styles: Any = None,
    *,
    keep: Classes = "person",
    gamma: float = 0.2,
    folder: str | os.PathLike[str] | None = None,
    **options: Unpack[FigureOptions],
) -> LocalizedFigures:
    """Makes the runs behind the paper's figures 7 to 9: people are kept, the rest is painted.

    A function of its own, since it needs a DeepLab, which the other figures don't.

    Args:
        photo: The content image; Grace Hopper from matplotlib, if not given.
        styles: Two style images; the package's own, if not given.
        keep: What to keep of the photo, as in `stylize`.
        gamma: The paper's, if not given (section 4.3).
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
        WeightsError: If the weights or DeepLab can't be had, or don't fit.
        DivergenceError: If a loss turns NaN or infinite.
    """
    photo, styles = with_defaults(photo, styles)
    subfolder(folder, "composite")
    of_scene: Any = {**defaults(SceneOptions), **options}
    check_run({**options, "gamma": gamma}, len(style_list(styles)), check_scene(of_scene))
    check_classes(keep)
    get_backbone(options["backbone"]).find_weights(options["weights"])
    # Read here for what may be wrong with them: to look for people takes time.
    read_start(options["init"])
    input_pictures(photo, styles, options["size"])
    found = segment(photo, progress=options["progress"])
    mask = found.mask(keep)
    common: dict[str, Any] = {**options, "gamma": [gamma], "mask": mask}

    def painted(localize: Localize) -> Result:
        place = subfolder(folder, localize)
        return sweep(found.image, styles, localize=localize, folder=place, **common)[0].result

    content = images.to_uint8(images.load_image(found.image, size=options["size"]))
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
        figures: dict[str, Image.Image | Figure] = {
            "paper_7_mask": self.mask_picture(),
            "paper_8_kept": self.kept(),
            "paper_9_localized": self.result(),
            "paper_9_guided": Image.fromarray(self.guided.image),
        }
        return save_figures(folder, figures)

    def claims(self) -> list[Claim]:
        """Returns what the paper claims, and what came out here."""
        kept = load_mask(self.mask, *self.content.shape[:2])
        same = np.all(self.composite.image == self.content, axis=2)
        return [
            Claim(
                "DeepLab finds the people in the photo",
                "paper, fig. 7",
                "seen",
                "their share of the photo",
                float(np.mean(self.mask)),
                at_least(0.01),
            ),
            Claim(
                "the person has not performed the style transfer",
                "paper, fig. 9",
                "seen",
                "the share of pixels inside the mask that are the photo's",
                _share(same[kept == 1]),
                (1.0, 1.0),
            ),
            Claim(
                "but the background is transferred",
                "paper, fig. 9",
                "seen",
                "the share of pixels outside the mask that are others",
                _share(~same[kept == 0]),
                at_least(0.95),
            ),
        ]


def _from_chosen(run: SweepRun) -> float:
    """Returns how far a run's ratio is from the one that the paper chose, 1e-2."""
    return abs(math.log(run.alpha_beta / 1e-2)) if run.alpha_beta else math.inf


def _steps(values: Sequence[float]) -> list[float]:
    """Returns by what a value is multiplied from one to the next."""
    return [float(after / before) for before, after in itertools.pairwise(values)]


def _way(ratio: float, least: float) -> float:
    """Returns how far a loss ratio is on the way from the least to 1, by its logarithm."""
    return math.log(ratio / least) / math.log(1 / least) if least != 1 else math.nan


def _edges_in_common(one: np.ndarray, other: np.ndarray) -> float:
    """Returns the correlation of the brightness' gradients of two pictures, uint8 [H, W, 3].

    They are compared in squares of pixels, each of which is one position of the content's layer.
    Pixel by pixel it would be noise that is compared: what a picture began with, and what that
    layer does not see, stays.
    """
    first, second = (np.array(np.gradient(_in_squares(np.mean(of, axis=2)))) for of in (one, other))
    whole = math.sqrt(float(np.sum(first**2) * np.sum(second**2)))
    return float(np.sum(first * second)) / whole if whole else math.nan


def _in_squares(pixels: np.ndarray, side: int = 8) -> np.ndarray:
    """Returns the mean of each square of so many pixels; what is left at the borders is cut off."""
    rows, columns = (length // side for length in pixels.shape)
    squares = pixels[: rows * side, : columns * side].reshape(rows, side, columns, side)
    return np.asarray(np.mean(squares, axis=(1, 3)))


def _share(chosen: np.ndarray) -> float:
    """Returns the share of booleans that are true; NaN where there are none."""
    return float(np.mean(chosen)) if chosen.size else math.nan
