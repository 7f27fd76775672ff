"""A sweep on Dask: pictures travel once to each worker, and another takes over where one dies.

What all runs share is a plugin, which the scheduler hands to every worker, also to those that come
later. A photo is a task of its own, which the scheduler can do again when the worker that had it is
gone; all runs of a photo depend on it.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import dask
from distributed import Client, WorkerPlugin, get_worker
from distributed.cfexecutor import ClientExecutor

from mnst.painting.result import Result
from mnst.recipes import Recipe
from mnst.sweeping.course import Shared, Task
from mnst.sweeping.painters import Elsewhere, Outcome, lost, result_of, worker_here
from mnst.sweeping.photos import Photo


def cluster_of(executor: Any) -> Cluster | None:
    """Returns the cluster behind a Dask client or its executor; None for all else."""
    if isinstance(executor, Client):
        return Cluster(executor.get_executor())
    return Cluster(executor) if isinstance(executor, ClientExecutor) else None


class Cluster(Elsewhere):
    """Paints by the workers of a Dask cluster.

    Args:
        executor: From `Client.get_executor`; what it was given, such as resources, holds for all
            runs.
    """

    def __init__(self, executor: ClientExecutor) -> None:
        super().__init__(executor)
        self._client = executor._client
        self._sweep = uuid.uuid4().hex[:8]  # so that no other sweep's tasks are taken for these
        self._plugin: str | None = None
        self._photo: tuple[str, Any] | None = None  # the last one's digest, and its task

    @property
    def ahead(self) -> int:
        """How many runs are given to it at once: of workers that have come meanwhile, too."""
        threads: int = sum(self._client.nthreads().values())
        return 2 * max(1, threads)

    def open(
        self, shared: Shared, photo: Photo, recipes: Sequence[Recipe], gammas: Sequence[Any]
    ) -> str | Exception:
        """Opens scenes on one of the workers."""
        try:
            given = self._sent(photo)
        except ValueError as error:
            return error
        name = self._share(shared)
        key = ("open", photo.label, self._sweep)
        bare = replace(photo, given=None)
        try:
            opened: str | Exception = result_of(
                self.executor.submit(_open, name, bare, given, recipes, gammas, key=key)
            )
            return opened
        finally:
            self._forget()

    def painted(self, shared: Shared, tasks: Iterable[Task]) -> Iterator[Outcome]:
        """Yields what runs give."""
        try:
            yield from super().painted(shared, tasks)
        finally:
            self._forget()

    def submit(self, shared: Shared, task: Task) -> Future[Result]:
        """Gives a run to the scheduler; its name is what the dashboard shows."""
        try:
            given = self._sent(task.photo)
        except ValueError as error:
            return lost(error)
        name = self._share(shared)
        key = ("paint", task.stem, self._sweep)
        bare = replace(task, photo=replace(task.photo, given=None))
        future: Future[Result] = self.executor.submit(_paint, name, bare, given, key=key)
        return future

    def _share(self, shared: Shared) -> str:
        """Sends what runs share to all workers, unless it is there; returns what it is called."""
        if self._plugin is None:
            self._plugin = f"mnst-{self._sweep}"
            self._client.register_plugin(_SharedPlugin(shared), name=self._plugin)
        return self._plugin

    def _sent(self, photo: Photo) -> Any:
        """Returns the task that has a photo's contents."""
        if self._photo is None or self._photo[0] != photo.digest:
            contents = photo.load()
            key = ("photo", f"{photo.label}-{photo.digest[:12]}", self._sweep)
            # A photo of many megabytes is no mistake.
            with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1TB"}):
                self._photo = photo.digest, self._client.submit(_as_it_is, contents, key=key)
        return self._photo[1]

    def _forget(self) -> None:
        self._photo = None
        if self._plugin is not None:
            self._client.unregister_worker_plugin(self._plugin)
            self._plugin = None


class _SharedPlugin(WorkerPlugin):
    def __init__(self, shared: Shared) -> None:
        self.shared = shared


def _as_it_is(contents: Any) -> Any:
    return contents


def _shared(name: str) -> Shared:
    shared: Shared = get_worker().plugins[name].shared
    return shared


def _open(name: str, photo: Photo, given: Any, *others: Any) -> str | Exception:
    return worker_here().open(_shared(name), replace(photo, given=given), *others)


def _paint(name: str, task: Task, given: Any) -> Result:
    whole = replace(task, photo=replace(task.photo, given=given))
    return worker_here().paint(_shared(name), whole)
