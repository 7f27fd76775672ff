"""Many photos: from folders, patterns, iterators, read in turn; parted among many machines."""

import contextlib
import csv
import functools
import gc
import json
import os
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import scenes
from scenes import PHOTO, STYLES

import mnst
from mnst.sweeping.claims import Claims


@pytest.fixture(scope="module")
def options(random_weights):
    return {**scenes.options(random_weights), "steps": 1}


def photo(seed):
    return np.random.default_rng(seed).integers(0, 256, PHOTO.shape, np.uint8)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder with five of them, and what is none."""
    folder = tmp_path_factory.mktemp("photos")
    for k in range(5):
        mnst.save_image(folder / f"{'edcba'[k]}.png", photo(k))
    (folder / "notes.txt").write_text("no picture")
    (folder / ".hidden.png").write_bytes(b"")
    (folder / "deeper").mkdir()
    mnst.save_image(folder / "deeper" / "f.png", photo(5))
    return folder


@pytest.fixture(scope="module")
def serial(photos, options):
    return mnst.sweep([photos / f"{name}.png" for name in "abcde"], STYLES, **options)


def pictures(swept):
    return [run.result.image.tobytes() for run in swept]


# Where they come from


@pytest.mark.parametrize(
    "given",
    [
        lambda folder: folder,
        lambda folder: f"{folder}/*.png",
        lambda folder: map(photo, [4, 3, 2, 1, 0]),
        pytest.param(lambda folder: f"{folder}/", marks=pytest.mark.slow),
        pytest.param(lambda folder: folder / "[a-e].png", marks=pytest.mark.slow),
        pytest.param(
            lambda folder: (folder / f"{name}.png" for name in "abcde"), marks=pytest.mark.slow
        ),
        pytest.param(
            lambda folder: ((folder / f"{name}.png").read_bytes() for name in "abcde"),
            marks=pytest.mark.slow,
        ),
    ],
    ids=["folder", "pattern", "arrays", "with a slash", "letters", "paths", "bytes"],
)
def test_photos_come_from_wherever_they_are(photos, serial, options, given):
    assert pictures(mnst.sweep(given(photos), STYLES, **options)) == pictures(serial)


def test_a_pattern_may_go_deeper(photos, serial, options):
    swept = mnst.sweep(f"{photos}/**/[af].png", STYLES, **options)
    assert [run.name for run in swept] == ["a", "f"]
    assert swept[0].result.image.tobytes() == pictures(serial)[0]


@pytest.mark.parametrize("nowhere", ["deeper/deepest", "*.jpg"])
def test_a_place_without_pictures_is_named(photos, options, nowhere):
    (photos / "deeper" / "deepest").mkdir(exist_ok=True)
    with pytest.raises(FileNotFoundError, match="there are no pictures"):
        mnst.sweep(photos / nowhere, STYLES, **options)


def test_an_iterator_without_photos_is_named(options):
    with pytest.raises(ValueError, match="nothing to run: the iterator"):
        mnst.sweep(iter(()), STYLES, **options)


@pytest.mark.parametrize("threads", [0, 2])
def test_a_photo_is_read_when_its_turn_comes(serial, photos, options, tmp_path, threads):
    """Beyond those that somebody works at, none is asked for before others are written."""
    asked, most = 0, 2 * threads + 1

    def coming():
        nonlocal asked
        for name in "abcde":
            written = len([*tmp_path.glob("*.png")])
            assert asked - written <= most
            asked += 1
            yield photos / f"{name}.png"

    with ThreadPoolExecutor(threads) if threads else contextlib.nullcontext() as executor:
        given = {"folder": tmp_path, "executor": executor, **options}
        swept = mnst.sweep(coming(), STYLES, **given)
    assert asked == 5
    assert pictures(swept) == pictures(serial)


@pytest.mark.filterwarnings("ignore:.* failed and is left out")
def test_a_photo_that_can_t_be_read_ends_no_other(serial, photos, options, tmp_path):
    """Not even the first: gone, damaged, or none at all."""
    (tmp_path / "half.png").write_bytes((photos / "a.png").read_bytes()[:300])
    given = [
        tmp_path / "gone.png",
        tmp_path / "half.png",
        photos / "notes.txt",
        *(photos / f"{name}.png" for name in "abcde"),
        None,
        PHOTO[:1, :9],
    ]
    swept = mnst.sweep(given, STYLES, folder=tmp_path / "runs", **options)
    assert pictures(swept) == pictures(serial)
    said = ["no such file", "half.png", "not a picture", "NoneType", "too small"]
    assert [failure.place for failure in swept.failures] == [0, 1, 2, 8, 9]
    for failure, words in zip(swept.failures, said, strict=True):
        assert words in failure.error
    rows = swept.table()
    assert [row["photo"] for row in rows] == [*range(1, 11)]
    assert [row["name"] for row in rows[:4]] == ["gone", "half", "notes", "a"]


def test_where_no_photo_can_be_read_the_first_ones_error_is_raised(tmp_path, options):
    with pytest.raises(FileNotFoundError, match=r"gone\.png: there is no such file"):
        mnst.sweep([tmp_path / "gone.png", None], STYLES, **options)


@pytest.mark.slow
def test_a_photo_that_changes_before_its_turn_is_noticed(photos, options, tmp_path):
    """What is written would else be called another's."""
    place = tmp_path / "a.png"
    place.write_bytes((photos / "a.png").read_bytes())
    spoil = functools.partial(mnst.save_image, place, photo(9))
    given = {**options, "gamma": [0, 0.25, 0.5, 0.75, 1], "callback": lambda record: spoil()}
    with (
        ThreadPoolExecutor(1) as executor,
        pytest.warns(UserWarning, match=r"a\.png: has changed while the sweep went on"),
    ):
        swept = mnst.sweep(place, STYLES, executor=executor, **given)
    assert len(swept) + len(swept.failures) == 5
    whole = mnst.sweep(photos / "a.png", STYLES, **{**given, "callback": None})
    assert pictures(swept) == pictures(whole)[: len(swept)]


# What is kept


@pytest.mark.slow
def test_what_is_in_a_folder_is_not_in_memory(options, tmp_path):
    """Twelve photos of 3 MB each leave less behind than two of them take."""
    given = {"folder": tmp_path, **options, "size": 16}
    large = np.zeros((1000, 1000, 3), np.uint8)

    def coming(count):
        for k in range(count):
            shown = large.copy()
            shown[:500] = k
            yield shown

    mnst.sweep(coming(2), STYLES, **given)
    gc.collect()
    tracemalloc.start()
    try:
        swept = mnst.sweep(coming(12), STYLES, **given)
        gc.collect()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(swept) == 12
    assert kept < 6e6


def test_a_result_is_read_from_its_file_when_it_is_asked_for(photos, serial, options, tmp_path):
    swept = mnst.sweep(photos, STYLES, folder=tmp_path, **options)
    assert pictures(swept) == pictures(serial)
    file = tmp_path / next(tmp_path.glob("b-*.png")).name
    contents = bytearray(file.read_bytes())
    contents[len(contents) // 2] ^= 1
    file.write_bytes(contents)
    with pytest.raises(ValueError, match=r"b-.*is damaged; remove it, and sweep again"):
        swept[1].result  # noqa: B018
    assert len(swept.table()) == 5
    file.unlink()
    again = mnst.sweep(photos, STYLES, folder=tmp_path, **options)
    assert [run.found for run in again] == [True, False, True, True, True]
    assert pictures(again) == pictures(serial)


def test_runs_are_found_wherever_their_photos_lie_and_whatever_their_order(
    photos, options, tmp_path
):
    mnst.sweep(photos, STYLES, folder=tmp_path, **options)
    turned = [(photos / f"{name}.png") for name in "edcba"]
    swept = mnst.sweep(turned, STYLES, folder=tmp_path, **options)
    assert all(run.found for run in swept)
    assert [run.name for run in swept] == [*"edcba"]


def test_a_sheet_has_the_first_hundred(serial):
    many = mnst.Sweep(serial.runs * 50)
    few = mnst.Sweep((serial.runs * 50)[:100])
    assert many.grid(columns=10, width=24).size == few.grid(columns=10, width=24).size


# Parts, and several at once


def table(folder):
    """The rows of a sweep's table, without the seconds that runs took."""
    with open(folder / "sweep.csv", newline="") as file:
        return [{**row, "seconds": None} for row in csv.DictReader(file)]


def files(folder):
    return {path.name: path.read_bytes() for path in folder.glob("*-*.png")}


@pytest.fixture(scope="module")
def whole(photos, options, tmp_path_factory):
    """The folder of a sweep over two gammas by one process."""
    folder = tmp_path_factory.mktemp("whole")
    mnst.sweep(photos, STYLES, gamma=[0.25, 0.75], folder=folder, **options)
    return folder


def test_shards_come_to_the_same_and_the_last_writes_the_tables(photos, whole, options, tmp_path):
    given = {"gamma": [0.25, 0.75], "folder": tmp_path, **options}
    names = []
    for number in (2, 3, 1):
        assert not (tmp_path / "sweep.csv").exists()
        swept = mnst.sweep(photos, STYLES, shard=(number, 3), **given)
        assert swept.completed
        names += [(run.name, run.gamma) for run in swept]
    assert sorted(names) == [(name, gamma) for name in "abcde" for gamma in (0.25, 0.75)]
    assert files(tmp_path) == files(whole)
    assert table(tmp_path) == table(whole)
    assert (tmp_path / "grid.png").read_bytes() == (whole / "grid.png").read_bytes()
    assert not [*tmp_path.glob("*.claim*")]


@pytest.mark.parametrize("of", ["files", "pictures", "gammas"])
def test_the_last_shard_knows_of_what_is_there_twice(photos, options, tmp_path, of):
    a, b, again = photos / "a.png", photos / "b.png", tmp_path / "again" / "a.png"
    again.parent.mkdir()
    again.write_bytes(a.read_bytes())
    asked = {
        "files": ([a, b, again], [0.5]),
        "pictures": ([photo(4), photo(3), photo(4)], [0.5]),
        "gammas": ([a], [0.5, 0.25, 0.5]),
    }
    listed, gamma = asked[of]
    given = {**options, "gamma": gamma, "folder": tmp_path}
    for number in (1, 2):
        assert not (tmp_path / "sweep.csv").exists()
        mnst.sweep(listed, STYLES, shard=(number, 2), **given)
    assert len(table(tmp_path)) == 3
    assert len(files(tmp_path)) == 2


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.* failed and is left out")
def test_the_last_shard_knows_of_what_failed_in_others(photos, options, tmp_path):
    """A photo that is none, and a run that diverges, each in a shard of its own."""
    wild = scenes.RECIPE.replace(name="wild", beta=1e38)
    given = {**options, "recipe": [scenes.RECIPE, wild], "folder": tmp_path, "steps": 1}
    listed = [photos / "a.png", photos / "notes.txt", photos / "b.png"]
    for number in (1, 2):
        with contextlib.suppress(mnst.DivergenceError):  # all that this shard has to do
            mnst.sweep(listed, STYLES, shard=(number, 2), **given)
    errors = [row["error"] for row in table(tmp_path)]
    assert [bool(error) for error in errors] == [False, True, True, True, False, True]
    assert "not a picture" in errors[2]
    assert errors[1].startswith("the total loss became inf")


def test_collect_writes_the_tables_of_what_is_there(photos, whole, options, tmp_path):
    given = {"gamma": [0.25, 0.75], "folder": tmp_path, **options}
    with pytest.raises(ValueError, match="no run of this sweep is finished there"):
        mnst.sweep(photos, STYLES, collect=True, **given)
    mnst.sweep(photos, STYLES, shard=(1, 2), **given)
    collected = mnst.sweep(photos, STYLES, collect=True, **given)
    assert (len(collected), collected.completed) == (5, False)
    assert table(tmp_path) == table(whole)[::2]
    assert len(files(tmp_path)) == 5


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"shard": (1, 2)}, "shard needs a folder"),
        ({"collect": True}, "collect needs a folder"),
        ({"shard": (3, 2), "folder": "runs"}, r"shard is \(3, 2\): give one from 1 to 2"),
        ({"shard": (0, 2), "folder": "runs"}, r"shard\[0\] is 0: give a whole number"),
        ({"shard": 3, "folder": "runs"}, r"shard is 3: give a list of two numbers"),
        ({"shard": (1, 2, 3), "folder": "runs"}, r"shard is \(1, 2, 3\): give two numbers"),
        ({"shard": (1, 2), "collect": True, "folder": "runs"}, "shard and collect were both"),
    ],
)
def test_shards_are_checked_before_anything_is_read(given, said):
    with pytest.raises(ValueError, match=said):
        mnst.sweep("no.jpg", STYLES, **given)


def test_an_iterator_has_no_shards(options, tmp_path):
    with pytest.raises(ValueError, match="photo is an iterator: with a shard, give a list"):
        mnst.sweep(iter([PHOTO]), STYLES, shard=(1, 2), folder=tmp_path, **options)


@pytest.mark.slow
def test_two_sweeps_at_once_do_nothing_twice(photos, whole, options, tmp_path):
    """In two threads; each is given all of the runs, whoever painted them."""
    given = {"gamma": [0.25, 0.75], "folder": tmp_path, **options}
    with ThreadPoolExecutor(2) as executor:
        both = [executor.submit(mnst.sweep, photos, STYLES, **given) for _ in range(2)]
        one, other = (future.result() for future in both)
    assert len(one) == len(other) == 10
    painted = [[not run.found for run in swept] for swept in (one, other)]
    assert np.sum(painted, axis=0).tolist() == [1] * 10
    assert files(tmp_path) == files(whole)
    assert table(tmp_path) == table(whole)
    assert not [*tmp_path.glob("*.claim*")]


def claim_of_another_machine(folder, whole, name="c-"):
    """What a machine leaves that is gone in the middle of a run."""
    stem = next(path.stem for path in whole.glob(f"{name}*0.25-*.png"))
    claim = folder / f"{stem}.claim1"
    claim.write_text(json.dumps({"machine": "another", "pid": 1, "since": 0.0}))
    return claim


def test_a_claim_that_nobody_has_touched_for_long_does_not_hold(photos, whole, options, tmp_path):
    claim = claim_of_another_machine(tmp_path, whole)
    long_ago = time.time() - 600
    os.utime(claim, (long_ago, long_ago))
    swept = mnst.sweep(photos, STYLES, gamma=[0.25, 0.75], folder=tmp_path, **options)
    assert not any(run.found for run in swept)
    assert files(tmp_path) == files(whole)
    assert not [*tmp_path.glob("*.claim*")]


@pytest.mark.slow
def test_a_claim_that_is_touched_is_waited_for(photos, whole, options, tmp_path):
    """The run comes from elsewhere, whole; nobody here paints it meanwhile."""
    claim = claim_of_another_machine(tmp_path, whole)
    with ThreadPoolExecutor(1) as executor:
        given = {"gamma": [0.25, 0.75], "folder": tmp_path, **options}
        sweeping = executor.submit(mnst.sweep, photos, STYLES, **given)
        until = time.monotonic() + 60
        while len(files(tmp_path)) < 9 and time.monotonic() < until:
            time.sleep(0.05)
        time.sleep(2)
        assert not sweeping.done()
        assert len(files(tmp_path)) == 9
        for ending in (".png", ".json"):
            name = claim.with_suffix(ending).name
            (tmp_path / name).write_bytes((whole / name).read_bytes())
        claim.unlink()
        swept = sweeping.result(60)
    assert [run.found for run in swept] == [k == 4 for k in range(10)]
    assert files(tmp_path) == files(whole)


def test_a_claim_is_touched_while_its_owner_lives(tmp_path, monkeypatch):
    monkeypatch.setattr("mnst.sweeping.claims.HEARTBEAT", 0.01)
    with Claims(tmp_path) as claims:
        assert claims.take("run")
        (claim,) = tmp_path.iterdir()
        os.utime(claim, (0, 0))
        until = time.monotonic() + 30
        while not claim.stat().st_mtime and time.monotonic() < until:
            time.sleep(0.01)
        assert claim.stat().st_mtime > 0
    assert not [*tmp_path.iterdir()]


def test_of_many_who_take_over_a_claim_one_gets_it(tmp_path):
    """Sixteen threads, two hundred claims, each of them abandoned twice over."""
    long_ago = time.time() - 600
    for k in range(200):
        for number in (1, 2):
            claim = tmp_path / f"{k}.claim{number}"
            claim.write_text("")
            os.utime(claim, (long_ago, long_ago))
    with contextlib.ExitStack() as stack:
        claimants = [stack.enter_context(Claims(tmp_path)) for _ in range(16)]
        start = threading.Barrier(16)

        def take(claims):
            start.wait()
            return [claims.take(str(k)) for k in range(200)]

        with ThreadPoolExecutor(16) as executor:
            got = [*executor.map(take, claimants)]
    assert np.sum(got, axis=0).tolist() == [1] * 200


SWEEPS = """
import sys, mnst
sys.path.insert(0, sys.argv[1])
import scenes
photos, folder, weights, shard, log = sys.argv[2:]

def begins(record):
    if record.step == 0:
        with open(log, "a") as file:
            file.write("a run begins\\n")

mnst.sweep(photos, scenes.STYLES, gamma=[k / 7 for k in range(8)], folder=folder,
           shard=(int(shard), 3), callback=begins, **scenes.options(weights))
"""


@pytest.mark.slow
def test_three_shards_at_once_of_which_one_is_killed(photos, options, tmp_path):
    """Started again it goes on at once: its process is known to be gone."""
    given = {**options, "gamma": [k / 7 for k in range(8)], "steps": None}
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    mnst.sweep(photos, STYLES, folder=alone, **given)

    def start(shard):
        given = [photos, shared, options["weights"], str(shard), tmp_path / "log"]
        arguments = [str(Path(__file__).parent), *given]
        return subprocess.Popen([sys.executable, "-W", "ignore", "-c", SWEEPS, *arguments])

    shards = [start(number) for number in (1, 2, 3)]
    until = time.monotonic() + 120
    while len(files(shared)) < 6 and time.monotonic() < until:
        time.sleep(0.01)
    shards[1].send_signal(signal.SIGKILL)
    assert shards[1].wait() == -signal.SIGKILL
    assert [shards[k].wait(300) for k in (0, 2)] == [0, 0]
    assert not (shared / "sweep.csv").exists()
    began = time.monotonic()
    assert start(2).wait(300) == 0
    assert time.monotonic() - began < 250  # a claim of a machine that is gone holds longer
    assert files(shared) == files(alone)
    assert table(shared) == table(alone)
    assert not [*shared.glob("*.claim*"), *shared.glob(".mnst-*")]
    # Every run once, and again the one that was cut off, if it was.
    assert len((tmp_path / "log").read_text().splitlines()) in (40, 41)
