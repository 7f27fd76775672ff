"""What a sweep costs beyond its steps: `python benchmarks/sweep.py`.

Prints the wall time of a sweep over 11 gammas, kept in a folder, as a ratio to that of its steps.
"""

import argparse
import tempfile
import time

from matplotlib import cbook

import mnst
from mnst.paintings import glass, swirls


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--steps", type=int, default=100)
    options = parser.parse_args()
    photo = cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        sweep = mnst.sweep(
            photo,
            [swirls(), glass()],
            gamma=[k / 10 for k in range(11)],
            recipe="article",
            size=options.size,
            steps=options.steps,
            folder=folder,
            progress=False,
        )
    wall = time.perf_counter() - began
    steps = sum(run.result.history[-1].seconds for run in sweep)
    print(f"{len(sweep)} runs of {options.steps} steps at {options.size} pixels")
    print(f"steps {steps:.1f} s, sweep {wall:.1f} s, imports included: ratio {wall / steps:.3f}")


if __name__ == "__main__":
    main()
