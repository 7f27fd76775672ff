"""A sweep on Dask: a real scheduler, real worker processes, some of which are killed."""

import os
import pickle
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import scenes
from scenes import PHOTO, STYLES

import mnst

distributed = pytest.importorskip("distributed")
pytestmark = [
    pytest.mark.slow,
    # Dask's own, of sockets that are closed when its objects are collected
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

GAMMAS = [0, 0.25, 0.5, 0.75, 1]
HERE = str(Path(__file__).parent)
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([HERE, *sys.path])}


class Place:
    """A scheduler and its workers, each a process of its own, as their commands start them."""

    def __init__(self, folder):
        self.folder = folder
        self.address = f"tcp://127.0.0.1:{free_port()}"
        port = self.address.rpartition(":")[2]
        self.processes = [self.start("scheduler", "--port", port, "--no-dashboard")]
        self.workers = []

    def start(self, kind, *options):
        command = [sys.executable, "-m", "dask", kind, *options]
        log = (self.folder / f"{kind}.log").open("a")
        return subprocess.Popen(command, env=ENVIRONMENT, stdout=log, stderr=log, cwd=self.folder)

    def add_worker(self, *options):
        given = ("--nthreads", "1", "--no-nanny", "--no-dashboard", *options)
        worker = self.start("worker", self.address, *given)
        self.processes.append(worker)
        self.workers.append(worker)
        return worker

    def client(self, workers):
        client = distributed.Client(self.address, timeout=60)
        client.wait_for_workers(workers, timeout=120)
        return client

    def end(self):
        for process in self.processes[::-1]:
            process.kill()
            process.wait()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def place(tmp_path):
    place = Place(tmp_path)
    yield place
    place.end()


@pytest.fixture(scope="module")
def options(random_weights):
    return scenes.options(random_weights)


@pytest.fixture(scope="module")
def photos():
    return [PHOTO, 255 - PHOTO]


@pytest.fixture(scope="module")
def serial(photos, options):
    return mnst.sweep(photos, STYLES, gamma=GAMMAS, **options)


def assert_same(one, other):
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a.result.image, b.result.image)
        assert [r.losses for r in a.result.history] == [r.losses for r in b.result.history]
        assert (a.gamma, a.photo, a.name) == (b.gamma, b.photo, b.name)


def test_workers_keep_their_memory_where_dask_is_told_so(place, monkeypatch):
    """By the file that the how-to has."""
    page = (Path(HERE).parent / "docs" / "howto" / "cluster.md").read_text()
    folder = place.folder / "dask"
    folder.mkdir()
    (folder / "mnst.yaml").write_text(re.search(r"```yaml\n(.*?)```", page, re.DOTALL)[1])
    place.add_worker("--nanny")
    with place.client(workers=1) as client:
        name = "MALLOC_TRIM_THRESHOLD_"
        assert [*client.run(os.getenv, name).values()] != [None]
        monkeypatch.setitem(ENVIRONMENT, "DASK_CONFIG", str(folder))
        place.add_worker("--nanny")
        client.wait_for_workers(2, timeout=120)
        assert None in client.run(os.getenv, name).values()


class Where:
    """A callback that leaves the name of its worker in a folder."""

    def __init__(self, folder):
        self.folder = folder

    def __call__(self, record):
        (self.folder / str(distributed.get_worker().name)).touch()


def test_it_is_the_same_as_serially(place, serial, photos, options, tmp_path):
    """Given the client, and its executor with resources that one of two workers has."""
    place.add_worker("--name", "plain")
    place.add_worker("--name", "gpu", "--resources", "GPU=1")
    given = {"gamma": GAMMAS, **options}
    for resources, names in (({}, {"plain", "gpu"}), ({"GPU": 1}, {"gpu"})):
        seen = tmp_path / f"seen{len(names)}"
        seen.mkdir()
        with place.client(2) as client:
            executor = client.get_executor(resources=resources) if resources else client
            swept = mnst.sweep(photos, STYLES, executor=executor, callback=Where(seen), **given)
        assert_same(swept, serial)
        assert {path.name for path in seen.iterdir()} == names


def test_pictures_travel_once_to_each_worker(place, options, monkeypatch):
    """The styles are not in the tasks, and a photo is in one for all of its runs."""
    place.add_worker()
    large = np.random.default_rng(1).integers(0, 256, (400, 400, 3), np.uint8)
    sizes, shared = [], []
    with place.client(1) as client:
        submit, register = client.submit, client.register_plugin

        def submitted(function, *given, **named):
            plain = [each for each in given if not isinstance(each, distributed.Future)]
            sizes.append((named["key"][0], len(pickle.dumps(plain))))
            return submit(function, *given, **named)

        def registered(plugin, name):
            shared.append(len(pickle.dumps(plugin)))
            return register(plugin, name)

        monkeypatch.setattr(client, "submit", submitted)
        monkeypatch.setattr(client, "register_plugin", registered)
        given = {"gamma": GAMMAS, "executor": client, **options}
        mnst.sweep(large, [large, 255 - large], **{**given, "steps": 1})
    # Once to be opened and once to be painted, when it is known what the network computes in.
    assert [kind for kind, _ in sizes] == ["photo", "open", "photo", *5 * ["paint"]]
    assert len(shared) == 2
    assert min(shared) > 2 * large.nbytes
    assert max(size for kind, size in sizes if kind != "photo") < 1e4


def test_a_worker_that_is_killed_loses_its_run_to_another(place, serial, photos, options, tmp_path):
    for _ in range(2):
        place.add_worker()
    folder = tmp_path / "runs"
    with place.client(2) as client:
        killer = Killer(folder, place.workers[0])
        with killer:
            given = {"gamma": GAMMAS, "executor": client, "folder": folder, **options}
            swept = mnst.sweep(photos, STYLES, **given)
    assert killer.killed
    assert not swept.failures
    assert_same(swept, serial)


class Killer:
    """Kills a process as soon as two runs are in a folder."""

    def __init__(self, folder, process):
        self.folder, self.process, self.killed = folder, process, False
        self.thread = threading.Thread(target=self.watch)

    def watch(self):
        until = time.monotonic() + 120
        while time.monotonic() < until and not self.killed:
            if len([*self.folder.glob("*-gamma*.json")]) >= 2:
                self.process.send_signal(signal.SIGKILL)
                self.killed = True
            time.sleep(0.005)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.thread.join()


class Deadly:
    """A callback that kills the worker that paints anything but the content's first record."""

    def __call__(self, record):
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_run_that_kills_its_workers_is_a_failure(place, photos, options):
    """The scheduler tries it on so many workers, which its nannies start again, and gives it up."""
    place.workers.append(place.start("worker", place.address, "--nthreads", "1", "--no-dashboard"))
    place.processes.append(place.workers[-1])
    with place.client(1) as client:
        client.run_on_scheduler(allow_one_failure)
        given = {"executor": client, "callback": Deadly(), **options}
        with (
            pytest.warns(UserWarning, match="failed and is left out"),
            pytest.raises(Exception, match="died while running it"),
        ):
            mnst.sweep(photos[0], STYLES, gamma=[0.5], **given)


def allow_one_failure(dask_scheduler):
    dask_scheduler.allowed_failures = 1


CLIENT = """
import sys, distributed, mnst
import scenes
from scenes import PHOTO, STYLES
address, folder, weights = sys.argv[1:]
if __name__ == "__main__":
    with distributed.Client(address) as client:
        mnst.sweep([PHOTO, 255 - PHOTO], STYLES, gamma=[0, 0.25, 0.5, 0.75, 1], folder=folder,
                   executor=client, **scenes.options(weights))
"""


def test_a_client_that_is_killed_goes_on_when_it_is_started_again(
    place, serial, photos, options, tmp_path
):
    place.add_worker()
    folder = tmp_path / "runs"
    arguments = [place.address, folder, options["weights"]]
    command = [sys.executable, "-W", "ignore", "-c", CLIENT, *arguments]
    first = subprocess.Popen(command, env=ENVIRONMENT)
    with Killer(folder, first) as killer:
        first.wait(120)
    assert killer.killed
    assert first.returncode == -signal.SIGKILL
    kept = len([*folder.glob("*-gamma*.json")])
    assert 2 <= kept < 10
    with place.client(1) as client:
        given = {"gamma": GAMMAS, "folder": folder, "executor": client, **options}
        resumed = mnst.sweep(photos, STYLES, **given)
    assert sum(run.found for run in resumed) == kept
    assert_same(resumed, serial)
    assert not [*folder.glob("*.claim*")]
