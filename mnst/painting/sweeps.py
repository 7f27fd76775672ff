"""Many runs: over gamma, over alpha/beta, over recipes and photos, resumed where they broke off."""

from __future__ import annotations

import functools
import itertools
import json
import multiprocessing
import os
import re
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mnst import __version__, images
from mnst.checks import check_folder, check_list, check_number, shown
from mnst.engine.trainer import StepRecord
from mnst.errors import WeightsError, calls_within_mnst, one_line, tell
from mnst.images import sha256
from mnst.masks.selection import find_mask
from mnst.networks import get_backbone
from mnst.objective.regions import paint_regions
from mnst.painting.digests import digest
from mnst.painting.gammas import as_given, crossed, plain, shares_of
from mnst.painting.options import (
    AnyRecipe,
    RunOptions,
    SceneOptions,
    SweepOptions,
    check_colours,
    check_run,
    check_scene,
    check_style_size,
    in_folder,
    those_of,
)
from mnst.painting.result import Result
from mnst.painting.scene import (
    AsRead,
    check_kept,
    open_scene,
    read_masks,
    read_once,
    read_photo,
    style_list,
    style_read_size,
)
from mnst.painting.signatures import takes
from mnst.painting.sweep_result import Sweep, SweepFailure, SweepRun, gamma_in_words, history_rows
from mnst.painting.transfer import StyleTransfer, read_start
from mnst.recipes import Recipe

if TYPE_CHECKING:
    from typing_extensions import Unpack


@dataclass(frozen=True)
class _Task:
    """One run as plain data: it can be sent to another process."""

    photo: int
    content: AsRead
    styles: list[AsRead]
    recipe: Recipe
    gamma: Any  # with its pictures read
    options: dict[str, Any]
    scene_key: str  # tells pictures and options of the scene from all others
    key: str  # tells the run from all others

    @property
    def stem(self) -> str:
        """The name of its files: what people look for, and what tells it from all others."""
        gamma = gamma_in_words(self.gamma, lambda _: "picture")
        gamma = gamma.replace(", ", "-").replace(" ", "")
        weights = f"alpha{self.recipe.alpha:.3g}-beta{self.recipe.beta:.3g}"
        name = f"{self.photo + 1}-{self.recipe.name}-{weights}-{gamma}"
        return re.sub(r"[^\w.-]", "_", name) + "-" + self.key[:12]


class _Worker:
    """Makes runs, and keeps what the next one may share: network, features, compiled step."""

    def __init__(self) -> None:
        self._kind: tuple[str, Recipe] | None = None
        self._transfer: StyleTransfer | None = None

    def __call__(self, task: _Task, *, progress: bool = False) -> Result:
        kind = task.scene_key, task.recipe.without_run_values()
        options = {**task.options, "recipe": task.recipe, "gamma": task.gamma}
        if kind != self._kind or self._transfer is None:
            self._transfer = None  # makes room first
            scene = those_of(SceneOptions, options)
            self._transfer = StyleTransfer(task.content, task.styles, **scene)
            self._kind = kind
        run = those_of(RunOptions, {**in_folder(options, task.stem), "progress": progress})
        return self._transfer.run(**run, recipe=task.recipe)


_WORKERS = threading.local()

_KILLED = "a worker of the executor was killed, or ended by itself: it may have run out of memory"


def _work(task: _Task) -> Result:
    """Makes a run in an executor's thread or process; each of them keeps a worker."""
    if not hasattr(_WORKERS, "worker"):
        _WORKERS.worker = _Worker()
    result: Result = _WORKERS.worker(task)
    return result


@takes(SweepOptions)
def sweep(
    photo: Any,
    styles: Any,
    *,
    gamma: Sequence[Any] | Mapping[str, Sequence[Any]] | None = None,
    alpha_beta: Sequence[float] | None = None,
    recipe: AnyRecipe | Sequence[AnyRecipe] = "fine",
    folder: str | os.PathLike[str] | None = None,
    executor: Executor | None = None,
    **options: Unpack[SweepOptions],
) -> Sweep:
    """Paints every combination of photos, recipes, ratios alpha/beta and gammas.

    What runs share is done once: reading the pictures, the network, the content's features, the
    styles' Gram matrices, the compiled step. (With an executor, once in each of its workers.)
    All scenes are opened before the first run, so that what is wrong with the last is said at once.

    A run that fails, by divergence or with a worker that was killed, ends no other: a warning names
    it, and it stands among the sweep's `failures`. What every run would meet, such as weights that
    are gone or a full disk, ends the sweep. So does Ctrl-C, or a callback that raises
    StopIteration; the sweep then has the runs that were finished.

    Args:
        photo: A content image, as in `stylize`, or a list of them.
        styles: The style images, the same for all runs.
        gamma: A list of what `stylize` takes: numbers for two styles, sequences of shares for
            more, dicts, pictures. Or a dict of lists, which are crossed: {"colour": [0, 0.5, 1],
            "form": [0, 0.5, 1]} is nine runs, with colour over the columns of the contact sheet and
            form over its rows. None is one run with equal shares.
        alpha_beta: The ratios alpha / beta to run, a list. beta stays as the recipe has it.
        recipe: A recipe, as in `stylize`, or a list of them.
        folder: Where to keep every run as soon as it is finished: its picture, and its history as
            JSON. A sweep that finds a run there does not do it again; one that was not written
            whole, it does. At the end, sweep.csv, sweep.json and the contact sheet grid.png are
            written there, too.
        executor: Any `concurrent.futures.Executor`. What comes out and its order do not depend on
            it. Processes must be spawned, not forked, once TensorFlow is loaded:
            `ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn"))`.
        **options: Those of `SweepOptions`.

    Returns:
        The runs, in order.

    Raises:
        ValueError: If an option or a picture is out of range, or the executor would fork
            TensorFlow.
        TypeError: If a picture, a path or the executor is of another kind.
        FileNotFoundError: If a picture or the weights aren't there.
        OSError: If a picture can't be read, or the folder not be written to.
        WeightsError: If the weights or DeepLab can't be had, or don't fit.
        DivergenceError: If a loss turned NaN or infinite in every run. Whatever else they failed
            with, if no run was finished it is the first one's error that is raised.
        RuntimeError: If all runs were lost with workers that were killed.

    Example:
        >>> sweep = mnst.sweep(
        ...     "photo.jpg", ["a.jpg", "b.jpg"], gamma=[0, 0.25, 0.5, 0.75, 1], folder="out"
        ... )  # doctest: +SKIP
        >>> sweep.grid().save("sheet.jpg")  # doctest: +SKIP
        >>> sweep.plot_relative_improvement()  # doctest: +SKIP
    """
    _check_executor(executor)
    place = None if folder is None else check_folder("folder", folder)
    count = len(style_list(styles))
    gammas = _gammas(gamma)
    recipes = _recipes(count, recipe, alpha_beta, gammas, options)
    gammas = [as_given(each, count) for each in gammas]
    tasks = _tasks(photo, styles, recipes, gammas, executor, options)
    found = {} if place is None else _found(place, tasks)
    if options["progress"] and found:
        tell(f"{len(found)} of {len(tasks)} runs are in {place} already")
    todo = {index: task for index, task in enumerate(tasks) if index not in found}
    painted, errors, completed = _painted(todo, place, executor, options["progress"])
    results = found | painted
    if errors and not results:
        raise errors[min(errors)]
    given = gammas * (len(tasks) // len(gammas))  # they move fastest
    runs = tuple(
        SweepRun(task.photo, given[index], task.recipe, results[index], found=index in found)
        for index, task in enumerate(tasks)
        if index in results
    )
    failures = tuple(
        SweepFailure(index, task.photo, given[index], task.recipe, one_line(errors[index]))
        for index, task in enumerate(tasks)
        if index in errors
    )
    outcome = Sweep(runs, completed, failures, _originals(tasks))
    if place is not None and completed:
        outcome.save_csv(place / "sweep.csv")
        outcome.save_json(place / "sweep.json")
        images.save_image(place / "grid.png", np.asarray(outcome.grid()))
    return outcome


def _gammas(gamma: Any) -> list[Any]:
    """Returns the gammas of all runs, in their order."""
    if gamma is None:
        return [None]
    if isinstance(gamma, Mapping) and gamma:
        return crossed(gamma)
    return check_list("gamma", gamma, "gammas, as in [0, 0.5, 1]")


def _originals(tasks: Sequence[_Task]) -> dict[str, np.ndarray]:
    """Returns photos and styles, by what a contact sheet calls them."""
    photos = {task.photo: task.content for task in tasks}
    named = {f"photo {k + 1}" if len(photos) > 1 else "photo": photos[k] for k in photos}
    named |= {f"style {k}": style for k, style in enumerate(tasks[0].styles, start=1)}
    return {name: images.to_uint8(picture.pixels) for name, picture in named.items()}


def _recipes(
    styles: int,
    recipe: Any,
    alpha_beta: Sequence[float] | None,
    gammas: Sequence[Any],
    options: Mapping[str, Any],
) -> list[Recipe]:
    """Returns the recipes to run, after checking all that costs nothing to check."""
    given = list(recipe) if isinstance(recipe, (list, tuple)) else [recipe]
    known = [check_scene(those_of(SceneOptions, {**options, "recipe": each})) for each in given]
    for gamma in gammas or [None]:
        chosen = [check_run({**options, "gamma": gamma}, styles, each) for each in known]
    if alpha_beta is None:
        return chosen
    if options["strength"] is not None:
        raise ValueError("strength and alpha_beta were both given: give one of them")
    for k, ratio in enumerate(check_list("alpha_beta", alpha_beta, "ratios, as in [1e-6, 1e-5]")):
        check_number(f"alpha_beta[{k}]", ratio, lambda value: value >= 0, "0 or more")
    return [each.replace(alpha=ratio * each.beta) for each in chosen for ratio in alpha_beta]


def _tasks(
    photo: Any,
    styles: Any,
    recipes: Sequence[Recipe],
    gammas: Sequence[Any],
    executor: Executor | None,
    options: Mapping[str, Any],
) -> list[_Task]:
    photos = list(photo) if isinstance(photo, (list, tuple)) else [photo]
    if not (photos and recipes and gammas):
        raise ValueError("nothing to run: the list of photos, recipes, ratios or gammas is empty")
    check_kept(options)
    size, given = options["size"], style_list(styles)
    sizes = check_style_size(options["style_size"], len(given))
    check_colours(options["colours"], len(given))
    contents = [read_photo(source, size=size) for source in photos]
    pictures = [
        read_once(style, f"styles[{k}]", size=style_read_size(size, factor))
        for k, (style, factor) in enumerate(zip(given, sizes, strict=True))
    ]
    mixed = [
        [plain(shares_of(gamma, len(given), pixels, pixels.shape[1:3])) for gamma in gammas]
        for pixels in (content.pixels for content in contents)
    ]
    start = read_start(options["init"])
    masks = [
        _masks(source, content, len(pictures), options)
        for source, content in zip(photos, contents, strict=True)
    ]
    # Settled here, so that no run, in whatever process, falls back to another network by itself.
    weights = get_backbone(options["backbone"]).find_weights(options["weights"]).fetch()
    settled = {
        **options,
        "backbone": weights.backbone,
        "init": start,
        "steps": None,  # which the recipes have, and the strength
        "strength": None,
    }
    kinds = {recipe.without_run_values(): recipe for recipe in recipes}.values()
    scenes = [
        (content, pictures, those_of(SceneOptions, {**settled, **masked, "recipe": recipe}))
        for content, masked in zip(contents, masks, strict=True)
        for recipe in kinds
    ]
    settled["precision"] = _precision(scenes, executor)
    network = {"backbone": weights.backbone.name, "weights": weights.sha256, "memory": None}
    of_run = [settled[name] for name in ("sigma", "init", "seed")]
    tasks = []
    for index, (content, masked, read) in enumerate(zip(contents, masks, mixed, strict=True)):
        of_task = {**settled, **masked}
        of_scene = those_of(SceneOptions, {**of_task, **network})
        scene_key = digest(content, *pictures, of_scene, __version__)
        for recipe, gamma in itertools.product(recipes, read):
            key = digest(scene_key, recipe.as_dict(), gamma, *of_run)
            tasks.append(_Task(index, content, pictures, recipe, gamma, of_task, scene_key, key))
    return tasks


def _precision(scenes: Sequence[tuple[Any, ...]], executor: Executor | None) -> str:
    """Opens all scenes once where they will be painted, which raises what is wrong with them.

    Returns:
        What the network computes in: in all runs, wherever the sweep goes on one day.
    """
    if executor is None:
        return [_open(*scene) for scene in scenes][-1]
    opened = [_submit(executor, _open, *scene) for scene in scenes]
    try:
        precisions: list[str] = [future.result() for future in opened]
        return precisions[-1]
    except BrokenExecutor:
        raise RuntimeError(_KILLED) from None
    finally:
        for future in opened:
            future.cancel()


def _open(content: AsRead, styles: list[AsRead], options: SceneOptions) -> str:
    scene, _ = open_scene(content, styles, options)
    return scene.precision


def _masks(photo: Any, content: AsRead, styles: int, options: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a photo's masks at the size of its runs, found once, in the photo as it was given."""
    sides = content.pixels.shape[1:3]
    kept = find_mask(photo, keep=options["keep"], only=options["only"], mask=options["mask"])
    mask, style_masks = read_masks(kept, options["style_masks"], *sides)
    # Says what is wrong before the first run, not between.
    paint_regions(mask, style_masks, styles)
    return {"keep": None, "only": None, "mask": mask, "style_masks": style_masks}


def _found(place: Path, tasks: Sequence[_Task]) -> dict[int, Result]:
    """Returns the runs that an earlier sweep left in the folder, which is made if need be."""
    place.mkdir(parents=True, exist_ok=True)
    kept = {index: _load_run(place, task) for index, task in enumerate(tasks)}
    return {index: result for index, result in kept.items() if result is not None}


def _painted(
    todo: Mapping[int, _Task], place: Path | None, executor: Executor | None, progress: bool
) -> tuple[dict[int, Result], dict[int, Exception], bool]:
    """Makes runs and keeps each at once; returns them, errors, and False if it was interrupted."""
    painted: dict[int, Result] = {}
    errors: dict[int, Exception] = {}
    arriving = _paint_here(todo, progress) if executor is None else _paint_in(executor, todo)
    try:
        for index, outcome in arriving:
            if isinstance(outcome, Exception):
                errors[index] = outcome
                said = f"{todo[index].stem} failed and is left out: {one_line(outcome)}"
                warnings.warn(said, stacklevel=calls_within_mnst() + 1)
                continue
            if not outcome.completed:
                return painted, errors, False
            if place is not None:
                _save_run(place, todo[index], outcome)
            painted[index] = outcome
            if progress and executor is not None:
                tell(f"run {len(painted)} of {len(todo)} is done")
    except KeyboardInterrupt:
        return painted, errors, False
    return painted, errors, True


def _paint_here(
    todo: Mapping[int, _Task], progress: bool
) -> Iterator[tuple[int, Result | Exception]]:
    worker = _Worker()
    for place, (index, task) in enumerate(todo.items(), start=1):
        if progress:
            tell(f"run {place} of {len(todo)}: {task.stem}")
        yield index, _outcome(functools.partial(worker, task, progress=progress))


def _paint_in(
    executor: Executor, todo: Mapping[int, _Task]
) -> Iterator[tuple[int, Result | Exception]]:
    """Yields the runs as they are finished, so that each is kept at once."""
    futures = {_submit(executor, _work, task): index for index, task in todo.items()}
    try:
        for future in as_completed(futures):
            yield futures[future], _outcome(future.result)
    finally:
        for future in futures:
            future.cancel()


def _submit(executor: Executor, function: Callable[..., Any], *given: Any) -> Future[Any]:
    """Submits a call; to a pool that is broken, too, in whose future that then stands."""
    # Once more, now that workers may be started: looking for people has loaded TensorFlow.
    _check_executor(executor)
    try:
        return executor.submit(function, *given)
    except BrokenExecutor as error:
        lost: Future[Any] = Future()
        lost.set_exception(error)
        return lost


def _outcome(run: Callable[[], Result]) -> Result | Exception:
    """Returns what a run gives, or the error that it failed with, if others need not meet it."""
    try:
        return run()
    except (OSError, ImportError, WeightsError):
        raise
    except BrokenExecutor:
        return RuntimeError(_KILLED)
    except Exception as error:  # DivergenceError, too little memory, and what nobody foresaw
        return error


def _check_executor(executor: Executor | None) -> None:
    """A fork of a process in which TensorFlow runs hangs at its first operation."""
    if executor is not None and not isinstance(executor, Executor):
        raise ValueError(f"executor is {shown(executor)}: give one of concurrent.futures")
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
        "history": history_rows(result),
    }
    images.write_atomically(place / f"{task.stem}.json", json.dumps(record).encode())


def _load_run(place: Path, task: _Task) -> Result | None:
    """Returns a run that was kept, or None if it wasn't, or not whole."""
    picture, record = place / f"{task.stem}.png", place / f"{task.stem}.json"
    try:
        with images.open_file(record) as file:
            kept = json.load(file)
        if kept["key"] != task.key or kept["picture"] != sha256(picture):
            return None
        with images.opened(picture, str(picture)) as (image, _):
            pixels = np.asarray(image)
        return Result(
            image=pixels[..., :3],
            history=tuple(StepRecord(**row) for row in kept["history"]),
            start_losses=tuple(kept["start_losses"]),
            settings=kept["settings"],
            alpha=pixels[..., 3] if pixels.shape[2] == 4 else None,
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
