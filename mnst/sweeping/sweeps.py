"""`sweep()`: over photos, recipes, ratios alpha/beta and gammas, resumed where it broke off."""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mnst import images
from mnst.checks import check_folder, check_list, check_number, shown
from mnst.masks.pixels import read_mask
from mnst.masks.selection import classes_by
from mnst.networks import get_backbone
from mnst.painting.gammas import as_given, crossed, read_apart
from mnst.painting.options import (
    AnyRecipe,
    SceneOptions,
    SweepOptions,
    check_colours,
    check_run,
    check_scene,
    check_style_size,
    those_of,
)
from mnst.painting.scene import check_kept, read_once, style_list, style_read_size
from mnst.painting.signatures import takes
from mnst.painting.transfer import read_start
from mnst.recipes import Recipe
from mnst.sweeping.course import Course, Shared
from mnst.sweeping.folder import Folder
from mnst.sweeping.going import Going
from mnst.sweeping.outcome import Sweep
from mnst.sweeping.painters import Elsewhere, Here, Painter
from mnst.sweeping.photos import Photo, Photos, photos_of
from mnst.sweeping.processes import check_processes, processes_here
from mnst.sweeping.shards import Shard

if TYPE_CHECKING:
    from typing_extensions import Unpack


@takes(SweepOptions)
def sweep(
    photo: Any,
    styles: Any,
    *,
    gamma: Sequence[Any] | Mapping[str, Sequence[Any]] | None = None,
    alpha_beta: Sequence[float] | None = None,
    recipe: AnyRecipe | Sequence[AnyRecipe] = "fine",
    folder: str | os.PathLike[str] | None = None,
    executor: Any = None,
    processes: int | None = None,
    shard: Sequence[int] | None = None,
    collect: bool = False,
    **options: Unpack[SweepOptions],
) -> Sweep:
    """Paints every combination of photos, recipes, ratios alpha/beta and gammas.

    What runs share is done once: the network, the photo's features, the styles' Gram matrices, the
    compiled step. (With an executor, once in each of its workers.) Photos are read when their turn
    comes, and what is kept in a folder is not kept in memory, so there may be any number of them.
    Options are checked, and the first photo that can be read is opened, before the first run.

    A run that fails, by divergence, for a photo that can't be read, or with a worker that was
    killed, ends no other: a warning names it, and it stands among the sweep's `failures`. What
    every run would meet, such as weights that are gone or a full disk, ends the sweep. So does
    Ctrl-C, or a callback that raises StopIteration; the sweep then has the runs that were finished.

    Args:
        photo: A content image, as in `stylize`; a list or an iterator of them; a folder; or a
            pattern, such as "photos/**/*.jpg". A folder's pictures are taken by their names, and
            those in folders below it are not.
        styles: The style images, the same for all runs.
        gamma: A list of what `stylize` takes: numbers for two styles, sequences of shares for
            more, dicts, pictures. Or a dict of lists, which are crossed: {"colour": [0, 0.5, 1],
            "form": [0, 0.5, 1]} is nine runs, with colour over the columns of the contact sheet and
            form over its rows. None is one run with equal shares.
        alpha_beta: The ratios alpha / beta to run, a list. beta stays as the recipe has it.
        recipe: A recipe, as in `stylize`, or a list of them.
        folder: Where to keep every run as soon as it is finished: its picture, and its history as
            JSON. A sweep that finds a run there does not do it again; one that was not written
            whole, it does. At the end, sweep.csv, sweep.json and the contact sheet grid.png, of
            the first hundred runs, are written there, too.
        executor: Any `concurrent.futures.Executor`, or a `dask.distributed.Client`. What comes out
            and its order do not depend on it. Processes must be spawned, not forked, once
            TensorFlow is loaded:
            `ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn"))`.
        processes: How many processes of this machine paint at once, each with a network and its
            share of the cores: the quickest for many small pictures on a CPU. Fewer threads change
            a picture's last digits. None paints in this process. A script that asks for them needs
            `if __name__ == "__main__":`, as all do that start processes.
        shard: The part of the runs to paint, as in (3, 100): every hundredth, from the third on.
            Any number of sweeps, on any number of machines, may share a folder at once, with
            shards or without: each run is claimed by the one that paints it, and a machine that is
            gone loses its claims after five minutes. The last shard writes the tables for all.
        collect: Paint nothing, and write the tables and the sheet of what is in the folder.
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
    place = _check_place(folder, shard, collect)
    part = Shard.checked(shard)
    own = check_processes(processes, executor)
    elsewhere = None if executor is None else _elsewhere(executor)
    count = len(style_list(styles))
    gammas = _gammas(gamma)
    recipes = _recipes(count, recipe, alpha_beta, gammas, options)
    course = _course(photo, styles, recipes, gammas, options)
    if course.total is None and not part.is_all:
        raise ValueError("photo is an iterator: with a shard, give a list, a folder or a pattern")
    progress = options["progress"]
    with contextlib.nullcontext() if own is None else processes_here(own) as pool:
        painter = elsewhere or (Elsewhere(pool) if pool else Here(course.total, progress=progress))
        return _swept(course, painter, part, place, collect=collect, progress=progress)


def _swept(
    course: Course,
    painter: Painter,
    part: Shard,
    place: Path | None,
    *,
    collect: bool,
    progress: bool,
) -> Sweep:
    """Paints what a sweep asks for, or collects it, once all that can be is checked."""
    course = _opened(course, painter)
    if place is not None:
        place.mkdir(parents=True, exist_ok=True)
    runs = None if place is None else Folder(place)
    going = Going(course, part, runs, progress=progress)
    completed = going.collect() if collect else going.paint(painter)
    if runs is not None and completed and not part.is_all:
        _end(course, runs)
    outcome = going.outcome(completed=completed)
    if runs is not None and part.is_all and (completed or collect):
        _write(outcome, runs.place)
    return outcome


def _elsewhere(executor: Any) -> Elsewhere:
    """Returns whoever paints by an executor, or by a client of Dask."""
    if "distributed" in sys.modules:  # whose objects are nobody's, where it is not loaded
        from mnst.sweeping.cluster import cluster_of

        return cluster_of(executor) or Elsewhere(executor)
    return Elsewhere(executor)


def _check_place(folder: Any, shard: Any, collect: bool) -> Path | None:
    """Returns the folder, or says what needs one."""
    if not isinstance(collect, bool):
        raise TypeError(f"collect is {shown(collect)}: give True or False")
    if collect and shard is not None:
        raise ValueError("shard and collect were both given: give one of them")
    if folder is not None:
        return check_folder("folder", folder)
    if collect or shard is not None:
        raise ValueError(f"{'collect' if collect else 'shard'} needs a folder: give one")
    return None


def _end(course: Course, folder: Folder) -> None:
    """Writes the tables for all shards, where this is the last one."""
    if folder.count() < course.fewest_records:  # which is known without reading photos
        return
    whole = Going(course, Shard(), folder, progress=False)
    if whole.collect():
        _write(whole.outcome(completed=True), folder.place)


def _write(outcome: Sweep, place: Path) -> None:
    if not outcome.runs:
        raise ValueError(f"{images.named(place)}: no run of this sweep is finished there")
    outcome.save_csv(place / "sweep.csv")
    outcome.save_json(place / "sweep.json")
    images.save_image(place / "grid.png", np.asarray(outcome.grid()))


def _gammas(gamma: Any) -> list[Any]:
    """Returns the gammas of all runs, in their order."""
    if gamma is None:
        return [None]
    if isinstance(gamma, Mapping) and gamma:
        return crossed(gamma)
    return check_list("gamma", gamma, "gammas, as in [0, 0.5, 1]")


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


def _course(
    photo: Any,
    styles: Any,
    recipes: Sequence[Recipe],
    gammas: Sequence[Any],
    options: Mapping[str, Any],
) -> Course:
    """Returns all runs, with everything read but the photos."""
    photos = photos_of(photo)
    if photos == [] or not (recipes and gammas):
        raise ValueError("nothing to run: the list of photos, recipes, ratios or gammas is empty")
    check_kept(options)
    size, given = options["size"], style_list(styles)
    sizes = check_style_size(options["style_size"], len(given))
    check_colours(options["colours"], len(given))
    # Before weights are downloaded for them.
    _, photos = _first(photos, lambda photo: photo.reading_error(size))
    pictures = [
        read_once(style, f"styles[{k}]", size=style_read_size(size, factor))
        for k, (style, factor) in enumerate(zip(given, sizes, strict=True))
    ]
    read = {"init": read_start(options["init"]), **_masks(options)}
    gammas_read = [read_apart(gamma, len(given)) for gamma in gammas]
    # Settled here, so that no run, in whatever process, falls back to another network by itself.
    weights = get_backbone(options["backbone"]).find_weights(options["weights"]).fetch()
    settled = {
        **options,
        **read,
        "backbone": weights.backbone,
        "steps": None,  # which the recipes have, and the strength
        "strength": None,
    }
    known_by = {
        "backbone": weights.backbone.name,
        "weights": weights.sha256,
        "memory": None,
        "classes by": classes_by(options["keep"], options["only"]),
    }
    return Course(
        photos,
        [*recipes],
        [as_given(gamma, len(given)) for gamma in gammas],
        gammas_read,
        Shared(pictures, settled, known_by),
    )


def _first(photos: Photos, look: Callable[[Photo], Any]) -> tuple[Any, Photos]:
    """Looks for a photo with which nothing is wrong; raises what is with the first, if none is.

    Args:
        photos: Some of an iterator are taken from it.
        look: Returns what is wrong with a photo, as an exception, or anything else.

    Returns:
        What was found of that photo, and all photos, those that were looked at among them.
    """
    remaining, looked_at = iter(photos), []
    failed: Exception | None = None
    for index, given in enumerate(remaining):
        looked_at.append(given)
        found = look(Photo.of(index, given))
        if not isinstance(found, Exception):
            again = photos if isinstance(photos, list) else itertools.chain(looked_at, remaining)
            return found, again
        failed = failed or found
    raise failed or ValueError("nothing to run: the iterator of photos has none")


def _masks(options: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the masks, read in their own size, for photos that come later."""
    mask, own = options["mask"], options["style_masks"]
    return {
        "mask": None if mask is None else read_mask(mask),
        "style_masks": None
        if own is None
        else [
            None if each is None else read_mask(each, name=f"style_masks[{k}]")
            for k, each in enumerate(own)
        ],
    }


def _opened(course: Course, painter: Painter) -> Course:
    """Opens the first photo that can be read, which raises what is wrong with it and the options.

    Returns:
        The course, with the precision that "auto" became there: in all runs, wherever the sweep
        goes on one day.
    """
    opened, photos = _first(
        course.photos,
        lambda photo: photo.error or painter.open(course.shared, photo, course.kinds, course.read),
    )
    settled = {**course.shared.options, "precision": opened}
    return replace(course, photos=photos, shared=replace(course.shared, options=settled))
