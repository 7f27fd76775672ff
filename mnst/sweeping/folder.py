"""What a sweep's folder keeps of a run: its picture, and a record in JSON that vouches for it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mnst import images
from mnst.engine.trainer import StepRecord
from mnst.images import sha256
from mnst.painting.result import Result
from mnst.sweeping.course import Task


@dataclass(frozen=True)
class KeptRun:
    """A run that lies in a folder, and is read when somebody asks for it.

    Attributes:
        record: The file of its record; the picture lies beside it.
    """

    record: Path

    def numbers(self) -> dict[str, Any]:
        """Returns its record; see `record_of`."""
        with images.open_file(self.record) as file:
            kept: dict[str, Any] = json.load(file)
        return kept

    def result(self) -> Result:
        """Reads all of it.

        Raises:
            OSError: If its files are gone.
            ValueError: If they are damaged.
        """
        picture, kept = _picture(self.record), self.numbers()
        if kept["picture"] != sha256(picture):
            raise ValueError(f"{images.named(picture)}: is damaged; remove it, and sweep again")
        with images.opened(picture, str(picture)) as (image, _):
            pixels = np.asarray(image)
        return Result(
            image=pixels[..., :3],
            history=tuple(StepRecord(**row) for row in kept["history"]),
            start_losses=tuple(kept["start_losses"]),
            settings=kept["settings"],
            alpha=pixels[..., 3] if pixels.shape[2] == 4 else None,
        )


@dataclass(frozen=True)
class Folder:
    """Where runs are kept, each as soon as it is finished.

    Attributes:
        place: The folder.
    """

    place: Path

    def find(self, task: Task) -> KeptRun | None:
        """Returns a run that was kept whole; None if it wasn't.

        The record is read, and the picture only measured, since there may be ten thousand.
        """
        record = self._record(task)
        kept = _read(record)
        try:
            whole = kept["key"] == task.key and kept["bytes"] == _picture(record).stat().st_size
        except (OSError, KeyError, TypeError):
            return None
        return KeptRun(record) if whole else None

    def save(self, task: Task, result: Result) -> KeptRun:
        """Keeps a run: first its picture, then the record."""
        record = self._record(task)
        picture = _picture(record)
        result.save(picture)
        whole = {"key": task.key, "picture": sha256(picture), "bytes": picture.stat().st_size}
        images.write_atomically(record, json.dumps({**whole, **record_of(result)}).encode())
        return KeptRun(record)

    def save_error(self, task: Task, error: str) -> None:
        """Keeps what a run failed with, so that whoever makes the tables knows of it."""
        record = json.dumps({"key": task.key, "error": error})
        images.write_atomically(self._record(task), record.encode())

    def find_error(self, task: Task, *, since: float = 0.0) -> str | None:
        """Returns what a run failed with, if it did, and after a time of the file system's."""
        record = self._record(task)
        kept = _read(record)
        failed = isinstance(kept, dict) and kept.get("key") == task.key
        return kept.get("error") if failed and record.stat().st_mtime > since else None

    def count(self) -> int:
        """Returns how many runs it has records of, of whatever sweep."""
        return sum(1 for record in self.place.glob("*.json") if record.name != "sweep.json")

    def _record(self, task: Task) -> Path:
        return self.place / f"{task.stem}.json"


def _picture(record: Path) -> Path:
    return record.with_suffix(".png")


def _read(record: Path) -> Any:
    """Returns what a record says; None, if there is none, or not all of it."""
    try:
        with images.open_file(record) as file:
            return json.load(file)
    except (OSError, ValueError):
        return None


def record_of(result: Result) -> dict[str, Any]:
    """Returns all of a result but its picture, as plain values that JSON can hold."""
    names = ("step", "losses", "learning_rate", "seconds", "size")
    return {
        "settings": result.settings,
        "start_losses": result.start_losses,
        "history": [{name: getattr(step, name) for name in names} for step in result.history],
    }
