"""What a sweep gives: its runs, as tables, plots and a contact sheet."""

from __future__ import annotations

import codecs
import csv
import functools
import itertools
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageOps

from mnst.images import on_white, replacing
from mnst.objective.mixing import relative_improvement, style_shares
from mnst.painting.gammas import as_shares, gamma_in_words, is_numbers
from mnst.painting.result import Result
from mnst.recipes import Recipe
from mnst.reporting.plots import axes, log_axis
from mnst.reporting.sheets import contact_sheet
from mnst.sweeping.folder import KeptRun, record_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ON_A_SHEET = 100
"""How many runs a contact sheet shows at the most: the first ones."""


@dataclass(frozen=True, eq=False)
class SweepRun:
    """One run of a sweep.

    Attributes:
        photo: Which photo, counted from 0.
        gamma: As it was given: a float, a tuple of shares, a picture, a dict of these, or None. Of
            several crossfaders that were crossed, it is the dict of this run's.
        recipe: With its alpha and beta.
        outcome: What came out of it, or where that is kept.
        name: What the photo's file is called, without its ending; "photo", if it is none.
        found: True if it was in the folder before its turn came.
    """

    photo: int
    gamma: Any
    recipe: Recipe
    outcome: Result | KeptRun
    name: str = "photo"
    found: bool = False

    @property
    def result(self) -> Result:
        """The picture, its history and its relative improvement; in a folder, they are read.

        Raises:
            OSError: If its files are gone.
            ValueError: If they are damaged.
        """
        return self.outcome if isinstance(self.outcome, Result) else self.outcome.result()

    def numbers(self) -> dict[str, Any]:
        """Returns its settings, start losses and history as plain values, without the picture."""
        kept = self.outcome
        return record_of(kept) if isinstance(kept, Result) else kept.numbers()

    @property
    def alpha_beta(self) -> float:
        """The ratio alpha / beta."""
        return alpha_beta(self.recipe)


@dataclass(frozen=True, eq=False)
class SweepFailure:
    """A run of a sweep that failed, such as by divergence.

    Attributes:
        place: Which of all runs that were asked for, counted from 0.
        photo: As in `SweepRun`.
        gamma: As in `SweepRun`.
        recipe: With its alpha and beta.
        error: What it failed with, in one line.
        name: As in `SweepRun`.
    """

    place: int
    photo: int
    gamma: Any
    recipe: Recipe
    error: str
    name: str = "photo"

    @property
    def alpha_beta(self) -> float:
        """The ratio alpha / beta."""
        return alpha_beta(self.recipe)


@dataclass(frozen=True, eq=False)
class Sweep:
    """The runs of a sweep, in the order in which they were asked for: photos, recipes,
    alpha_beta, gammas, the last ones fastest.

    Attributes:
        runs: One `SweepRun` each.
        completed: False if the sweep was ended early; it then has the runs that were finished,
            which may be none.
        failures: One `SweepFailure` for each run that failed. Tables and the contact sheet have
            them in their places.
        originals: Where two crossfaders were crossed, the photos and the styles that stand above
            them on the contact sheet, by name, such as "photo" and "style 1": uint8 [H, W, 3] each.
    """

    runs: tuple[SweepRun, ...]
    completed: bool = True
    failures: tuple[SweepFailure, ...] = ()
    originals: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.runs)

    def __iter__(self) -> Iterator[SweepRun]:
        return iter(self.runs)

    def __getitem__(self, index: int) -> SweepRun:
        return self.runs[index]

    def table(self) -> list[dict[str, Any]]:
        """Returns a row of plain numbers for every run; one that failed has its error instead.

        Shares are `gamma_1` and so on; those of several crossfaders `gamma_colour_1`,
        `gamma_form_1`. Of a gamma that is a picture there is its name, as `gamma`.
        """
        return [*self._rows()]

    def save_csv(self, path: str | os.PathLike[str]) -> None:
        """Writes the table as CSV, whole or not at all."""
        columns = dict.fromkeys(key for row in self._rows() for key in row)
        with replacing(path) as file:
            writer = csv.DictWriter(codecs.getwriter("utf-8")(file), [*columns])
            writer.writeheader()
            writer.writerows(self._rows())

    def save_json(self, path: str | os.PathLike[str]) -> None:
        """Writes the table with every run's settings and history as JSON, whole or not at all."""
        with replacing(path) as file:
            for place, row in enumerate(self._rows(detailed=True)):
                before = ",\n" if place else "[\n"
                file.write((before + json.dumps(row, indent=1)).encode())
            file.write(b"\n]" if self._all else b"[]")

    def _rows(self, *, detailed: bool = False) -> Iterator[dict[str, Any]]:
        """Yields the table's rows; in detail they have settings and history, too."""
        pictures = self._pictures()
        for run in self._all:
            yield _row(run, pictures, detailed)

    def grid(self, *, columns: int | None = None, width: int = 320) -> Image.Image:
        """Returns a contact sheet: the pictures side by side, each under its label.

        Of more than a hundred runs it has the first hundred.

        Where two crossfaders were crossed, such as colour and form, the first is over the columns
        and the second over the rows, with the photo and the styles above.

        Args:
            columns: How many a row; a row for each photo, recipe and alpha/beta, if not given,
                or about as many columns as rows where only one thing was swept over.
            width: Of a picture on the sheet, in pixels.

        Raises:
            ValueError: If no run was finished.
        """
        if not self.runs:
            raise ValueError("the sweep has no finished run: there is nothing to show")
        shown = self._all[:ON_A_SHEET]
        pictures: dict[SweepRun | SweepFailure, Image.Image] = {
            run: _fitted(run.result, width) for run in shown if isinstance(run, SweepRun)
        }
        height = max((picture.height for picture in pictures.values()), default=width)
        across = self._across()
        originals = self.originals.items() if across else ()
        columns = columns or across or self._columns()
        cells: list[tuple[str, Image.Image | None]] = [
            (name, ImageOps.contain(Image.fromarray(original), (width, height)))
            for name, original in originals
        ]
        cells += [("", None)] * (-len(cells) % columns)  # the runs begin a row
        cells += [
            (label, pictures.get(run))
            for label, run in zip(self._labels(shown), shown, strict=True)
        ]
        return contact_sheet(cells, columns=columns, width=width)

    def plot_relative_improvement(self, ax: Axes | None = None) -> Axes:
        """Draws RI_k over gamma, and RI_1 / RI_2 as a grey dotted line (article, fig. 6 and 8).

        Args:
            ax: Matplotlib axes to draw on; a new figure, if not given.

        Raises:
            ValueError: If the sweep is not over gamma as a number, with two styles.
        """
        gammas, values = self._over_gamma(lambda result: result.relative_improvement)
        ax = _plotted(ax, gammas, values, "RI")
        ratio = values[:, 0] / values[:, 1]
        ax.plot(gammas, ratio, color="grey", linestyle=":", marker=".", label="RI 1 / RI 2")
        ax.axhline(1, color="lightgrey", linewidth=0.8, zorder=0)
        ax.set(ylabel="relative improvement RI (start loss / final loss)")
        ax.legend()
        return ax

    def plot_loss_ratio(self, ax: Axes | None = None) -> Axes:
        """Draws r_k over gamma (paper, fig. 6); arguments and errors as above."""
        gammas, values = self._over_gamma(lambda result: result.loss_ratio)
        ax = _plotted(ax, gammas, values, "r")
        ax.set(ylabel="loss ratio r (final loss / start loss)")
        ax.legend()
        return ax

    def _over_gamma(
        self, value: Callable[[Result], tuple[float, ...]]
    ) -> tuple[list[float], np.ndarray]:
        scenes = {(run.photo, run.recipe) for run in self.runs}
        numbers = all(is_numbers(run.gamma) for run in self.runs)
        results = [run.result for run in self.runs] if len(scenes) == 1 and numbers else []
        if {len(result.start_losses) for result in results} != {2}:
            raise ValueError(
                "this plot is of finished runs of one photo, one recipe and two styles, over gamma "
                "as one number"
            )
        gammas = [result.settings["gamma"][0] for result in results]
        return gammas, np.array([value(result) for result in results])

    @functools.cached_property
    def _all(self) -> list[SweepRun | SweepFailure]:
        """The runs, with those that failed in their places."""
        together: list[SweepRun | SweepFailure] = []
        runs = iter(self.runs)
        for failure in self.failures:
            together += itertools.islice(runs, failure.place - len(together))
            together.append(failure)
        return [*together, *runs]

    def _columns(self) -> int:
        first, count = self._all[0], len(self._all)
        row = [run for run in self._all if (run.photo, run.recipe) == (first.photo, first.recipe)]
        shown = min(count, ON_A_SHEET)
        return len(row) if 1 < len(row) < count else math.ceil(math.sqrt(shown))

    def _pictures(self) -> dict[int, str]:
        """Returns what to call the pictures among gammas, by their identity: files, or counted."""
        each = (of for run in self._all for of in _by_column(run.gamma).values())
        pictures = {id(of): of for of in each if not is_numbers(of)}
        return {
            key: Path(of).name if isinstance(of, (str, os.PathLike)) else f"picture {k}"
            for k, (key, of) in enumerate(pictures.items(), start=1)
        }

    def _across(self) -> int | None:
        """Returns how many gammas the first of two crossfaders has, if they were crossed."""
        gammas = [run.gamma for run in self._all]
        names = {tuple(gamma) if isinstance(gamma, Mapping) else () for gamma in gammas}
        if len(names) != 1 or len(names.pop()) != 2:
            return None
        pairs = {
            tuple(each if is_numbers(each) else id(each) for each in gamma.values())
            for gamma in gammas
        }
        first, second = (set(values) for values in zip(*pairs, strict=True))
        return len(first) if len(pairs) == len(first) * len(second) else None

    def _labels(self, runs: Sequence[SweepRun | SweepFailure]) -> list[str]:
        """Names what differs between some runs, for each of them."""
        pictures = self._pictures()
        gammas = [gamma_in_words(run.gamma, lambda of: pictures[id(of)]) for run in runs]
        parts = [
            [f"{run.name} {run.photo + 1}" for run in runs],
            [run.recipe.name for run in runs],
            [f"alpha/beta {run.alpha_beta:.3g}" for run in runs],
            gammas,
        ]
        differing = [each for each in parts if len({*each}) > 1] or [gammas]
        return ["  ".join(of_run) for of_run in zip(*differing, strict=True)]


def alpha_beta(recipe: Recipe) -> float:
    """Returns the ratio alpha / beta; inf where beta is 0."""
    return recipe.alpha / recipe.beta if recipe.beta else math.inf


def _by_column(gamma: Any) -> dict[str, Any]:
    """Returns the crossfaders of a gamma, by the beginnings of their columns in a table."""
    if isinstance(gamma, Mapping):
        return {f"gamma_{name}": each for name, each in gamma.items()}
    return {"gamma": gamma}


def _row(
    run: SweepRun | SweepFailure, pictures: Mapping[int, str], detailed: bool
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "photo": run.photo + 1,
        "name": run.name,
        "recipe": run.recipe.name,
        "alpha_beta": run.alpha_beta,
    }
    if isinstance(run, SweepFailure):
        return {**row, **_gamma_columns(run.gamma, pictures, as_shares), "error": run.error}
    numbers = run.numbers()
    last, starts = numbers["history"][-1], numbers["start_losses"]
    row |= {
        **_gamma_columns(run.gamma, pictures, lambda gamma: style_shares(gamma, len(starts))),
        "steps": last["step"],
        "seconds": round(last["seconds"], 3),
        **{f"{name}_loss": value for name, value in last["losses"].items()},
    }
    row |= _sigma_columns(numbers["settings"]["sigma"])
    finals = [last["losses"][f"style_{k}"] for k in range(1, len(starts) + 1)]
    improved = relative_improvement(starts, finals)
    each = zip(starts, finals, improved, strict=True)
    for k, (start, final, improvement) in enumerate(each, start=1):
        row |= {
            f"start_loss_{k}": start,
            f"final_loss_{k}": final,
            f"relative_improvement_{k}": improvement,
        }
    if detailed:
        row |= {name: numbers[name] for name in ("settings", "history")}
    return row


def _sigma_columns(sigma: Any) -> dict[str, Any]:
    """Returns the sigma of each style; by the names of layers or groups, where it has some."""
    named = (
        {f"_{name}": of for name, of in sigma.items()} if isinstance(sigma, dict) else {"": sigma}
    )
    return {
        f"sigma{name}_{k}": value
        for name, of in named.items()
        for k, value in enumerate(np.transpose(of).tolist(), start=1)
    }


def _gamma_columns(
    gamma: Any, pictures: Mapping[int, str], shares: Callable[[Any], tuple[float, ...]]
) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for name, each in _by_column(gamma).items():
        if is_numbers(each):
            columns |= {f"{name}_{k}": share for k, share in enumerate(shares(each), start=1)}
        else:
            columns[name] = pictures[id(each)]
    return columns


def _fitted(result: Result, width: int) -> Image.Image:
    picture = Image.fromarray(on_white(result.image, result.alpha))
    height = max(1, round(picture.height * width / picture.width))
    return picture.resize((width, height), Image.Resampling.LANCZOS)


def _plotted(ax: Axes | None, gammas: Sequence[float], values: np.ndarray, name: str) -> Axes:
    """Draws a line per style over gamma, on a log axis."""
    ax = axes(ax)
    for k, line in enumerate(values.T, start=1):
        ax.plot(gammas, line, marker="o", label=f"{name} {k}")
    ax.set(xlabel="gamma (share of style 1)")
    return log_axis(ax)
