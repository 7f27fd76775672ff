"""Whoever makes runs: keeps what the next one may share, the photo, network and compiled steps."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from mnst.masks.selection import find_mask
from mnst.painting.gammas import shares_of
from mnst.painting.options import RunOptions, SceneOptions, in_folder, those_of
from mnst.painting.result import Result
from mnst.painting.scene import AsRead, open_scene, read_photo
from mnst.painting.transfer import StyleTransfer
from mnst.recipes import Recipe
from mnst.sweeping.course import Shared, Task
from mnst.sweeping.photos import Photo


class Worker:
    """Makes runs one after the other."""

    def __init__(self) -> None:
        self._photo: _OpenPhoto | None = None
        self._kind: tuple[str, str, Recipe] | None = None
        self._transfer: StyleTransfer | None = None

    def open(
        self, shared: Shared, photo: Photo, recipes: Sequence[Recipe], gammas: Sequence[Any]
    ) -> str | Exception:
        """Opens the scenes of a photo, which raises what is wrong with them.

        Returns:
            What the network computes in here; or what the photo can't be read for.
        """
        try:
            opened = self._open(shared, photo)
        except (OSError, ValueError, TypeError) as error:
            return error
        for recipe in recipes:
            of_kind = those_of(SceneOptions, {**shared.options, "recipe": recipe})
            scene, _ = open_scene(opened.content, shared.styles, of_kind)
        for gamma in gammas:
            pixels = opened.content.pixels
            shares_of(gamma, len(shared.styles), pixels, pixels.shape[1:3])
        return scene.precision

    def paint(self, shared: Shared, task: Task, *, progress: bool = False) -> Result:
        """Makes a run."""
        opened = self._open(shared, task.photo)
        options = {**shared.options, "recipe": task.recipe, "gamma": task.gamma}
        kind = shared.key, task.photo.digest, task.recipe.without_run_values()
        if kind != self._kind or self._transfer is None:
            self._transfer = None  # makes room first
            scene = those_of(SceneOptions, options)
            self._transfer = StyleTransfer(opened.content, shared.styles, **scene)
            self._kind = kind
        run = those_of(RunOptions, {**in_folder(options, task.stem), "progress": progress})
        return self._transfer.run(**run, recipe=task.recipe)

    def _open(self, shared: Shared, photo: Photo) -> _OpenPhoto:
        key = shared.key, photo.digest
        if self._photo is None or self._photo.key != key:
            self._photo = None
            self._photo = _OpenPhoto(shared, photo)
        return self._photo


class _OpenPhoto:
    """A photo as a sweep paints it."""

    def __init__(self, shared: Shared, photo: Photo) -> None:
        self.key = shared.key, photo.digest
        self._source, self._options = photo.load(), shared.options
        size = shared.options["size"]
        self._read = read_photo(self._source, size=size, name=photo.name)

    @functools.cached_property
    def content(self) -> AsRead:
        """Its pixels; what classes are kept is found once, in the photo as it is."""
        keep, only = self._options["keep"], self._options["only"]
        if keep is None and only is None:
            return self._read
        return replace(self._read, kept=find_mask(self._source, keep=keep, only=only))
