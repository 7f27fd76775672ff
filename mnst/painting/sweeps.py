"""Many runs: over gamma, over alpha/beta, over recipes and photos, resumed where they broke off."""

from __future__ import annotations

import csv
import hashlib
import io
import itertools
import json
import math
import multiprocessing
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mnst import __version__, images
from mnst.images import sha256
from mnst.masks.segmentation import Classes, find_mask, load_mask
from mnst.networks.weights import fetch_weights, find_weights
from mnst.objective.regions import paint_regions
from mnst.painting.transfer import (
    Localize,
    Result,
    StyleTransfer,
    check_masks,
    check_options,
    read_start,
    style_list,
)
from mnst.recipes import ARTICLE, Recipe
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
        return self.recipe.alpha / self.recipe.beta if self.recipe.beta else math.inf


@dataclass(frozen=True, eq=False)
class Sweep:
    """The runs of a sweep, in the order in which they were asked for: photos, recipes,
    alpha_beta, gammas, the last ones fastest.

    Attributes:
        runs: One `SweepRun` each.
        completed: False if the sweep was interrupted; it then has the runs that were finished.
    """

    runs: tuple[SweepRun, ...]
    completed: bool = True

    def __len__(self) -> int:
        return len(self.runs)

    def __iter__(self) -> Iterator[SweepRun]:
        return iter(self.runs)

    def __getitem__(self, index: int) -> SweepRun:
        return self.runs[index]

    def table(self) -> list[dict[str, Any]]:
        """Returns a row of plain numbers for every run."""
        return [_row(run) for run in self.runs]

    def save_csv(self, path: str | os.PathLike[str]) -> None:
        """Writes the table as CSV, whole or not at all."""
        rows = self.table()
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, list(dict.fromkeys(key for row in rows for key in row)))
        writer.writeheader()
        writer.writerows(rows)
        images.write_atomically(Path(path), text.getvalue().encode())

    def save_json(self, path: str | os.PathLike[str]) -> None:
        """Writes the table with every run's settings and history as JSON, whole or not at all."""
        rows = [
            {**row, "settings": run.result.settings, "history": _history(run.result)}
            for row, run in zip(self.table(), self.runs, strict=True)
        ]
        images.write_atomically(Path(path), json.dumps(rows, indent=1).encode())

    def grid(self, *, columns: int | None = None, width: int = 320) -> Image.Image:
        """Returns a contact sheet: the pictures side by side, each under its label.

        Args:
            columns: How many a row; a row for each photo, recipe and alpha/beta, if not given,
                or about as many columns as rows where only one thing was swept over.
            width: Of a picture on the sheet, in pixels.
        """
        pictures = [_fitted(run.result.image, width) for run in self.runs]
        columns = columns or self._columns()
        height = max(picture.height for picture in pictures)
        line = max(14, width // 14)
        font = ImageFont.load_default(line * 0.8)
        gap = line // 2
        rows = math.ceil(len(pictures) / columns)
        size = (columns * (width + gap) + gap, rows * (height + line + gap) + gap)
        sheet = Image.new("RGB", size, "white")
        draw = ImageDraw.Draw(sheet)
        for place, (run, picture) in enumerate(zip(self.runs, pictures, strict=True)):
            x = gap + place % columns * (width + gap)
            y = gap + place // columns * (height + line + gap)
            draw.text((x, y), self._label(run), fill="black", font=font)
            sheet.paste(picture, (x, y + line))
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
            raise ValueError("this plot is of one photo, one recipe and two styles, over gamma")
        return gammas, np.array([value(run.result) for run in self.runs])

    def _columns(self) -> int:
        first = self.runs[0]
        row = [run for run in self.runs if (run.photo, run.recipe) == (first.photo, first.recipe)]
        if 1 < len(row) < len(self.runs):
            return len(row)
        return math.ceil(math.sqrt(len(self.runs)))

    def _label(self, run: SweepRun) -> str:
        """Names what differs between the runs."""
        parts: dict[str, list[Any]] = {
            "photo {}": [r.photo + 1 for r in self.runs],
            "{}": [r.recipe.name for r in self.runs],
            "alpha/beta {:.3g}": [r.alpha_beta for r in self.runs],
            "gamma {}": [", ".join(f"{g:.3g}" for g in _as_tuple(r.gamma)) for r in self.runs],
        }
        at = self.runs.index(run)
        told = [form.format(values[at]) for form, values in parts.items() if len({*values}) > 1]
        return "  ".join(told) or parts["gamma {}"][at]


@dataclass(frozen=True)
class _Task:
    """One run as plain data: it can be sent to another process."""

    photo: int
    content: np.ndarray
    styles: list[np.ndarray]
    recipe: Recipe
    gamma: float | tuple[float, ...] | None
    scene: dict[str, Any]  # options of StyleTransfer
    run: dict[str, Any]  # options of its run
    scene_key: str  # tells pictures and options of the scene from all others
    key: str  # tells the run from all others

    @property
    def stem(self) -> str:
        """The name of its files: what people look for, and what tells it from all others."""
        shares = "-".join(f"{share:.3g}" for share in _as_tuple(self.gamma)) or "equal"
        weights = f"alpha{self.recipe.alpha:.3g}-beta{self.recipe.beta:.3g}"
        name = f"{self.photo + 1}-{self.recipe.name}-{weights}-gamma{shares}"
        return re.sub(r"[^\w.-]", "_", name) + "-" + self.key[:12]


class _Painter:
    """Runs tasks, and keeps what the next one may share: network, features, compiled step."""

    def __init__(self) -> None:
        self._scene_key = ""
        self._transfer: StyleTransfer | None = None

    def __call__(self, task: _Task, *, progress: bool = False) -> Result:
        transfer = self._transfer
        if (
            transfer is None
            or task.scene_key != self._scene_key
            or not task.recipe.shares_a_trainer_with(transfer.recipe)
        ):
            self._transfer = transfer = None  # makes room first
            transfer = StyleTransfer(task.content, task.styles, recipe=task.recipe, **task.scene)
            self._transfer, self._scene_key = transfer, task.scene_key
        return transfer.run(gamma=task.gamma, recipe=task.recipe, progress=progress, **task.run)


_WORKERS = threading.local()


def _work(task: _Task) -> Result:
    """Runs a task in an executor's thread or process; each of them keeps a painter."""
    if not hasattr(_WORKERS, "painter"):
        _WORKERS.painter = _Painter()
    result: Result = _WORKERS.painter(task)
    return result


def sweep(
    photo: Any,
    styles: Any,
    *,
    gamma: Sequence[Any] | None = None,
    alpha_beta: Sequence[float] | None = None,
    sigma: Sequence[float] | Literal["auto"] | None = None,
    recipe: Recipe | str | Sequence[Recipe | str] = ARTICLE,
    steps: int | None = None,
    size: int = 512,
    init: Any = None,
    seed: int = 0,
    keep: Classes | None = None,
    only: Classes | None = None,
    mask: Any = None,
    localize: Localize = "guided",
    backbone: str = "auto",
    weights: str | os.PathLike[str] | None = None,
    precision: str = "auto",
    memory: int | str | None = None,
    folder: str | os.PathLike[str] | None = None,
    executor: Executor | None = None,
    progress: bool = True,
) -> Sweep:
    """Paints every combination of photos, recipes, ratios alpha/beta and gammas.

    What runs share is done once: reading the pictures, the network, the content's features, the
    styles' Gram matrices, the compiled step. (With an executor, once in each of its workers.)

    Args:
        photo: A content image, as in `stylize`, or a list of them.
        styles: The style images, the same for all runs.
        gamma: A list of what `stylize` takes: numbers for two styles, sequences of shares for
            more. None is one run with equal shares.
        alpha_beta: A list of ratios alpha / beta. beta stays as the recipe has it.
        sigma: As in `stylize`; the same for all runs.
        recipe: A recipe or a list of them.
        steps: How many steps every run takes; None is what its recipe says.
        size: As in `stylize`; so are the options that follow.
        init: What to start from.
        seed: Of the noise.
        keep: Classes to keep of each photo.
        only: Classes to paint in each photo, and nothing else.
        mask: What to keep; the same for all photos, in the proportions of each.
        localize: How.
        backbone: Which network measures.
        weights: Path of its weights.
        precision: What it computes in.
        memory: What it may take.
        folder: Where to keep every run as soon as it is finished: its picture, and its history as
            JSON. A sweep that finds a run there does not do it again; one that was not written
            whole, it does. At the end, sweep.csv, sweep.json and the contact sheet grid.png are
            written there, too.
        executor: Any `concurrent.futures.Executor`. What comes out and its order do not depend on
            it. Processes must be spawned, not forked, once TensorFlow is loaded:
            `ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn"))`.
        progress: Show progress on standard error.

    Returns:
        The runs, in order.

    Raises:
        ValueError: If an option is out of range, or the executor would fork TensorFlow.
        OSError: If a picture can't be read, or the folder not be written to.

    Example:
        >>> sweep = mnst.sweep(
        ...     "photo.jpg", ["a.jpg", "b.jpg"], gamma=[0, 0.25, 0.5, 0.75, 1], folder="out"
        ... )  # doctest: +SKIP
        >>> sweep.grid().save("sheet.jpg")  # doctest: +SKIP
        >>> sweep.plot_relative_improvement()  # doctest: +SKIP
    """
    _check_executor(executor)
    check_masks(keep, only, mask, None, localize)
    scene = {
        "size": size,
        "localize": localize,
        "backbone": backbone,
        "weights": weights,
        "precision": precision,
        "memory": memory,
    }
    kept = {"keep": keep, "only": only, "mask": mask}
    run = {"sigma": sigma, "init": init, "seed": seed}
    recipes = _recipes(styles, recipe, alpha_beta, steps, gamma, sigma, seed)
    tasks = _tasks(photo, styles, recipes, gamma, scene, kept, run)
    if not tasks:
        raise ValueError("nothing to run: the list of photos, recipes, ratios or gammas is empty")
    place = None if folder is None else Path(folder)
    found = {} if place is None else _found(place, tasks)
    if progress and found:
        print(f"{len(found)} of {len(tasks)} runs are in {place} already", file=sys.stderr)
    todo = {index: task for index, task in enumerate(tasks) if index not in found}
    painted, completed = _painted(todo, place, executor, progress)
    if not (found or painted):
        raise KeyboardInterrupt
    results = found | painted
    runs = tuple(
        SweepRun(task.photo, task.gamma, task.recipe, results[index], found=index in found)
        for index, task in enumerate(tasks)
        if index in results
    )
    outcome = Sweep(runs, completed)
    if place is not None and completed:
        outcome.save_csv(place / "sweep.csv")
        outcome.save_json(place / "sweep.json")
        images.save_image(place / "grid.png", np.asarray(outcome.grid()))
    return outcome


def _recipes(
    styles: Any,
    recipe: Any,
    alpha_beta: Sequence[float] | None,
    steps: int | None,
    gamma: Sequence[Any] | None,
    sigma: Any,
    seed: int,
) -> list[Recipe]:
    """Returns the recipes to run, after checking all that costs nothing to check."""
    if isinstance(gamma, (str, int, float)):
        raise ValueError(f"gamma is {gamma!r}: give a list of gammas, as in [0, 0.5, 1]")
    recipes = list(recipe) if isinstance(recipe, (list, tuple)) else [recipe]
    for share in [None] if gamma is None else gamma:
        check_options(styles, gamma=share, sigma=sigma, seed=seed)
    chosen = [check_options(styles, recipe=one, steps=steps) for one in recipes]
    if alpha_beta is None:
        return chosen
    return [one.replace(alpha=ratio * one.beta) for one in chosen for ratio in alpha_beta]


def _tasks(
    photo: Any,
    styles: Any,
    recipes: Sequence[Recipe],
    gamma: Sequence[Any] | None,
    scene: dict[str, Any],
    kept: dict[str, Any],
    run: dict[str, Any],
) -> list[_Task]:
    photos = list(photo) if isinstance(photo, (list, tuple)) else [photo]
    contents = [images.load_image(one, size=scene["size"]) for one in photos]
    pictures = [images.load_image(style, size=scene["size"]) for style in style_list(styles)]
    masks = [_mask(one, content, kept) for one, content in zip(photos, contents, strict=True)]
    run = {**run, "init": read_start(run["init"])}
    gammas = [None] if gamma is None else [_plain(one) for one in gamma]
    # Settled here, so that no run, in whatever process, falls back to another network by itself.
    source = fetch_weights(find_weights(scene["weights"], backbone=scene["backbone"]))
    scene = {**scene, "backbone": source.backbone}
    network = sha256(source.path)
    tasks = []
    for index, (content, mask) in enumerate(zip(contents, masks, strict=True)):
        masked = {**scene, "mask": mask}
        scene_key = _digest(
            content, *pictures, mask, {**scene, "weights": network, "memory": None}, __version__
        )
        for recipe, share in itertools.product(recipes, gammas):
            key = _digest(scene_key, recipe.as_dict(), share, *run.values())
            tasks.append(
                _Task(index, content, pictures, recipe, share, masked, run, scene_key, key)
            )
    return tasks


def _mask(photo: Any, content: np.ndarray, kept: dict[str, Any]) -> np.ndarray | None:
    """Returns a photo's mask at the size of its runs, found once, in the photo as it was given."""
    found = find_mask(photo, **kept)
    if found is None:
        return None
    mask = load_mask(found, *content.shape[1:3])
    paint_regions(mask, None, 1)  # which says what is wrong before the first run, not between
    return mask


def _found(place: Path, tasks: Sequence[_Task]) -> dict[int, Result]:
    """Returns the runs that an earlier sweep left in the folder, which is made if need be."""
    place.mkdir(parents=True, exist_ok=True)
    kept = {index: _load_run(place, task) for index, task in enumerate(tasks)}
    return {index: result for index, result in kept.items() if result is not None}


def _painted(
    todo: Mapping[int, _Task], place: Path | None, executor: Executor | None, progress: bool
) -> tuple[dict[int, Result], bool]:
    """Makes runs and keeps each at once; returns them, and False if they were interrupted."""
    painted: dict[int, Result] = {}
    arriving = _paint_here(todo, progress) if executor is None else _paint_in(executor, todo)
    try:
        for index, result in arriving:
            if not result.completed:
                return painted, False
            if place is not None:
                _save_run(place, todo[index], result)
            painted[index] = result
            if progress and executor is not None:
                print(f"run {len(painted)} of {len(todo)} is done", file=sys.stderr)
    except KeyboardInterrupt:
        return painted, False
    return painted, True


def _paint_here(todo: Mapping[int, _Task], progress: bool) -> Iterator[tuple[int, Result]]:
    painter = _Painter()
    for place, (index, task) in enumerate(todo.items(), start=1):
        if progress:
            print(f"run {place} of {len(todo)}: {task.stem}", file=sys.stderr)
        yield index, painter(task, progress=progress)


def _paint_in(executor: Executor, todo: Mapping[int, _Task]) -> Iterator[tuple[int, Result]]:
    """Yields the runs as they are finished, so that each is kept at once."""
    futures = {executor.submit(_work, task): index for index, task in todo.items()}
    try:
        for future in as_completed(futures):
            yield futures[future], future.result()
    finally:
        for future in futures:
            future.cancel()


def _check_executor(executor: Executor | None) -> None:
    """A fork of a process in which TensorFlow runs hangs at its first operation."""
    if isinstance(executor, ProcessPoolExecutor) and "tensorflow" in sys.modules:
        context = getattr(executor, "_mp_context", None) or multiprocessing.get_context()
        if context.get_start_method() == "fork":
            raise ValueError(
                "the executor forks, and TensorFlow does not survive that: give "
                "ProcessPoolExecutor(mp_context=multiprocessing.get_context('spawn'))"
            )


def _save_run(place: Path, task: _Task, result: Result) -> None:
    """Keeps a run: first its picture, then the JSON that vouches for it."""
    picture = place / f"{task.stem}.png"
    result.save(picture)
    record = {
        "picture": sha256(picture),
        "key": task.key,
        "settings": result.settings,
        "start_losses": result.start_losses,
        "history": _history(result),
    }
    images.write_atomically(place / f"{task.stem}.json", json.dumps(record).encode())


def _load_run(place: Path, task: _Task) -> Result | None:
    """Returns a run that was kept, or None if it wasn't, or not whole."""
    from mnst.engine.training import StepRecord

    picture, record = place / f"{task.stem}.png", place / f"{task.stem}.json"
    try:
        kept = json.loads(record.read_text())
        if kept["key"] != task.key or kept["picture"] != sha256(picture):
            return None
        return Result(
            image=images.to_uint8(images.load_image(picture, size=None)),
            history=tuple(StepRecord(**one) for one in kept["history"]),
            start_losses=tuple(kept["start_losses"]),
            settings=kept["settings"],
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _history(result: Result) -> list[dict[str, Any]]:
    told = ("step", "losses", "learning_rate", "seconds")
    return [{name: getattr(record, name) for name in told} for record in result.history]


def _row(run: SweepRun) -> dict[str, Any]:
    result = run.result
    last = result.history[-1]
    row: dict[str, Any] = {
        "photo": run.photo + 1,
        "recipe": run.recipe.name,
        "alpha_beta": run.alpha_beta,
        "steps": last.step,
        "seconds": round(last.seconds, 3),
        "content_loss": last.losses["content"],
        "total_loss": last.losses["total"],
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


def _digest(*parts: Any) -> str:
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            digest.update(f"{part.dtype}{part.shape}".encode() + part.tobytes())
        else:
            digest.update(json.dumps(part, default=str, sort_keys=True).encode())
        digest.update(b"\0")
    return digest.hexdigest()


def _plain(gamma: Any) -> float | tuple[float, ...] | None:
    """Returns a gamma as numbers that JSON can hold."""
    if gamma is None:
        return None
    return tuple(map(float, gamma)) if hasattr(gamma, "__iter__") else float(gamma)


def _as_tuple(gamma: float | tuple[float, ...] | None) -> tuple[float, ...]:
    if gamma is None:
        return ()
    return gamma if isinstance(gamma, tuple) else (gamma,)


def _fitted(image: np.ndarray, width: int) -> Image.Image:
    picture = Image.fromarray(image)
    height = max(1, round(picture.height * width / picture.width))
    return picture.resize((width, height), Image.Resampling.LANCZOS)


def _plotted(ax: Axes | None, gammas: Sequence[float], values: np.ndarray, name: str) -> Axes:
    """Draws a line per style over gamma, on a log axis."""
    ax = axes(ax)
    for k, line in enumerate(values.T, start=1):
        ax.plot(gammas, line, marker="o", label=f"{name} {k}")
    ax.set(xlabel="gamma (share of style 1)")
    return log_axis(ax)
