"""The runs of a sweep in their order, as plain data: photos, recipes, gammas, the last fastest."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from mnst import __version__
from mnst.painting.digests import digest
from mnst.painting.gammas import gamma_in_words
from mnst.painting.options import SceneOptions, those_of
from mnst.painting.scene import AsRead
from mnst.recipes import Recipe
from mnst.sweeping.photos import Photo, Photos, looks_like
from mnst.sweeping.shards import Shard

_OF_RUN = ("sigma", "init", "seed")  # options that a picture depends on, and its scene does not


@dataclass(frozen=True, eq=False)
class Shared:
    """What all runs of a sweep share: whoever paints several needs it once.

    Attributes:
        styles: Their pictures.
        options: Those of scene and run, with all pictures read.
        known_by: What stands for the options that name files: the network, DeepLab.
    """

    styles: list[AsRead]
    options: dict[str, Any]
    known_by: dict[str, Any]

    @functools.cached_property
    def key(self) -> str:
        """A hash of all that a scene depends on, but for its photo and recipe."""
        of_scene = {**those_of(SceneOptions, self.options), **self.known_by}
        return digest(*self.styles, of_scene, __version__)


@dataclass(frozen=True, eq=False)
class Task:
    """One run, without what all of them share.

    Attributes:
        place: Its number among all runs, from 0.
        photo: What is painted.
        recipe: How.
        gamma: As `stylize` takes it, with its pictures read.
        key: A hash that tells the run from all others.
    """

    place: int
    photo: Photo
    recipe: Recipe
    gamma: Any
    key: str

    @property
    def stem(self) -> str:
        """The name of its files: what people look for, and what tells it from all others."""
        gamma = gamma_in_words(self.gamma, lambda _: "picture")
        gamma = gamma.replace(", ", "-").replace(" ", "")
        weights = f"alpha{self.recipe.alpha:.3g}-beta{self.recipe.beta:.3g}"
        name = f"{self.photo.label}-{self.recipe.name}-{weights}-{gamma}"
        return re.sub(r"[^\w.-]", "_", name) + "-" + self.key[:12]

    def loaded(self) -> Task:
        """Returns it with the contents of its photo, to be sent to where there is no such file."""
        return replace(self, photo=self.photo.loaded())


@dataclass(frozen=True, eq=False)
class Course:
    """All runs of a sweep.

    Attributes:
        photos: Not read yet.
        recipes: With their alpha and beta.
        gammas: As they were given.
        read: The same with their pictures read.
        shared: What all runs share.
    """

    photos: Photos
    recipes: list[Recipe]
    gammas: list[Any]
    read: list[Any]
    shared: Shared

    @property
    def runs_of_a_photo(self) -> int:
        """How many runs each photo has."""
        return len(self.recipes) * len(self.gammas)

    @property
    def total(self) -> int | None:
        """How many runs there are; None of an iterator, which does not say."""
        return len(self.photos) * self.runs_of_a_photo if isinstance(self.photos, list) else None

    @property
    def fewest_records(self) -> int:
        """How many records all runs have at the least: what was asked for twice is painted once."""
        runs = itertools.product(self.recipes, self.read)
        different = {digest(recipe.as_dict(), gamma) for recipe, gamma in runs}
        return len({*map(looks_like, self.photos)}) * len(different)

    @property
    def kinds(self) -> list[Recipe]:
        """A recipe of each kind, where recipes differ by what a scene does not depend on."""
        return [*{recipe.without_run_values(): recipe for recipe in self.recipes}.values()]

    def tasks(self, shard: Shard) -> Iterator[Task]:
        """Yields the runs of a shard; a photo is looked over when the turn of its first has come.

        Those of a photo that can't be looked over are there, too: its `error` says why.
        """
        shared = self.shared.key
        of_run = [self.shared.options[name] for name in _OF_RUN]
        for index, given in enumerate(self.photos):
            first = index * self.runs_of_a_photo
            if not any(map(shard.has, range(first, first + self.runs_of_a_photo))):
                continue
            photo = Photo.of(index, given)
            runs = itertools.product(self.recipes, self.read)
            for place, (recipe, gamma) in enumerate(runs, start=first):
                if shard.has(place):
                    key = digest(photo.digest, shared, recipe.as_dict(), gamma, *of_run)
                    yield Task(place, photo, recipe, gamma, key)

    def gamma_of(self, task: Task) -> Any:
        """Returns a run's gamma as it was given."""
        return self.gammas[task.place % len(self.gammas)]
