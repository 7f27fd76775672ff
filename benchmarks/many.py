"""Ten thousand photos in one sweep, killed on the way, and on Dask: `python benchmarks/many.py`.

Paints photos of 64 pixels through `vgg19-lite`, two steps each, in a process of its own that is
killed and started again, and prints how its memory went, what a photo took beside its steps, and
whether all came out as `stylize` paints them. Then some of them in processes and on Dask, a core
each, beside a process that has all cores: the ratio of both, and what a task takes beyond its work.
"""

import argparse
import contextlib
import csv
import json
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

import mnst
from mnst.paintings import glass, swirls
from mnst.sweeping.processes import processes_here

SIDE, STEPS, COMPARED = 64, 2, 20
OPTIONS = {"steps": STEPS, "size": SIDE, "backbone": "vgg19-lite", "recipe": "article"}
ONE_CORE = {f"TF_NUM_{kind}_THREADS": "1" for kind in ("INTRAOP", "INTEROP")}


def styles():
    return [swirls(size=SIDE), glass(size=SIDE)]


def draw(folder: Path, photos: int) -> None:
    """Writes photos of noise, which no two have in common."""
    noise = np.random.default_rng(0)
    for k in range(photos):
        pixels = noise.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
        mnst.save_image(folder / f"{k:05}.png", pixels)


def paint(photos: Path, folder: Path, processes: int | None) -> None:
    """What the process does that is killed."""
    given = {"folder": folder, "processes": processes, "progress": False, **OPTIONS}
    mnst.sweep(photos, styles(), **given)


def finished(folder: Path) -> int:
    return sum(name.name.endswith(".json") for name in os.scandir(folder)) if folder.exists() else 0


def watched(photos: Path, folder: Path, until: int | None, processes: int | None) -> dict:
    """Runs the process to its end, or kills it at so many photos; says what it took."""
    began, before = time.perf_counter(), finished(folder)
    command = [sys.executable, __file__, "--paint", str(photos), str(folder)]
    command += ["--processes", str(processes)] if processes else []
    process = psutil.Popen(command)
    memory = []
    while process.poll() is None:
        with_all = finished(folder)
        if until is not None and with_all >= until:
            process.send_signal(signal.SIGKILL)
            break
        memory.append((with_all, memory_of(process)))
        time.sleep(0.5)
    process.wait()
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "painted": finished(folder) - before, "memory": memory}


def memory_of(process: psutil.Process) -> int:
    """Returns what a process holds, and those that it has started."""
    total = 0
    for each in (process, *process.children(recursive=True)):
        with contextlib.suppress(psutil.Error):  # it has just ended
            total += each.memory_info().rss
    return total


def level(run: dict) -> float:
    """How far a process' memory went up and down, in MB, after a tenth of its photos."""
    first = run["memory"][-1][0] - 0.9 * run["painted"]
    # The last look is at a process that is ending.
    taken = [size for done, size in run["memory"][:-1] if done >= first]
    return (max(taken) - min(taken)) / 1e6


def seconds_of_steps(folder: Path) -> float:
    with open(folder / "sweep.csv", newline="") as file:
        return sum(float(row["seconds"]) for row in csv.DictReader(file))


def differing(photos: Path, folder: Path) -> int:
    """Paints some of the photos by themselves, and counts those that came out otherwise."""
    every = sorted(photos.iterdir())
    count = 0
    for photo in random.Random(0).sample(every, min(COMPARED, len(every))):
        alone = mnst.stylize(photo, styles(), progress=False, **OPTIONS)
        (kept,) = folder.glob(f"{photo.stem}-*.png")
        count += not np.array_equal(alone.image, mnst.load_image(kept, size=None)[0])
    return count


def on_dask(photos: list[Path], workers: int) -> float:
    """Times a cluster; see `timed`."""
    import dask
    from distributed import Client, LocalCluster

    # Dask has workers give memory back at once, and small pictures take twice as long for it.
    dask.config.set({"distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": None})
    given = {"threads_per_worker": 1, "dashboard_address": None, "env": ONE_CORE}
    with LocalCluster(n_workers=workers, **given) as cluster, Client(cluster) as client:
        return timed(photos, client)[0]


def in_processes(photos: list[Path], workers: int) -> float:
    """Times processes as `processes=` starts them; see `timed`."""
    with processes_here(workers) as pool:
        return timed(photos, pool)[0]


def timed(photos: list[Path], executor: Any = None) -> tuple[float, float]:
    """Returns the seconds of a sweep, after a short one that compiles the steps, and its steps'."""
    for some in (photos[:8], photos):
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            given = {"folder": folder, "progress": False, **OPTIONS}
            mnst.sweep([*some], styles(), executor=executor, **given)
            seconds = time.perf_counter() - began
            steps = seconds_of_steps(Path(folder))
    return seconds, steps


def report(photos: Path, given: argparse.Namespace) -> dict:
    folder = photos.parent / "painted"
    stops = [k * given.photos // (given.kills + 1) for k in range(1, given.kills + 1)]
    runs = [watched(photos, folder, until, given.processes) for until in (*stops, None)]
    last = runs[-1]
    print(f"killed at {', '.join(map(str, stops))} photos; {finished(folder) - 1} finished")
    print(f"memory of the last process within {level(last):.0f} MB")
    seconds, steps = sum(run["seconds"] for run in runs), seconds_of_steps(folder)
    print(f"{given.photos / seconds:.2f} photos a second", end="")
    print("" if given.processes else f", {seconds / steps:.3f} times their steps")
    with processes_here(given.processes or 1) as pool:  # by as many threads
        others = pool.submit(differing, photos, folder).result()
    print(f"{others} of {COMPARED} differ from what stylize paints")
    found = {"runs": runs, "steps": steps}
    if given.beside:
        found |= beside(sorted(photos.iterdir())[: given.beside])
    return found


def beside(photos: list[Path]) -> dict:
    """Measures processes, a core each, beside one that has all cores."""
    workers = psutil.cpu_count(logical=False) or 1
    serial, steps = timed(photos)
    found = {"serial": serial, "serial_steps": steps, "workers": workers}
    for name, how in (("processes", in_processes), ("Dask", on_dask)):
        found[name] = how(photos, workers)
        print(f"{workers} by {name}: {serial / found[name]:.2f} times one process's rate")
        print(f"  a photo takes {found[name] / steps:.3f} times its steps in one process")
    beyond = 1e3 * workers * (found["Dask"] - found["processes"]) / len(photos)
    print(f"Dask takes {beyond:.1f} ms of a core for a photo beyond what processes take")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--processes", type=int, help="that paint them; one, if it isn't given")
    parser.add_argument(
        "--beside", type=int, default=400, help="photos in processes and on Dask; 0 for none"
    )
    parser.add_argument("--output", type=Path, default=Path("many.json"))
    parser.add_argument("--paint", nargs=2, type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.paint:
        paint(*given.paint, given.processes)
        return
    with tempfile.TemporaryDirectory() as folder:
        photos = Path(folder) / "photos"
        photos.mkdir()
        draw(photos, given.photos)
        given.output.write_text(json.dumps(report(photos, given)))


if __name__ == "__main__":
    main()
