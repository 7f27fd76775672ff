"""Runs that are killed at random moments and started again: `python benchmarks/resume.py`.

Each is painted once without a break. Then, once for each moment, a process is killed with SIGKILL,
and another is started with the same arguments. Prints how many of those end with the same file,
byte for byte, and what the checkpoints cost.
"""

import argparse
import multiprocessing
import random
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from matplotlib import cbook

import mnst
from mnst.optimizers import LBFGS, Adam
from mnst.painting import checkpoints
from mnst.paintings import glass, swirls

SPAWN = multiprocessing.get_context("spawn")
OPTIMIZERS = {"adam": Adam(), "lbfgs": LBFGS()}


@dataclass(frozen=True)
class Way:
    """A run: what is painted, and how."""

    optimizer: str
    surrogate: str
    size: int
    steps: int
    backbone: str
    memory: int | None = None

    @property
    def options(self) -> dict[str, Any]:
        recipe = mnst.FINE.replace(
            optimizer=OPTIMIZERS[self.optimizer], surrogate=self.surrogate, steps=self.steps
        )
        return {
            "recipe": recipe,
            "size": self.size,
            "backbone": self.backbone,
            "memory": self.memory,
        }


def photo() -> Any:
    return cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)


def paint(way: Way, picture: Path, checkpoint: Path | None, every: float, said: Connection) -> None:
    """Paints, in a process of its own; says every step, and the seconds of all at the end."""
    checkpoints.EVERY, checkpoints.SHARE = every, float("inf")
    result = mnst.stylize(
        photo(),
        [swirls(), glass()],
        **way.options,
        checkpoint=checkpoint,
        callback=lambda record: said.send(record.step),
        progress=False,
    )
    result.save(picture)
    said.send((result.history[-1].seconds, result.settings["tile"]))


def start(*given: Any) -> tuple[Any, Connection, int]:
    """Starts a process that paints; returns it at its first step."""
    hears, said = SPAWN.Pipe(duplex=False)
    process = SPAWN.Process(target=paint, args=(*given, said))
    process.start()
    said.close()
    return process, hears, hears.recv()


def finish(*given: Any) -> tuple[int, float, int | None]:
    """Paints to the end; returns the first step, the seconds, and the side of tiles."""
    process, hears, first = start(*given)
    last: Any = first
    while not isinstance(last, tuple):
        last = hears.recv()
    process.join()
    return first, *last


def tried(way: Way, moments: int, draw: Callable[[float], float]) -> str:
    """Returns a row of the table."""
    with tempfile.TemporaryDirectory() as folder:
        whole, parts, path = (Path(folder) / name for name in ("whole.png", "parts.png", "run.npz"))
        _, seconds, tile = finish(way, whole, None, 0.0)
        _, kept, _ = finish(way, parts, path, 1.0)
        equal, firsts, size = int(whole.read_bytes() == parts.read_bytes()), [], 0
        for _ in range(moments):
            process, hears, _ = start(way, parts, path, 0.0)
            time.sleep(draw(seconds))
            process.kill()
            process.join()
            hears.close()  # not before: who can't be told any more ends by itself
            size = max(size, path.stat().st_size if path.exists() else 0)
            parts.unlink(missing_ok=True)
            firsts.append(finish(way, parts, path, 0.0)[0])
            equal += whole.read_bytes() == parts.read_bytes()
    how = "as a whole" if tile is None else f"in tiles of {tile}"
    return (
        f"| {way.optimizer} | {how} | {equal} of {moments + 1} | {min(firsts)} to {max(firsts)} "
        f"| {size / 1e6:.0f} MB | {seconds:.1f} s | {kept - seconds:+.1f} s |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moments", type=int, default=20)
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--backbone", default="vgg19")
    parser.add_argument("--surrogate", default="vgg19-lite")
    options = parser.parse_args()
    draw = random.Random(7)
    print(
        "| | | the same bytes | went on at step | file | seconds | with a write every second |\n"
        "|---|---|---|---|---|---|---|"
    )
    for optimizer in OPTIMIZERS:
        whole = Way(optimizer, options.surrogate, options.size, options.steps, options.backbone)
        needed = mnst.plan(photo(), [swirls(), glass()], **whole.options).memory
        for way in (whole, replace(whole, memory=needed - 1)):
            print(tried(way, options.moments, lambda most: draw.uniform(0, most)), flush=True)


if __name__ == "__main__":
    main()
