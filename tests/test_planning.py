"""What a run is said to take, beside what it takes."""

import functools
import math
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
from PIL import Image
from scenes import PHOTO, RECIPE

import mnst
from mnst.cli import main
from mnst.engine import devices, memory, planning
from mnst.engine.memory import memory_limit
from mnst.engine.planning import (
    Load,
    duration,
    find_tile,
    memory_needed,
    parse_memory,
    style_bytes,
)
from mnst.networks import VGG19, VGG19_LITE


def load_of(precision, backbone=VGG19, recipe=mnst.ARTICLE, style=None):
    """What a run takes, with one style of these sides, or its styles apart."""
    pictures = [] if style is None else [np.empty((1, *style, 3), np.float32)]
    styles = style_bytes(pictures, map(backbone.channels, recipe.style.layer_names))
    # Its content is laid side by side over tiles.
    joined = sum(
        backbone.channels(layer) / backbone.minimum_side([layer]) ** 2
        for layer in recipe.content.layer_names
    )
    return Load(
        backbone.activations,
        precision,
        recipe.optimizer.arrays,
        joined=joined,
        widened=0,
        standing=styles,
    )


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, None),
        (10**9, 10**9),
        ("8GB", 8 * 10**9),
        ("8 gb", 8 * 10**9),
        ("7.5GiB", 7.5 * 2**30),
        ("500M", 500 * 10**6),
        ("64 KiB", 2**16),
        ("123456789", 123456789),
        ("2 B", 2),
        ("1.5T", 1.5e12),
    ],
)
def test_memory_is_bytes_or_a_text(given, expected):
    assert parse_memory(given) == expected


@pytest.mark.parametrize(
    "given", ["much", "8 apples", "-8GB", "0", 0, "GB", "1e9", True, 2.5j, "0.5B", "9" * 400 + "TB"]
)
def test_memory_that_is_neither_is_refused_in_a_line(given):
    with pytest.raises(ValueError, match=r"memory is .*: give bytes, or a text such as '8GB'"):
        parse_memory(given)


def test_it_is_refused_before_pictures_are_read():
    with pytest.raises(ValueError, match="memory is 'little'"):
        mnst.stylize("nowhere.jpg", ["nowhere.jpg"], memory="little")
    with pytest.raises(ValueError, match="memory is 'little'"):
        mnst.plan("nowhere.jpg", memory="little")


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_largest_tiles_that_fit_are_taken(precision):
    sides, load = (3000, 4001), load_of(precision)
    takes = {tile: memory_needed(*sides, load, tile) for tile in (None, *planning.TILES)}
    assert list(takes.values()) == sorted(takes.values(), reverse=True)
    for tile, bytes_taken in takes.items():
        assert find_tile(*sides, load, bytes_taken) == tile
        if tile != planning.TILES[-1]:
            smaller = find_tile(*sides, load, bytes_taken - 1)
            assert smaller is not None
            assert tile is None or smaller < tile


def test_what_can_not_fit_is_refused_in_a_line():
    with pytest.raises(ValueError, match=r"^9000 x 6000 pixels take \d+\.\d GB of memory at least"):
        find_tile(6000, 9000, load_of("bfloat16"), 10**9)


def test_the_limit_is_most_of_what_is_free():
    limit, free = memory_limit(), psutil.virtual_memory().available
    assert 0.5 * free < limit < free + memory.PROCESS


def test_what_a_user_holds_is_not_free(monkeypatch):
    """Everything that the process had was once added to what is free, a user's arrays, too."""

    class Process:
        def memory_info(self):
            return psutil.Process().memory_info()._replace(rss=20 * 10**9)

    free = psutil.virtual_memory()._replace(available=10**10)
    seen = SimpleNamespace(virtual_memory=lambda: free, Process=Process)
    monkeypatch.setattr(memory, "psutil", seen)
    monkeypatch.setattr(memory, "_OWN_GROUPS", Path("nowhere"))
    assert memory_limit() == int(0.9e10) + memory.PROCESS


_KEEPS = """
from pathlib import Path
from types import SimpleNamespace
import psutil
import tensorflow as tf
from mnst.engine import memory
from mnst.engine.memory import memory_limit

def seen():  # a machine on which nothing else comes and goes
    return SimpleNamespace(available=10**11 - psutil.Process().memory_info().rss)

memory.psutil = SimpleNamespace(virtual_memory=seen, Process=psutil.Process)
memory._OWN_GROUPS = Path("nowhere")
tf.zeros(8).numpy()
before = memory_limit()
large = tf.random.uniform((2**28,))  # 1 GiB, of which each page is written
held = memory_limit()
del large
print(before, held, memory_limit())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere what is free is counted otherwise")
@pytest.mark.parametrize("kept", ["true", "false"])
def test_what_tensorflow_keeps_is_free(kept):
    """Else the second picture of a sweep would have less room than the first."""
    ran = subprocess.run(
        [sys.executable, "-c", _KEEPS],
        env={**os.environ, "TF_CPU_ALLOCATOR_USE_BFC": kept},
        capture_output=True,
        text=True,
        check=True,
    )
    before, held, after = map(int, ran.stdout.split())
    assert before - held > 0.6 * 2**30  # of a GiB, most of which is counted
    assert abs(before - after) < 0.35 * 2**30


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """Control groups, of which this process is in those that are named."""
    monkeypatch.setattr(memory, "_OWN_GROUPS", tmp_path / "own")
    monkeypatch.setattr(memory, "_ALL_GROUPS", tmp_path / "all")

    def put(own, files):
        (tmp_path / "own").write_text(own)
        for name, text in files.items():
            file = tmp_path / "all" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{text}\n")

    return put


MB = 10**6
STAT = "anon 1\ninactive_file {}\nactive_file {}\nslab_reclaimable {}"


@pytest.mark.parametrize(
    ("own", "files", "left"),
    [
        (
            "0::/",
            {"memory.max": 900 * MB, "memory.current": 300 * MB, "memory.stat": "anon 1"},
            600,
        ),
        # the pages of files are given up when memory is asked for
        (
            "0::/",
            {
                "memory.max": 900 * MB,
                "memory.current": 800 * MB,
                "memory.stat": STAT.format(200 * MB, 150 * MB, 50 * MB),
            },
            500,
        ),
        # the group around the own one is the narrower
        (
            "0::/user/job",
            {
                "user/job/memory.max": "max",
                "user/job/memory.current": 100 * MB,
                "user/job/memory.stat": "anon 1",
                "user/memory.max": 700 * MB,
                "user/memory.current": 300 * MB,
                "user/memory.stat": STAT.format(0, 0, 0),
            },
            400,
        ),
        # of version 1, beside other controllers; "no limit" is a large number there
        (
            "9:cpu,cpuacct:/job\n4:memory:/job\n0::/",
            {
                "memory/job/memory.limit_in_bytes": 800 * MB,
                "memory/job/memory.usage_in_bytes": 700 * MB,
                "memory/job/memory.stat": f"total_inactive_file {100 * MB}\ntotal_active_file 0",
                "memory/memory.limit_in_bytes": 9223372036854771712,
                "memory/memory.usage_in_bytes": 800 * MB,
                "memory/memory.stat": "total_inactive_file 0",
            },
            200,
        ),
        # a container that sees its host's path, and itself as the root
        (
            "4:memory:/docker/1a2b",
            {
                "memory/memory.limit_in_bytes": 800 * MB,
                "memory/memory.usage_in_bytes": 700 * MB,
                "memory/memory.stat": "total_active_file 0",
            },
            100,
        ),
    ],
    ids=["a limit", "pages of files", "nested", "version 1", "a host's path"],
)
def test_containers_limit_it_further(groups, own, files, left):
    groups(own, files)
    there = min(psutil.Process().memory_info().rss, memory.PROCESS)
    assert memory_limit() == pytest.approx(0.9 * left * MB + there, abs=2e7)


def test_groups_without_a_limit_make_no_difference(groups):
    groups("0::/", {})
    without = memory_limit()
    groups("0::/", {"memory.max": "max", "memory.current": MB, "memory.stat": "anon 1"})
    assert memory_limit() == pytest.approx(without, rel=0.2)


@pytest.fixture
def gpu(monkeypatch, tmp_path):
    """A GPU, as it seems, and a driver's tool that says what it is given; counts its calls."""
    monkeypatch.setattr(devices, "uses_gpu", lambda: True)

    def says(text):
        tool = tmp_path / "nvidia-smi"
        tool.write_text(f"#!/bin/sh\necho asked >> {tmp_path}/calls\n{text}\n")
        tool.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
        devices.gpu_memory.cache_clear()
        return tmp_path / "calls"

    yield says
    devices.gpu_memory.cache_clear()


def test_on_a_gpu_it_is_the_gpu_s(gpu):
    calls = gpu("echo 81559; echo 16384")
    load = load_of("float32")
    assert memory_limit() == int(0.9 * 16384 * 2**20)
    assert find_tile(6000, 4000, load, memory_limit()) is not None
    assert calls.read_text().count("asked") == 1


def test_a_gpu_does_not_hold_the_process(monkeypatch):
    load = load_of("float32")
    on_cpu = memory_needed(512, 512, load, None)
    monkeypatch.setattr(devices, "uses_gpu", lambda: True)
    assert memory_needed(512, 512, load, None) == on_cpu - memory.PROCESS


@pytest.mark.parametrize("said", ["echo '[N/A]'", "echo 'no devices were found'", "exit 9"])
def test_a_gpu_of_unknown_size_is_said(gpu, said):
    gpu(said)
    with pytest.warns(UserWarning, match="how much memory the GPU has is unknown"):
        limit = memory_limit()
    assert limit < psutil.virtual_memory().total


@pytest.mark.slow
def test_many_styles_are_counted(random_weights):
    """What is kept of a style does not depend on its size."""
    photo = PHOTO.repeat(2, axis=0).repeat(2, axis=1)
    few, many = (
        mnst.plan(photo, [photo] * styles, weights=random_weights, memory="4GB")
        for styles in (1, 41)
    )
    values = sum(channels**2 for channels in (64, 128, 256, 512, 512))
    assert 40 * 4 * values < many.memory - few.memory < 40 * 24 * values


def test_regions_are_counted():
    load = load_of("float32")
    masked = load._replace(widened=2 * 122.0)  # two regions, in the article's layers
    whole, of_masks = (memory_needed(512, 512, each, None) for each in (load, masked))
    assert of_masks - whole > 2 * 512 * 512 * 64 * 4  # that of block1_conv1 alone
    whole, of_masks = (memory_needed(4096, 4096, each, 512) for each in (load, masked))
    assert 0 < of_masks - whole < 5e8  # a tile's


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.4, "0 s"), (59, "59 s"), (119, "2 min"), (3599, "1 h 0 min"), (8400, "2 h 20 min")],
)
def test_durations_are_said_as_people_do(seconds, said):
    assert duration(seconds) == said


def test_a_plan_says_what_a_run_would_take(random_weights):
    plan = mnst.plan(
        PHOTO, recipe=RECIPE, steps=70, weights=random_weights, precision="float32", memory="4GB"
    )
    assert (plan.height, plan.width, plan.steps) == (*PHOTO.shape[:2], 70)
    assert plan.tile is None
    assert plan.limit == 4 * 10**9
    load = load_of("float32", recipe=RECIPE, style=PHOTO.shape[:2])
    assert plan.memory == memory_needed(*PHOTO.shape[:2], load, None)
    assert 0 < plan.seconds < 60
    assert "vgg19 in float32 on CPU" in plan.network
    lines = str(plan).splitlines()
    assert lines[0].startswith("24 x 20 pixels, 70 steps, vgg19 in float32 on ")
    assert lines[1].startswith("as a whole: ")
    assert lines[1].endswith("where 4.0 GB may be taken")
    assert len(lines) == 3


@pytest.mark.slow
def test_a_plan_for_a_large_picture_counts_tiles_and_their_halos(random_weights):
    photo = np.zeros((900, 1400, 3), np.uint8)
    options = {"size": 1400, "recipe": RECIPE, "weights": random_weights, "precision": "float32"}
    load = load_of("float32", recipe=RECIPE, style=(900, 1400))
    limit = memory_needed(900, 1400, load, 512)
    whole, tiled = (mnst.plan(photo, memory=memory, **options) for memory in ("30GB", limit))
    assert (whole.tile, tiled.tile) == (None, 512)
    assert tiled.memory < whole.memory
    assert 1 < tiled.seconds / whole.seconds < 3


def test_the_command_prints_the_plan(tmp_path, random_weights, capsys):
    Image.fromarray(PHOTO).resize((64, 48)).save(tmp_path / "photo.png")
    options = ["--recipe", "article", "--weights", str(random_weights), "--steps", "10"]
    assert main(["plan", str(tmp_path / "photo.png"), "--memory", "6GB", *options]) == 0
    assert capsys.readouterr().out.startswith("64 x 48 pixels, 10 steps, vgg19 in ")
    assert main(["plan", str(tmp_path / "photo.png"), "--memory", "6 MB", *options]) == 2
    assert "may be taken: give a smaller size" in capsys.readouterr().err


_RUN = """
import sys
import numpy as np
import mnst
height, width, precision, memory, recipe = sys.argv[1:6]
photo = np.random.default_rng(0).integers(0, 256, (int(height), int(width), 3), dtype=np.uint8)
style = photo[:256, :256]
result = mnst.stylize(photo, [style], size=4096, steps=3, backbone="vgg19-lite", recipe=recipe,
                      precision=precision, memory=memory, progress=False)
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(result.settings["tile"], status["VmHWM"].split()[0])
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("tile", [None, 256])
def test_memory_is_within_a_quarter_of_the_plan(precision, tile):
    """A process of its own, as high as it ever was. (What `getrusage` says would have this
    process's own peak in it.)"""
    if precision != devices.resolve_precision("auto") == "float32":
        pytest.skip("the processor has no bfloat16, and takes many times as long with it")
    sides = 800, 960
    load = load_of(precision, VGG19_LITE, style=(256, 256))
    planned = memory_needed(*sides, load, tile)
    ran = subprocess.run(
        [sys.executable, "-c", _RUN, *map(str, sides), precision, str(planned), "article"],
        capture_output=True,
        text=True,
        check=True,
    )
    took, peak = ran.stdout.split()
    assert took == str(tile)
    assert abs(math.log(int(peak) * 1024 / planned)) < math.log(1.25)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
@pytest.mark.parametrize("share", [1, 0.6], ids=["whole", "in tiles"])
def test_memory_of_several_sizes_is_within_a_quarter_of_the_plan(share):
    photo = np.zeros((800, 960, 3), np.uint8)
    options = {"size": 4096, "backbone": "vgg19-lite", "precision": "auto", "recipe": "fine"}
    planned = functools.partial(mnst.plan, photo, [photo[:256, :256]], **options)
    limit = int(share * planned(memory="30GB").memory)
    plan = planned(memory=limit)
    assert (plan.tile is None) == (share == 1)
    ran = subprocess.run(
        [sys.executable, "-c", _RUN, "800", "960", "auto", str(limit), "fine"],
        capture_output=True,
        text=True,
        check=True,
    )
    took, peak = ran.stdout.split()
    assert took == str(plan.tile)
    assert abs(math.log(int(peak) * 1024 / plan.memory)) < math.log(1.25)


def test_lbfgs_is_planned_with_the_memory_of_its_pairs():
    lbfgs = mnst.ARTICLE.replace(optimizer="lbfgs")
    by_adam, by_lbfgs, by_more = (
        memory_needed(1000, 1000, load_of("float32", recipe=recipe), None)
        for recipe in (mnst.ARTICLE, lbfgs, lbfgs.replace(pairs=lbfgs.optimizer.pairs + 5))
    )
    assert by_lbfgs - by_adam >= 2 * lbfgs.optimizer.pairs * 12 * 10**6
    assert by_more - by_lbfgs == 2 * 5 * 12 * 10**6


def test_a_plan_without_steps_is_refused_before_pictures_are_read():
    with pytest.raises(ValueError, match="steps is 0"):
        mnst.plan("nowhere.jpg", steps=0)
