"""What a sweep gives: its runs, as tables, plots and a contact sheet."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageOps

from mnst.images import on_white, write_atomically
from mnst.objective.mixing import style_shares
from mnst.painting.result import Result
from mnst.recipes import Recipe
from mnst.reporting.plots import axes, log_axis
from mnst.reporting.sheets import contact_sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, eq=False)
class SweepRun:
    """One run of a sweep.

    Attributes:
        photo: Which photo, counted from 0.
        gamma: As it was given: a float, a tuple of shares, a picture, a dict of these, or None. Of
            several crossfaders that were crossed, it is the dict of this run's.
        recipe: With its alpha and beta.
        result: The picture, its history and its relative improvement.
        found: True if an earlier sweep had left it in the folder.
    """

    photo: int
    gamma: Any
    recipe: Recipe
    result: Result
    found: bool = False

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
    """

    place: int
    photo: int
    gamma: Any
    recipe: Recipe
    error: str

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
        originals: The photos and the styles by name, such as "photo" and "style 1", uint8
            [H, W, 3] each, for the contact sheet.
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
        pictures = self._pictures()
        return [_row(run, pictures) for run in self._all]

    def save_csv(self, path: str | os.PathLike[str]) -> None:
        """Writes the table as CSV, whole or not at all."""
        rows = self.table()
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, list(dict.fromkeys(key for row in rows for key in row)))
        writer.writeheader()
        writer.writerows(rows)
        write_atomically(path, text.getvalue().encode())

    def save_json(self, path: str | os.PathLike[str]) -> None:
        """Writes the table with every run's settings and history as JSON, whole or not at all."""
        rows = [
            {**row, **_how_it_came_about(run)}
            for row, run in zip(self.table(), self._all, strict=True)
        ]
        write_atomically(path, json.dumps(rows, indent=1).encode())

    def grid(self, *, columns: int | None = None, width: int = 320) -> Image.Image:
        """Returns a contact sheet: the pictures side by side, each under its label.

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
        pictures: dict[SweepRun | SweepFailure, Image.Image] = {
            run: _fitted(run.result, width) for run in self.runs
        }
        height = max(picture.height for picture in pictures.values())
        across = self._across()
        originals = self.originals.items() if across else ()
        columns = columns or across or self._columns()
        cells: list[tuple[str, Image.Image | None]] = [
            (name, ImageOps.contain(Image.fromarray(original), (width, height)))
            for name, original in originals
        ]
        cells += [("", None)] * (-len(cells) % columns)  # the runs begin a row
        runs = zip(self._labels(), self._all, strict=True)
        cells += [(label, pictures.get(run)) for label, run in runs]
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
        styles = {len(run.result.start_losses) for run in self.runs}
        numbers = all(_is_numbers(run.gamma) for run in self.runs)
        if len(scenes) != 1 or styles != {2} or not numbers:
            raise ValueError(
                "this plot is of finished runs of one photo, one recipe and two styles, over gamma "
                "as one number"
            )
        gammas = [run.result.settings["gamma"][0] for run in self.runs]
        return gammas, np.array([value(run.result) for run in self.runs])

    @property
    def _all(self) -> list[SweepRun | SweepFailure]:
        """The runs, with those that failed in their places."""
        together: list[SweepRun | SweepFailure] = [*self.runs]
        for failure in self.failures:
            together.insert(failure.place, failure)
        return together

    def _columns(self) -> int:
        first, count = self._all[0], len(self._all)
        row = [run for run in self._all if (run.photo, run.recipe) == (first.photo, first.recipe)]
        return len(row) if 1 < len(row) < count else math.ceil(math.sqrt(count))

    def _pictures(self) -> dict[int, str]:
        """Returns what to call the pictures among gammas, by their identity: files, or counted."""
        each = (of for run in self._all for of in _by_column(run.gamma).values())
        pictures = {id(of): of for of in each if not _is_numbers(of)}
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
            tuple(each if _is_numbers(each) else id(each) for each in gamma.values())
            for gamma in gammas
        }
        first, second = (set(values) for values in zip(*pairs, strict=True))
        return len(first) if len(pairs) == len(first) * len(second) else None

    def _labels(self) -> list[str]:
        """Names what differs between the runs, for each of them."""
        pictures = self._pictures()
        gammas = [gamma_in_words(run.gamma, lambda of: pictures[id(of)]) for run in self._all]
        parts = [
            [f"photo {run.photo + 1}" for run in self._all],
            [run.recipe.name for run in self._all],
            [f"alpha/beta {run.alpha_beta:.3g}" for run in self._all],
            gammas,
        ]
        differing = [each for each in parts if len({*each}) > 1] or [gammas]
        return ["  ".join(of_run) for of_run in zip(*differing, strict=True)]


def alpha_beta(recipe: Recipe) -> float:
    """Returns the ratio alpha / beta; inf where beta is 0."""
    return recipe.alpha / recipe.beta if recipe.beta else math.inf


def gamma_in_words(gamma: Any, picture: Callable[[Any], str]) -> str:
    """Says a gamma in few words; `picture` says those that are pictures.

    Example:
        >>> from mnst.painting.sweep_result import gamma_in_words
        >>> gamma_in_words({"colour": 0.25, "form": (0.0, 1.0)}, str)
        'colour 0.25, form 0, 1'
        >>> gamma_in_words("ramp.png", str)
        'gamma ramp.png'
    """

    def said(of: Any) -> str:
        if not _is_numbers(of):
            return picture(of)
        return ", ".join(f"{share:.3g}" for share in as_shares(of)) or "equal"

    named = gamma if isinstance(gamma, Mapping) else {"gamma": gamma}
    return ", ".join(f"{name} {said(each)}" for name, each in named.items())


def as_shares(gamma: float | tuple[float, ...] | None) -> tuple[float, ...]:
    """Returns a gamma as shares: none, for equal ones."""
    if gamma is None:
        return ()
    return gamma if isinstance(gamma, tuple) else (gamma,)


def _by_column(gamma: Any) -> dict[str, Any]:
    """Returns the crossfaders of a gamma, by the beginnings of their columns in a table."""
    if isinstance(gamma, Mapping):
        return {f"gamma_{name}": each for name, each in gamma.items()}
    return {"gamma": gamma}


def _is_numbers(gamma: Any) -> bool:
    numbers = gamma if isinstance(gamma, tuple) else (gamma,)
    return gamma is None or all(isinstance(number, float) for number in numbers)


def history_rows(result: Result) -> list[dict[str, Any]]:
    """Returns a run's history as plain values that JSON can hold."""
    names = ("step", "losses", "learning_rate", "seconds", "size")
    return [{name: getattr(record, name) for name in names} for record in result.history]


def _how_it_came_about(run: SweepRun | SweepFailure) -> dict[str, Any]:
    if isinstance(run, SweepFailure):
        return {}
    return {"settings": run.result.settings, "history": history_rows(run.result)}


def _row(run: SweepRun | SweepFailure, pictures: Mapping[int, str]) -> dict[str, Any]:
    row: dict[str, Any] = {
        "photo": run.photo + 1,
        "recipe": run.recipe.name,
        "alpha_beta": run.alpha_beta,
    }
    if isinstance(run, SweepFailure):
        return {**row, **_gamma_columns(run.gamma, pictures, as_shares), "error": run.error}
    result = run.result
    last = result.history[-1]
    styles = len(result.start_losses)
    row |= {
        **_gamma_columns(run.gamma, pictures, lambda gamma: style_shares(gamma, styles)),
        "steps": last.step,
        "seconds": round(last.seconds, 3),
        **{f"{name}_loss": value for name, value in last.losses.items()},
    }
    row |= _sigma_columns(result.settings["sigma"])
    for k, start in enumerate(result.start_losses):
        row |= {
            f"start_loss_{k + 1}": start,
            f"final_loss_{k + 1}": result.final_losses[k],
            f"relative_improvement_{k + 1}": result.relative_improvement[k],
        }
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
        if _is_numbers(each):
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
