"""Claims: who paints a run, where several sweeps share a folder.

A claim is a file that only one can make, and that its owner touches now and then. One that nobody
has touched for minutes, or whose process is known to be gone, is taken over by making the next one
after it, which again only one can do. So nothing is renamed, and nothing removed, that another may
have looked at meanwhile. All times are the file system's own.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import platform
import tempfile
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

HEARTBEAT = 30.0
"""Seconds between two touches of a claim."""

STALE = 300.0
"""Seconds without a touch after which a claim does not hold any more."""


class Claims:
    """The claims of one sweep in a folder; those that are left when it ends are given back.

    Args:
        place: The folder.

    Attributes:
        began: When the sweep began, in seconds of the file system's clock.
    """

    def __init__(self, place: Path) -> None:
        self._place = place
        self._held: dict[str, Path] = {}
        self._owner = json.dumps(_this_process()).encode()
        self._ended = threading.Event()
        self._pulse = threading.Thread(target=self._beat, daemon=True)
        self.began = _now_in(place)

    def __enter__(self) -> Claims:
        self._pulse.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        for name in [*self._held]:
            self.give_back(name)

    def take(self, name: str) -> bool:
        """Returns whether a run is this sweep's to paint, by the name of its files."""
        number = 1
        while True:
            claim = self._file(name, number)
            try:
                with open(claim, "xb") as file:
                    file.write(self._owner)
            except FileExistsError:
                if not self._is_abandoned(claim):
                    return False
                number += 1
            else:
                self._held[name] = claim
                return True

    def settle(self, name: str) -> None:
        """Removes the claims of a run whose outcome is in the folder.

        The last one goes first: whoever takes it over now will see the outcome.
        """
        claim = self._held.pop(name)
        for number in range(_number(claim), 0, -1):
            self._file(name, number).unlink(missing_ok=True)

    def give_back(self, name: str) -> None:
        """Lets others paint a run that wasn't finished."""
        claim = self._held.pop(name)
        with contextlib.suppress(FileNotFoundError):
            if _number(claim) == 1:
                claim.unlink()
            else:  # the ones before it must not be the last again
                os.utime(claim, (0, 0))

    def _file(self, name: str, number: int) -> Path:
        return self._place / f"{name}.claim{number}"

    def _is_abandoned(self, claim: Path) -> bool:
        try:
            touched = claim.stat().st_mtime
            owner = claim.read_bytes()
        except FileNotFoundError:  # it has been settled just now, and will be looked at again
            return False
        return _is_gone(owner) or _now_in(self._place) - touched > STALE

    def _beat(self) -> None:
        while not self._ended.wait(HEARTBEAT):
            for claim in [*self._held.values()]:
                with contextlib.suppress(OSError):
                    os.utime(claim)


def _number(claim: Path) -> int:
    return int(claim.suffix.removeprefix(".claim"))


def _this_process() -> dict[str, Any]:
    return {"machine": _machine(), "pid": os.getpid(), "since": psutil.Process().create_time()}


@functools.cache
def _machine() -> str:
    """Names the machine since it was started, and a container on it, by what Linux says of them.

    Machines that were made from one image may share a name.
    """
    name = platform.node()
    with contextlib.suppress(OSError):
        name += f" {Path('/proc/sys/kernel/random/boot_id').read_text().strip()}"
        name += f" {Path('/proc/self/ns/pid').readlink()}"
    return name


def _is_gone(owner: bytes) -> bool:
    """True for a process that was on this machine, and is no more; of others nothing is known."""
    try:
        known = json.loads(owner)
        if known["machine"] != _machine():
            return False
        since: float = psutil.Process(known["pid"]).create_time()
        return bool(abs(since - known["since"]) > 2)  # another process has got its number
    except psutil.NoSuchProcess:
        return True
    except (ValueError, KeyError, TypeError, psutil.Error):  # it is being written, say
        return False


def _now_in(place: Path) -> float:
    with tempfile.TemporaryFile(dir=place) as file:
        return os.fstat(file.fileno()).st_mtime
