"""The paper's figures, and its people who stay themselves."""

from __future__ import annotations

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
from mnst.sweeping.outcome import Sweep
from mnst.sweeping.sweeps import sweep

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from typing_extensions import Unpack

ALPHA_BETA = tuple(10.0**power for power in range(-4, 2))

_CLAIMS = [
    ("more weight on the content keeps more of it", "seen in figure 3"),
    ("and then the style is matched less well", "seen in figure 3"),
    ("the first style increasingly shows as gamma grows", "seen in figures 5 and 6"),
]
_LOCALIZED_CLAIMS = [
    ("DeepLab finds the people in the photo", "seen in figure 7"),
    ("the person has not performed the style transfer", "seen in figure 9"),
    ("but the background is transferred", "seen in figure 9"),
]


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
        """Returns what the paper claims, and what came out here."""
        content = [run.result.history[-1].losses["content"] for run in self.ratios]
        style = [run.result.loss_ratio[0] for run in self.ratios]
        keeps = np.all(np.diff(content) < 0)
        # Where the content has no say at all yet, the style is matched equally well, give or take.
        loses = np.all(np.divide(style[1:], style[:-1]) > 0.99) and style[-1] > style[0]
        first, second = np.array([run.result.loss_ratio for run in self.gammas]).T
        ratios = f"r_1 from {_ends(first)}, r_2 from {_ends(second)}"
        found = [
            (f"content loss from {_ends(content)}", bool(keeps)),
            (f"r from {_ends(style)}", bool(loses)),
            (ratios, bool(np.all(np.diff(first / second) < 0))),
        ]
        return [Claim(*said, *here) for said, here in zip(_CLAIMS, found, strict=True)]


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
        unpainted, transferred = _share(same[kept == 1]), _share(~same[kept == 0])
        shares = ", ".join(f"{name} {share:.1%}" for name, share in self.found.classes.items())
        found = [
            (shares, bool(kept.any())),
            (f"{unpainted:.1%} of the pixels inside the edge are the photo's", unpainted == 1),
            (f"{transferred:.1%} of the pixels outside the edge are others", transferred > 0.95),
        ]
        return [Claim(*said, *here) for said, here in zip(_LOCALIZED_CLAIMS, found, strict=True)]


def _ends(values: Sequence[float]) -> str:
    return f"{values[0]:.3g} to {values[-1]:.3g}"


def _share(chosen: np.ndarray) -> float:
    """Returns the share of booleans that are true; NaN where there are none."""
    return float(np.mean(chosen)) if chosen.size else math.nan
