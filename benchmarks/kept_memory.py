"""What it saves that TensorFlow keeps the CPU's memory: `python benchmarks/kept_memory.py`.

The command `mnst` has it so (`mnst.backend.keep_memory`); a program has it by setting
TF_CPU_ALLOCATOR_USE_BFC=true. Processes with and without take turns at the same run.
"""

import argparse
import os
import statistics
import subprocess
import sys

RUN = """
import resource, sys, time
from matplotlib import cbook
import mnst
from mnst.paintings import swirls
size, steps, recipe, backbone = int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:]
photo = cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
transfer = mnst.StyleTransfer(photo, swirls(), recipe=recipe, size=size, backbone=backbone)
transfer.run(steps=steps, progress=False)  # compiles
began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
transfer.run(steps=steps, progress=False)
took, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF)
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(took / steps, (after.ru_stime - before.ru_stime) / steps,
      int(status["VmHWM"].split()[0]) * 1024 / 1e9)
"""


def measure(kept: bool, given: argparse.Namespace) -> list[float]:
    """Returns seconds a step, those of them within the system, and peak memory in GB."""
    environment = {**os.environ, "TF_CPU_ALLOCATOR_USE_BFC": str(kept).lower()}
    arguments = [str(given.size), str(given.steps), given.recipe, given.backbone]
    command = [sys.executable, "-c", RUN, *arguments]
    ran = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return [float(number) for number in ran.stdout.split()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--recipe", default="article")
    parser.add_argument("--backbone", default="vgg19")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    told: dict[bool, list[list[float]]] = {False: [], True: []}
    for _ in range(given.rounds):
        for kept, numbers in told.items():
            numbers.append(measure(kept, given))
    print("| memory is | s a step | of it in the system | GB at most |\n|---|---|---|---|")
    for kept, numbers in told.items():
        step, system, peak = (statistics.median(of) for of in zip(*numbers, strict=True))
        print(f"| {'kept' if kept else 'given back'} | {step:.3f} | {system:.3f} | {peak:.2f} |")
    ratios = [one[0] / other[0] for one, other in zip(told[False], told[True], strict=True)]
    print(f"\na step that gives it back takes {statistics.median(ratios):.2f} times as long")


if __name__ == "__main__":
    main()
