"""Large pictures, as a whole and in tiles, beside what was planned: `python benchmarks/large.py`.

Each run is a process of its own; its memory is the most that it had, its time that of a step.
Needs VGG19's weights (or `--backbone vgg19-lite`). 24 megapixels are `--pictures 6000x4000:8GB`.
"""

import argparse
import json
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np

import mnst
from mnst.engine.planning import tiles_named
from mnst.paintings import glass, swirls

PICTURES = ["1024x1024", "1024x1024:1.9GB", "2048x2048", "2048x2048:3.2GB", "4096x4096:8GB"]


def measure(width: int, height: int, memory: str | None, backbone: str, steps: int) -> dict:
    """Paints a picture of noise, after a plan; returns what was planned and what it took."""
    cells = np.random.default_rng(0).integers(0, 256, (height // 4 + 1, width // 4 + 1, 3))
    photo = cells.astype(np.uint8).repeat(4, axis=0).repeat(4, axis=1)[:height, :width]
    options = {"recipe": "article", "size": max(width, height), "backbone": backbone}
    options |= {"memory": memory, "steps": steps}
    plan = mnst.plan(photo, **options)
    result = mnst.stylize(photo, [swirls(), glass()], progress=False, **options)
    # The first step compiles, and the last picture is measured without one.
    taken = np.diff([record.seconds for record in result.history])[:-1]
    return {
        "width": width,
        "height": height,
        "tile": result.settings["tile"],
        "precision": result.settings["precision"],
        "planned": {"memory": plan.memory, "seconds": plan.seconds / plan.steps},
        "taken": {
            "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            "seconds": float(np.median(taken)),
        },
    }


def in_a_process(picture: str, options: argparse.Namespace) -> dict:
    command = [sys.executable, __file__, "--one", picture, "--backbone", options.backbone]
    command += ["--steps", str(options.steps)]
    ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(ran.stdout.splitlines()[-1])


def row(run: dict) -> str:
    planned, taken = run["planned"], run["taken"]
    pixel = taken["seconds"] / run["width"] / run["height"] * 1e6
    return (
        f"{run['width']} x {run['height']}, {tiles_named(run['tile'])}, {run['precision']}: "
        f"{taken['memory'] / 2**30:.2f} GiB ({planned['memory'] / taken['memory'] - 1:+.0%} "
        f"planned), {taken['seconds']:.2f} s a step "
        f"({planned['seconds'] / taken['seconds'] - 1:+.0%} planned), {pixel:.2f} us a pixel"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", nargs="+", default=PICTURES, metavar="WIDTHxHEIGHT[:MEMORY]")
    parser.add_argument("--backbone", default="vgg19")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--output", type=Path, default=Path("large.json"))
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.steps < 2:
        parser.error(f"--steps is {options.steps}: give 2 or more, the first compiles")
    if options.one is not None:
        sides, _, memory = options.one.partition(":")
        width, height = map(int, sides.split("x"))
        one = measure(width, height, memory or None, options.backbone, options.steps)
        print(json.dumps(one))
        return
    runs = []
    for picture in options.pictures:
        runs.append(in_a_process(picture, options))
        print(row(runs[-1]), flush=True)
    options.output.write_text(json.dumps(runs, indent=1))


if __name__ == "__main__":
    main()
