"""Processes that are killed while they save, paint or sweep: what is on the disk is whole."""

import concurrent.futures
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from scenes import PHOTO, RECIPE, STYLES

import mnst
from campaign.saving import save, versions

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="kills as Unix does")

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)


SAVES = """
import sys
sys.path[:0] = sys.argv[2:]
from pathlib import Path
from campaign.saving import save, versions
path = Path(sys.argv[1])
both = versions(path.suffix)
print("ready", flush=True)
while True:
    for what in both:
        save(path, what)
"""


def start(code, *arguments):
    """A Python process in which SIGINT does what it does at a terminal, up to its first line."""
    begin = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", begin + code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    return process


def kill(process, signum):
    """Ends a process; Ctrl-C is pressed again where the first was lost.

    Python ignores what is raised in a callback of its garbage collector, such as JAX has, and a
    KeyboardInterrupt may fall there.
    """
    with process:
        process.send_signal(signum)
        try:
            return process.wait(30)
        except subprocess.TimeoutExpired:
            assert signum == signal.SIGINT
            process.send_signal(signum)
            return process.wait(30)
        finally:
            process.kill()  # where none of it helped, or it would paint on beside other tests


@pytest.mark.parametrize("ending", [".png", ".jpg", ".webp", ".tif", ".gif", ".mp4"])
def test_what_is_saved_is_the_old_or_the_new(tmp_path, tried, ending):
    if ending == ".mp4":
        pytest.importorskip("imageio_ffmpeg")
    moments = random.Random(ending)
    path, whole = tmp_path / f"kept{ending}", []
    for what in versions(ending):
        save(path, what)
        whole.append(path.read_bytes())
    for k in range(7):
        tried("kills of a process that saves")
        process = start(SAVES, path, Path(__file__).parents[1])
        time.sleep(moments.uniform(0, 0.06))
        code = kill(process, SIGNALS[k % 3])
        assert code in (-SIGNALS[k % 3], 1)  # 1 is KeyboardInterrupt's, where it is not the signal
        assert path.read_bytes() in whole
        save(path, versions(ending)[k % 2])
        assert path.read_bytes() == whole[k % 2]
        assert [*tmp_path.iterdir()] == [path]  # nothing is left of what was being written


@pytest.fixture
def small_files():
    """Makes a full disk of every disk, for this process: files end after so many bytes."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("ending", [".png", ".jpg", ".webp", ".tif", ".gif"])
def test_a_full_disk_leaves_the_old_one(tmp_path, tried, small_files, ending):
    import resource

    moments = random.Random(ending)
    path = tmp_path / f"kept{ending}"
    old, new = versions(ending)
    save(path, old)
    before = path.read_bytes()
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    for _ in range(8):
        tried("disks that are full")
        small_files(moments.randrange(len(before) - 100))
        try:
            with pytest.raises(OSError, match=r"File too large") as raised:
                save(path, new)
        finally:
            small_files(unlimited)
        assert "\n" not in str(raised.value)
        assert path.read_bytes() == before
        assert [*tmp_path.iterdir()] == [path]


GAMMAS = [k / 15 for k in range(16)]
SWEEP = {"gamma": GAMMAS, "recipe": RECIPE, "backbone": "vgg19-lite", "precision": "float32"}

SWEEPS = """
import sys
sys.path[:0] = sys.argv[2:]
from test_kills import PHOTO, STYLES, SWEEP
import mnst, mnst.backend
mnst.backend.tf.constant(1)
print("ready", flush=True)
mnst.sweep(PHOTO, STYLES, folder=sys.argv[1], progress=False, **SWEEP)
"""


@pytest.fixture(scope="module")
def swept():
    return mnst.sweep(PHOTO, STYLES, progress=False, **SWEEP)


def assert_same(one, other):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a.result.image, b.result.image)
        assert [r.losses for r in a.result.history] == [r.losses for r in b.result.history]


def test_a_sweep_that_is_killed_again_and_again_comes_to_the_same(swept, tmp_path, tried):
    moments = random.Random(3)
    folder = tmp_path / "runs"
    here = Path(__file__).parent
    for k in range(12):
        tried("kills of a process that sweeps")
        process = start(SWEEPS, folder, here, here.parent)
        time.sleep(moments.uniform(0, 3))
        kill(process, SIGNALS[k % 3])
        for picture in folder.glob("*-gamma*.png"):
            assert mnst.load_image(picture, size=None).shape == (1, *PHOTO.shape)
    kept = len([*folder.glob("*-gamma*.json")])
    resumed = mnst.sweep(PHOTO, STYLES, folder=folder, progress=False, **SWEEP)
    assert sum(run.found for run in resumed) == kept
    assert_same(resumed, swept)
    assert not [*folder.glob(".mnst-*")]


PAINTS = """
import sys
sys.path[:0] = sys.argv[1:3]
from mnst.cli import main
import mnst.backend
mnst.backend.tf.constant(1)
print("ready", flush=True)
sys.exit(main(["stylize", *sys.argv[3:], "--backbone", "vgg19-lite", "--no-progress"]))
"""


def test_a_finished_picture_outlives_a_killed_command(tmp_path, tried):
    moments = random.Random(5)
    names = [str(tmp_path / name) for name in ("photo.png", "style.png")]
    for name, picture in zip(names, (PHOTO, STYLES[0]), strict=True):
        mnst.save_image(name, picture)
    output = tmp_path / "out.png"
    mnst.save_image(output, STYLES[1])
    before = output.read_bytes()
    given = [Path(__file__).parent, Path(__file__).parent.parent, *names, "-o", output]
    for k in range(6):
        tried("kills of a command that paints")
        process = start(PAINTS, *given, "--steps", 100_000)
        time.sleep(moments.uniform(0, 4))
        code = kill(process, SIGNALS[k % 3])
        assert code in (-SIGNALS[k % 3], 130)
        assert output.read_bytes() == before
    partial = tmp_path / "out.partial.png"
    if partial.exists():  # Ctrl-C came after the first step
        assert mnst.load_image(partial, size=None).shape == (1, *PHOTO.shape)


class Killer:
    """A callback that kills the process it is in, once for all of them, at so many records."""

    def __init__(self, folder, at):
        self.folder, self.at = folder, at

    def __call__(self, record):
        (self.folder / f"{os.getpid()}-{time.monotonic_ns()}").touch()
        if len([*self.folder.iterdir()]) >= self.at:
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("at", [1, 9, 30])
def test_a_worker_that_is_killed_loses_only_what_was_not_finished(swept, tmp_path, tried, at):
    tried("kills of a pool's worker")
    seen = tmp_path / "seen"
    seen.mkdir()
    folder = tmp_path / "runs"
    spawn = multiprocessing.get_context("spawn")
    given = {**SWEEP, "folder": folder, "progress": False}
    broken, said = None, ""
    with (
        concurrent.futures.ProcessPoolExecutor(2, mp_context=spawn) as executor,
        warnings.catch_warnings(record=True) as told,
    ):
        warnings.simplefilter("always")
        given["callback"] = Killer(seen, at)
        try:
            broken = mnst.sweep(PHOTO, STYLES, executor=executor, **given)
        except RuntimeError as error:
            said = str(error)
    words = "a worker of the executor was killed, or ended by itself"
    if broken is None:
        assert said.startswith(words)
    else:
        assert all(failure.error.startswith(words) for failure in broken.failures)
        assert len(broken) + len(broken.failures) == len(GAMMAS)
        assert len(told) == len(broken.failures) > 0
    resumed = mnst.sweep(PHOTO, STYLES, **{**given, "callback": None})
    assert sum(run.found for run in resumed) == (0 if broken is None else len(broken))
    assert_same(resumed, swept)
