"""What a sweep gives: its runs, as tables, plots and a contact sheet."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mnst.images import on_white, write_atomically
from mnst.painting.result import Result
from mnst.recipes import Recipe
from mnst.reporting.plots import axes, log_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, eq=False)
class SweepRun:
    """One run of a sweep.

    Attributes:
        photo: Which photo, counted from 0.
        gamma: As it was given.
        recipe: With its alpha and beta.
        result: The picture, its history and its relative improvement.
        found: True if an earlier sweep had left it in the folder.
    """

    photo: int
    gamma: float | tuple[float, ...] | None
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
        photo: As in `SweepRun`, and so are gamma and recipe.
        gamma: As it was given.
        recipe: With its alpha and beta.
        error: What it failed with, in one line.
    """

    place: int
    photo: int
    gamma: float | tuple[float, ...] | None
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
    """

    runs: tuple[SweepRun, ...]
    completed: bool = True
    failures: tuple[SweepFailure, ...] = ()

    def __len__(self) -> int:
        return len(self.runs)

    def __iter__(self) -> Iterator[SweepRun]:
        return iter(self.runs)

    def __getitem__(self, index: int) -> SweepRun:
        return self.runs[index]

    def table(self) -> list[dict[str, Any]]:
        """Returns a row of plain numbers for every run; one that failed has its error instead."""
        return [_row(run) for run in self._all]

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
        rows = [{**_row(run), **_how_it_came_about(run)} for run in self._all]
        write_atomically(path, json.dumps(rows, indent=1).encode())

    def grid(self, *, columns: int | None = None, width: int = 320) -> Image.Image:
        """Returns a contact sheet: the pictures side by side, each under its label.

        Args:
            columns: How many a row; a row for each photo, recipe and alpha/beta, if not given,
                or about as many columns as rows where only one thing was swept over.
            width: Of a picture on the sheet, in pixels.

        Raises:
            ValueError: If no run was finished.
        """
        if not self.runs:
            raise ValueError("the sweep has no finished run: there is nothing to show")
        pictures = {run: _fitted(run.result, width) for run in self.runs}
        columns = columns or self._columns()
        height = max(picture.height for picture in pictures.values())
        line = max(14, width // 14)
        font = ImageFont.load_default(line * 0.8)
        gap = line // 2
        rows = math.ceil(len(self._all) / columns)
        size = (columns * (width + gap) + gap, rows * (height + line + gap) + gap)
        sheet = Image.new("RGB", size, "white")
        draw = ImageDraw.Draw(sheet)
        for place, run in enumerate(self._all):
            x = gap + place % columns * (width + gap)
            y = gap + place // columns * (height + line + gap)
            draw.text((x, y), self._label(run), fill="black", font=font)
            if isinstance(run, SweepRun):
                sheet.paste(pictures[run], (x, y + line))
            else:
                draw.text((x, y + 2 * line), "failed", fill="red", font=font)
        return sheet

    def plot_relative_improvement(self, ax: Axes | None = None) -> Axes:
        """Draws RI_k over gamma, and RI_1 / RI_2 as a grey dotted line (article, fig. 6 and 8).

        Args:
            ax: Matplotlib axes to draw on; a new figure, if not given.

        Raises:
            ValueError: If the sweep is not over gamma, with two styles.
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
        gammas = [run.result.settings["gamma"][0] for run in self.runs]
        scenes = {(run.photo, run.recipe) for run in self.runs}
        styles = {len(run.result.start_losses) for run in self.runs}
        if len(scenes) != 1 or styles != {2}:
            raise ValueError(
                "this plot is of finished runs of one photo, one recipe and two styles, over gamma"
            )
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

    def _label(self, run: SweepRun | SweepFailure) -> str:
        """Names what differs between the runs."""
        parts: dict[str, list[Any]] = {
            "photo {}": [r.photo + 1 for r in self._all],
            "{}": [r.recipe.name for r in self._all],
            "alpha/beta {:.3g}": [r.alpha_beta for r in self._all],
            "gamma {}": [", ".join(f"{g:.3g}" for g in as_shares(r.gamma)) for r in self._all],
        }
        at = self._all.index(run)
        differing = [
            form.format(values[at]) for form, values in parts.items() if len({*values}) > 1
        ]
        return "  ".join(differing) or parts["gamma {}"][at]


def alpha_beta(recipe: Recipe) -> float:
    """Returns the ratio alpha / beta; inf where beta is 0."""
    return recipe.alpha / recipe.beta if recipe.beta else math.inf


def as_shares(gamma: float | tuple[float, ...] | None) -> tuple[float, ...]:
    """Returns a gamma as shares: none, for equal ones."""
    if gamma is None:
        return ()
    return gamma if isinstance(gamma, tuple) else (gamma,)


def history_rows(result: Result) -> list[dict[str, Any]]:
    """Returns a run's history as plain values that JSON can hold."""
    names = ("step", "losses", "learning_rate", "seconds", "size")
    return [{name: getattr(record, name) for name in names} for record in result.history]


def _how_it_came_about(run: SweepRun | SweepFailure) -> dict[str, Any]:
    if isinstance(run, SweepFailure):
        return {}
    return {"settings": run.result.settings, "history": history_rows(run.result)}


def _row(run: SweepRun | SweepFailure) -> dict[str, Any]:
    row: dict[str, Any] = {
        "photo": run.photo + 1,
        "recipe": run.recipe.name,
        "alpha_beta": run.alpha_beta,
    }
    if isinstance(run, SweepFailure):
        shares = enumerate(as_shares(run.gamma), start=1)
        return {**row, **{f"gamma_{k}": share for k, share in shares}, "error": run.error}
    result = run.result
    last = result.history[-1]
    row |= {
        "steps": last.step,
        "seconds": round(last.seconds, 3),
        **{f"{name}_loss": value for name, value in last.losses.items()},
    }
    for k, start in enumerate(result.start_losses):
        row |= {
            f"gamma_{k + 1}": result.settings["gamma"][k],
            f"sigma_{k + 1}": result.settings["sigma"][k],
            f"start_loss_{k + 1}": start,
            f"final_loss_{k + 1}": result.final_losses[k],
            f"relative_improvement_{k + 1}": result.relative_improvement[k],
        }
    return row


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
