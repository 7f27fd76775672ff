"""One picture on several machines, simulated: `python benchmarks/machines.py --parts 1 2 4`.

A picture is cut into strips of rows, each with what its deepest layer sees above and below. A step
is a map, a reduce and a map: every machine sends the sums of its strip (Gram matrices, and the
content's features); they are added up, and the losses say how they want them changed; every machine
pulls that back to the pixels of its strip, and what strips overlap is added up.

Each machine is a process, and they work in turn, so that each has all cores, as it would have them.
Prints and writes seconds, bytes, what a task costs beyond its work, how many times as soon a step
would be done over a network of a given speed, and how much of processors' time all strips take,
relative to the whole: that hardly depends on what else the machine has to do.
"""

import argparse
import json
import multiprocessing
import pickle
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

import mnst
from mnst.backend import tf
from mnst.engine.tiled import Tiled
from mnst.objective.losses import Places, make_targets, style_targets
from mnst.objective.regions import halvings
from mnst.objective.terms import Seen
from mnst.paintings import glass, swirls
from mnst.recipes import get_recipe

ALIGNED = 16  # pixels: the pools up to block5 take the same positions together as in the picture
HALO = 192  # what block5_conv2 sees on every side is 187 pixels


class Strip(NamedTuple):
    """Rows of a picture: a machine's own, and those with what its layers see around them."""

    rows: slice
    around: slice


def strips(height, parts):
    starts = [height * part // parts // ALIGNED * ALIGNED for part in range(parts)]
    ends = [*starts[1:], height]
    return [
        Strip(slice(start, end), slice(max(start - HALO, 0), min(end + HALO, height)))
        for start, end in zip(starts, ends, strict=True)
    ]


class Machine:
    """What one machine does for a strip: nothing is known here of other strips.

    Only what lies in its own rows counts: a mask says so, which the sums are brought to the mean
    of, and that is taken back.
    """

    def __init__(self, recipe, backbone, weights, dtype, tile):
        extractor = mnst.vgg_layers(recipe.layers, backbone=backbone, weights=weights, dtype=dtype)
        self.tiled = Tiled(extractor, recipe, tile=tile)
        self.recipe = recipe

    def see(self, pixels, strip):
        """The first map: a strip's sums and features, by term."""
        own = np.zeros((1, *pixels.shape[1:3]), np.float32)
        top, bottom = (side - strip.around.start for side in (strip.rows.start, strip.rows.stop))
        own[:, top:bottom] = 1
        self.levels = halvings(own)
        self.places = Places(tuple(map(tf.constant, self.levels)))
        self.top, self.bottom = top, bottom
        seen, self.given = self.tiled.forward(pixels, self.places)
        self.seen = seen
        return {
            name: Seen(
                {layer: self._own(name, layer) for layer in of.values},
                {layer: float(m) * self._share(m) for layer, m in of.positions.items()},
            )
            for name, of in seen.items()
        }

    def pull(self, of_values):
        """The second map: the gradient of the strip, and of what lies around it."""
        whole = {
            name: {layer: self._spread(name, layer, of) for layer, of in layers.items()}
            for name, layers in of_values.items()
        }
        return self.tiled.backward(self.given, self.places, whole)

    def _own(self, name, layer):
        seen, value = self.seen[name], self.seen[name].values[layer].numpy()
        if layer in seen.positions:
            return value * self._share(seen.positions[layer])
        return value[:, self._rows(value)]

    def _spread(self, name, layer, of):
        """The gradient with respect to what was seen of all of it, given that of its own part."""
        seen = self.seen[name]
        if layer in seen.positions:
            return tf.constant(of * self._share(seen.positions[layer]))
        value = np.zeros(seen.values[layer].shape, of.dtype)
        value[:, self._rows(value)] = of
        return value

    def _share(self, positions):
        """How much of a layer of so many positions the machine's own rows are."""
        return float(next(of.mean() for of in self.levels if of[0].size == int(positions)))

    def _rows(self, features):
        scale = 2 ** next(k for k, of in enumerate(self.levels) if of.shape[1] == features.shape[1])
        return slice(self.top // scale, self.bottom // scale)


def add_up(seen):
    """The reduce: the picture's statistics, given those of its strips from top to bottom."""
    first = seen[0]
    return {
        name: Seen(
            {
                layer: tf.constant(
                    sum(of[name].values[layer] for of in seen)
                    if layer in first[name].positions
                    else np.concatenate([of[name].values[layer] for of in seen], axis=1)
                )
                for layer in first[name].values
            },
            {
                layer: tf.constant(sum(of[name].positions[layer] for of in seen), tf.float32)
                for layer in first[name].positions
            },
        )
        for name in first
    }


def deal(of_values, seen):
    """What each machine is sent back: of sums all of it, of features what lies in its rows."""
    dealt, row = [], {}
    for of in seen:
        part = {}
        for name, layers in of_values.items():
            part[name] = {}
            for layer, value in layers.items():
                if layer not in of[name].positions:
                    start = row.get((name, layer), 0)
                    row[name, layer] = stop = start + of[name].values[layer].shape[1]
                    value = value[:, start:stop]
                part[name][layer] = np.asarray(value)
        dealt.append(part)
    return dealt


def step(picture, targets, machines, cut, pull_losses):
    """A step's gradient, float32 [1, H, W, 3], and its losses.

    Args:
        picture: float32 [1, H, W, 3].
        targets: Of the whole picture, everywhere.
        machines: A `Machine`, or what stands for one, for each strip.
        cut: The strips.
        pull_losses: Of any evaluator in tiles.
    """
    seen = [
        machine.see(picture[:, strip.around], strip)
        for machine, strip in zip(machines, cut, strict=True)
    ]
    objective, losses, of_values = pull_losses(add_up(seen), targets)
    del objective
    gradient = np.zeros_like(picture)
    for machine, strip, part in zip(machines, cut, deal(of_values, seen), strict=True):
        gradient[:, strip.around] += machine.pull(part)
    return gradient, losses


# Machines that are processes

_machine = None


def _open(recipe, *given):
    global _machine
    _machine = Machine(get_recipe(recipe), *given)


def _call(name, given):
    began, busy = time.perf_counter(), time.process_time()
    answer = getattr(_machine, name)(*given)
    return answer, time.perf_counter() - began, time.process_time() - busy


class Remote:
    """A machine in a process of its own; notes what its calls take."""

    def __init__(self, *given):
        spawn = multiprocessing.get_context("spawn")
        self._process = ProcessPoolExecutor(1, spawn, initializer=_open, initargs=given)
        self.calls = {}

    def see(self, *given):
        return self._asked("see", given)

    def pull(self, *given):
        return self._asked("pull", given)

    def close(self):
        self._process.shutdown()

    def _asked(self, name, given):
        began = time.perf_counter()
        answer, seconds, work = self._process.submit(_call, name, given).result()
        beyond = time.perf_counter() - began - seconds
        sizes = [len(pickle.dumps(each)) for each in (given, answer)]
        self.calls[name] = {"seconds": seconds, "work": work, "beyond": beyond}
        self.calls[name] |= {"out": sizes[0], "back": sizes[1]}
        return answer


def scene(tiled, recipe, side):
    """A picture of noise, and targets of two styles."""
    random = np.random.default_rng(0)
    content, picture = (random.uniform(0, 255, (2, 1, side, side, 3))).astype(np.float32)
    photo = tiled.statistics(content)
    styles = (tiled.statistics(each[np.newaxis]) for each in (swirls(), glass()))
    asked = style_targets(styles, photo, recipe)
    return picture, make_targets(photo, asked, recipe, gamma=(0.5, 0.5), sigma=(1, 1))


def measure(picture, targets, tiled, parts, given):
    """Two steps, of which the second counts: the first compiles."""
    cut = strips(picture.shape[1], parts)
    machines = [Remote(*given) for _ in cut]
    for _ in range(2):
        began = time.perf_counter()
        gradient, _ = step(picture, targets, machines, cut, tiled.pull_losses)
        wall = time.perf_counter() - began
    calls = [machine.calls for machine in machines]
    for machine in machines:
        machine.close()
    in_calls = sum(of["seconds"] + of["beyond"] for call in calls for of in call.values())
    slowest = {name: max(call[name]["seconds"] for call in calls) for name in ("see", "pull")}
    return gradient, {
        "parts": parts,
        "see": slowest["see"],
        "pull": slowest["pull"],
        "reduce": wall - in_calls,
        "work": sum(of["work"] for call in calls for of in call.values()),
        "beyond": float(np.mean([of["beyond"] for call in calls for of in call.values()])),
        "bytes": {
            f"{name} {way}": max(call[name][way] for call in calls)
            for name in ("see", "pull")
            for way in ("out", "back")
        },
        "all_bytes": sum(of["out"] + of["back"] for call in calls for of in call.values()),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=1024, help="side of the square picture")
    parser.add_argument("--parts", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--backbone", default="vgg19")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--recipe", default="article")
    parser.add_argument("--tile", type=int, default=512)
    parser.add_argument("--network", type=float, default=10, help="Gbit/s, of one machine in all")
    parser.add_argument("--output", type=Path, default=Path("machines.json"))
    options = parser.parse_args()
    given = options.recipe, options.backbone, None, options.dtype, options.tile
    recipe = get_recipe(options.recipe)
    tiled = Machine(recipe, *given[1:]).tiled
    picture, targets = scene(tiled, recipe, options.size)
    for _ in range(2):
        began, busy = time.perf_counter(), time.process_time()
        _, expected, _ = tiled.gradient(tf.constant(picture), targets)
        alone, work = time.perf_counter() - began, time.process_time() - busy
    print(f"{options.size} x {options.size}, {options.recipe}, {options.backbone}, {options.dtype}")
    print(f"on one machine, in tiles of {options.tile}: {alone:.2f} s, {work:.1f} of processors")
    report = {**vars(options), "output": str(options.output), "alone": alone, "work": work}
    report["runs"] = []
    for parts in options.parts:
        gradient, run = measure(picture, targets, tiled, parts, given)
        run["apart"] = float(np.linalg.norm(gradient - expected) / np.linalg.norm(expected))
        carried = run["all_bytes"] * 8e-9 / options.network
        run["step"] = run["see"] + run["pull"] + run["reduce"] + 2 * run["beyond"] + carried
        run["times"] = alone / run["step"]
        report["runs"].append(run)
        sizes = ", ".join(f"{name} {size / 1e6:.1f} MB" for name, size in run["bytes"].items())
        print(
            f"{parts} parts: see {run['see']:.2f} s, reduce {run['reduce']:.2f} s, pull "
            f"{run['pull']:.2f} s, beyond {1e3 * run['beyond']:.0f} ms a task; {sizes}; a step "
            f"{run['step']:.2f} s, {run['times']:.2f} times as soon, with {run['work'] / work:.2f} "
            f"times the work; off by {run['apart']:.1e}",
            flush=True,
        )
    options.output.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
