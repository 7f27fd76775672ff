"""A process that paints on and on, and its memory after every picture: `python benchmarks/soak.py`.

Pictures of random sizes, styles and options, through `vgg19-lite`, a step or two each: what a
service or a long notebook does to a process. Its memory has to level off.
"""

import argparse
import gc
import json
from pathlib import Path

import numpy as np
import psutil
from matplotlib.figure import Figure

import mnst

RECIPES = ["fine", "draft", "article", "paper", "tutorial", "fast", "article,total_variation=1e12"]


def picture(random: np.random.Generator, longest: int) -> np.ndarray:
    sides = random.integers(48, longest, 2)
    return random.integers(0, 256, (*sides, 3), dtype=np.uint8)


def options(random: np.random.Generator, photo: np.ndarray, styles: int, longest: int) -> dict:
    """Returns a run's options, of the kinds that have a step, targets or tiles of their own."""
    chosen = {
        "recipe": str(random.choice(RECIPES)),
        "gamma": random.dirichlet(np.ones(styles)).tolist(),
        "init": str(random.choice(["content", "noise"])),
        "precision": str(random.choice(["float32", "auto"])),
        "steps": int(random.integers(1, 3)),
        "size": longest,
    }
    if random.random() < 0.3:
        chosen["mask"] = random.random(photo.shape[:2], np.float32) < 0.8
        chosen["localize"] = str(random.choice(["guided", "composite"]))
    elif random.random() < 0.2:
        chosen["style_masks"] = [random.random(photo.shape[:2], np.float32) for _ in range(styles)]
    elif random.random() < 0.3:
        chosen["sigma"] = "auto"
    if random.random() < 0.2:  # in tiles
        chosen["memory"] = "1.1GB"
    return chosen


def paint_on(pictures: int, longest: int, seed: int) -> list[int]:
    """Returns the bytes that the process has after each picture."""
    random = np.random.default_rng(seed)
    process, taken = psutil.Process(), []
    for made in range(1, pictures + 1):
        photo = picture(random, longest)
        styles = [picture(random, longest) for _ in range(random.integers(1, 5))]
        chosen = options(random, photo, len(styles), longest)
        mnst.stylize(photo, styles, backbone="vgg19-lite", progress=False, **chosen)
        taken.append(process.memory_info().rss)
        if made % 20 == 0:
            print(f"{made} pictures: {taken[-1] / 1e6:.0f} MB", flush=True)
    return taken


def levels_off(taken: list[int]) -> float:
    """Returns how much larger the median of the last third is than that of the middle one."""
    third = len(taken) // 3
    middle, last = np.median(taken[third : 2 * third]), np.median(taken[2 * third :])
    return float(last / middle)


def plot(taken: list[int]) -> Figure:
    figure = Figure(figsize=(7, 3), layout="constrained")
    axes = figure.add_subplot(xlabel="pictures painted", ylabel="memory of the process in MB")
    axes.plot(range(1, len(taken) + 1), np.array(taken) / 1e6)
    axes.set_ylim(0)
    axes.grid(alpha=0.3)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=300)
    parser.add_argument("--longest", type=int, default=320, help="side in pixels")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("soak.json"))
    parser.add_argument("--plot", type=Path, help="a picture file")
    given = parser.parse_args()
    taken = paint_on(given.pictures, given.longest, given.seed)
    gc.collect()
    ratio = levels_off(taken)
    print(f"at the end {taken[-1] / 1e6:.0f} MB; last third / middle third: {ratio:.3f}")
    given.output.write_text(json.dumps({"bytes": taken, "last_to_middle": ratio}))
    if given.plot is not None:
        plot(taken).savefig(given.plot)


if __name__ == "__main__":
    main()
