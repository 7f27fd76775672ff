"""Many runs: the same as one by one, wherever they run, and resumed where they broke off."""

import contextlib
import csv
import errno
import io
import itertools
import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
import warnings
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import numpy as np
import psutil
import pytest
import scenes
from pages import until
from PIL import Image
from scenes import PHOTO, RECIPE, STYLES

import mnst

GAMMAS = [0, 0.25, 0.5, 1]


@pytest.fixture(scope="module")
def photo():
    return PHOTO


@pytest.fixture(scope="module")
def styles():
    return STYLES


@pytest.fixture(scope="module")
def options(random_weights):
    return scenes.options(random_weights)


@pytest.fixture(scope="module")
def serial(photo, styles, options):
    return mnst.sweep(photo, styles, gamma=GAMMAS, **options)


def same(one, other):
    """True if two sweeps have the same pictures, losses and settings, in the same order."""
    return len(one) == len(other) and all(
        np.array_equal(a.result.image, b.result.image)
        and [r.losses for r in a.result.history] == [r.losses for r in b.result.history]
        and a.result.settings == b.result.settings
        and (a.gamma, a.recipe, a.photo) == (b.gamma, b.recipe, b.photo)
        for a, b in zip(one, other, strict=True)
    )


def test_a_sweep_is_its_runs_one_by_one(serial, photo, styles, options):
    for gamma, run in zip(GAMMAS, serial, strict=True):
        alone = mnst.stylize(photo, styles, gamma=gamma, **options)
        np.testing.assert_array_equal(run.result.image, alone.image)
        assert run.result.relative_improvement == alone.relative_improvement


@pytest.mark.slow
def test_executors_change_nothing(serial, photo, styles, options):
    spawn = multiprocessing.get_context("spawn")
    for executor in (ThreadPoolExecutor(2), ProcessPoolExecutor(2, mp_context=spawn)):
        with executor:
            swept = mnst.sweep(photo, styles, gamma=GAMMAS, executor=executor, **options)
        assert same(serial, swept), type(executor)


@pytest.mark.slow
def test_processes_change_nothing_but_what_threads_do(serial, photo, styles, options, monkeypatch):
    by_few_threads = mnst.sweep(photo, styles, gamma=GAMMAS, processes=2, **options)
    for one, other in zip(serial, by_few_threads, strict=True):
        np.testing.assert_allclose(one.result.image, other.result.image, atol=1)
    for kind in ("INTRAOP", "INTEROP"):
        monkeypatch.setenv(f"TF_NUM_{kind}_THREADS", str(len(os.sched_getaffinity(0))))
    assert same(serial, mnst.sweep(photo, styles, gamma=GAMMAS, processes=2, **options))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals")
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL])
def test_processes_end_with_the_one_that_began_them(photo, styles, tmp_path, ending):
    names = [str(tmp_path / f"{name}.png") for name in ("photo", "one", "two")]
    for name, picture in zip(names, (photo, *styles), strict=True):
        mnst.save_image(name, picture)
    command = [sys.executable, "-m", "mnst", "sweep", *names, "--folder", str(tmp_path / "runs")]
    few = ["--gamma", "0,0.5,1", "--recipe", "article", "--size", "32", "--backbone", "vgg19-lite"]
    own = [*command, *few, "--processes", "2"]
    with subprocess.Popen([*own, "--steps", "100000"], start_new_session=True) as sweeping:
        parent = psutil.Process(sweeping.pid)
        until(lambda: len([*(tmp_path / "runs").glob("*.claim*")]) == 3)  # two, and one that waits
        family = parent.children(recursive=True)
        assert sum("spawn_main" in " ".join(each.cmdline()) for each in family) == 2
        if ending == signal.SIGINT:  # as a terminal sends it, to all of them
            os.killpg(sweeping.pid, ending)
            assert sweeping.wait(30) == 130
        else:
            sweeping.kill()
        until(lambda: not any(each.is_running() for each in family))
    assert subprocess.run([*own, "--steps", "1"], timeout=300, check=False).returncode == 0
    assert len([*(tmp_path / "runs").glob("photo-*.png")]) == 3


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
def test_an_executor_that_would_fork_tensorflow_is_refused(photo, styles, options):
    import tensorflow  # noqa: F401

    with (
        ProcessPoolExecutor(mp_context=multiprocessing.get_context("fork")) as forking,
        pytest.raises(ValueError, match=r"get_context\('spawn'\)"),
    ):
        mnst.sweep(photo, styles, executor=forking, **options)


def test_a_finished_run_is_not_done_again(serial, photo, styles, options, tmp_path):
    first = mnst.sweep(photo, styles, gamma=GAMMAS, folder=tmp_path, **options)
    assert not any(run.found for run in first)
    again = mnst.sweep(photo, styles, gamma=[*GAMMAS, 0.75], folder=tmp_path, **options)
    assert [run.found for run in again] == [True] * 4 + [False]
    assert same(serial, first)
    assert same(first, again.runs[:4])


@pytest.mark.parametrize(
    "damage",
    [
        lambda picture, record: record.write_text(record.read_text()[:-9]),
        lambda picture, record: picture.write_bytes(picture.read_bytes()[:-9]),
        lambda picture, record: record.unlink(),
        lambda picture, record: picture.unlink(),
    ],
    ids=["half a record", "half a picture", "no record", "no picture"],
)
def test_a_half_written_run_is_noticed_and_done_again(photo, styles, options, tmp_path, damage):
    first = mnst.sweep(photo, styles, gamma=[0, 1], folder=tmp_path, **options)
    record = next(tmp_path.glob("*gamma1-*.json"))
    damage(record.with_suffix(".png"), record)
    again = mnst.sweep(photo, styles, gamma=[0, 1], folder=tmp_path, **options)
    assert [run.found for run in again] == [True, False]
    assert same(first, again)


@pytest.mark.parametrize(
    "change",
    [
        {"steps": 2},
        {"seed": 1},
        {"sigma": [1, 2]},
        {"recipe": RECIPE.replace(learning_rate=1)},
        {"size": 16},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_run_of_other_settings_is_another_run(photo, styles, options, tmp_path, change):
    mnst.sweep(photo, styles, gamma=[0.5], folder=tmp_path, **options)
    again = mnst.sweep(photo, styles, gamma=[0.5], folder=tmp_path, **{**options, **change})
    assert not again[0].found


def test_other_pictures_are_other_runs(photo, styles, options, tmp_path):
    mnst.sweep(photo, styles, gamma=[0.5], folder=tmp_path, **options)
    assert not mnst.sweep(255 - photo, styles, gamma=[0.5], folder=tmp_path, **options)[0].found
    assert not mnst.sweep(photo, styles[::-1], gamma=[0.5], folder=tmp_path, **options)[0].found


KILLED = """
import sys, numpy as np, mnst
photo, first, second, folder, weights = sys.argv[1:]
recipe = mnst.ARTICLE.replace(
    content_layers={"block2_conv1": 1.0},
    style_layers={"block1_conv1": 1.0, "block2_conv1": 0.3},
    steps=3,
)
mnst.sweep(photo, [first, second], gamma=[k / 10 for k in range(11)], recipe=recipe,
           weights=weights, precision="float32", folder=folder, progress=False)
"""


@pytest.mark.slow
def test_a_killed_sweep_goes_on_where_it_was(photo, styles, options, tmp_path):
    gammas = [k / 10 for k in range(11)]
    paths = [tmp_path / name for name in ("photo.png", "first.png", "second.png")]
    for path, picture in zip(paths, (photo, *styles), strict=True):
        mnst.save_image(path, picture)
    folder = tmp_path / "runs"
    arguments = [*map(str, paths), str(folder), str(options["weights"])]
    process = subprocess.Popen([sys.executable, "-c", KILLED, *arguments])
    until = time.monotonic() + 60
    while len(list(folder.glob("*.json"))) < 4 and time.monotonic() < until:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL  # it had not ended by itself
    kept = len(list(folder.glob("*-gamma*.json")))
    assert kept >= 4
    whole = mnst.sweep(paths[0], paths[1:], gamma=gammas, **options)
    resumed = mnst.sweep(paths[0], paths[1:], gamma=gammas, folder=folder, **options)
    assert sum(run.found for run in resumed) == kept
    assert same(whole, resumed)


@pytest.fixture
def press_ctrl_c(monkeypatch):
    """Makes somebody press it who reads the progress, at one line and then another behind it."""
    # Python leaves SIGINT ignored where a shell in the background started the tests.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    class Screen(io.StringIO):
        def __init__(self, *lines):
            super().__init__()
            self.awaited = list(lines)

        def write(self, text):
            if self.awaited and re.match(self.awaited[0], text):
                del self.awaited[0]
                if not self.awaited:
                    os.kill(os.getpid(), signal.SIGINT)
            return super().write(text)

    yield lambda *lines: monkeypatch.setattr(sys, "stderr", Screen(*lines))
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("lines", [["run 3 of 4"], ["run 3 of 4", "step 1/3"]])
def test_ctrl_c_gives_back_the_runs_that_were_finished(
    serial, photo, styles, options, tmp_path, press_ctrl_c, lines
):
    """Between two runs, and amid the third."""
    press_ctrl_c(*lines)
    given = {**options, "progress": True}
    try:
        swept = mnst.sweep(photo, styles, gamma=GAMMAS, folder=tmp_path, **given)
    except KeyboardInterrupt:  # which would end all of the tests
        pytest.fail("the finished runs are lost")
    assert not swept.completed
    assert same(swept, serial.runs[:2])
    assert len(list(tmp_path.glob("*.json"))) == len(list(tmp_path.glob("*.png"))) == 2
    assert not (tmp_path / "sweep.csv").exists()
    resumed = mnst.sweep(photo, styles, gamma=GAMMAS, folder=tmp_path, **options)
    assert [run.found for run in resumed] == [True, True, False, False]
    assert same(resumed, serial)


@pytest.mark.slow
def test_axes_are_crossed_in_order(photo, styles, options):
    other = RECIPE.replace(name="other", learning_rate=5.0, total_variation=2.0)
    swept = mnst.sweep(
        [photo, 255 - photo],
        styles,
        gamma=[0, 1],
        alpha_beta=[0.01, 1],
        **{**options, "recipe": [RECIPE, other], "steps": 1},
    )
    asked = itertools.product([0, 1], ["article", "other"], [0.01, 1], [0, 1])
    assert [(run.photo, run.recipe.name, round(run.alpha_beta, 6), run.gamma) for run in swept] == [
        *asked
    ]
    assert swept[2].recipe.alpha == pytest.approx(RECIPE.beta)
    for run in swept:
        made_with = run.result.settings
        assert mnst.Recipe.from_dict(made_with["recipe"]) == run.recipe
        assert made_with["gamma"] == [run.gamma, 1 - run.gamma]
    for run, row in zip(swept, swept.table(), strict=True):
        last = run.result.history[-1].losses
        assert {name: row[f"{name}_loss"] for name in last} == last
        assert ("total_variation_loss" in row) == (run.recipe.name == "other")


def test_the_tables_hold_the_numbers(serial, photo, styles, options, tmp_path):
    mnst.sweep(photo, styles, gamma=GAMMAS, folder=tmp_path, **options)
    with open(tmp_path / "sweep.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["gamma_1"]) for row in rows] == GAMMAS
    for row, run in zip(rows, serial, strict=True):
        told = (float(row["relative_improvement_1"]), float(row["relative_improvement_2"]))
        assert told == run.result.relative_improvement
        losses = run.result.history[-1].losses
        assert {name: float(row[f"{name}_loss"]) for name in losses} == losses
    full = json.loads((tmp_path / "sweep.json").read_text())
    assert full[2]["history"][1]["losses"] == serial[2].result.history[1].losses
    assert full[2]["settings"] == serial[2].result.settings
    assert (tmp_path / "grid.png").stat().st_size > 0


LABEL = 12  # rows above a picture that show its label


def places_on(sheet, runs, width):
    """Where each run's picture stands, in pixels from the top and from the left."""
    places = []
    for run in runs:
        picture = Image.fromarray(run.result.image)
        size = (width, width * picture.height // picture.width)
        resized = np.asarray(picture.resize(size, Image.Resampling.LANCZOS))
        windows = np.lib.stride_tricks.sliding_window_view(sheet, resized.shape)[:, :, 0]
        alike = np.all(windows[:, :, :3, :3] == resized[:3, :3], axis=(2, 3, 4))
        found = [(y, x) for y, x in np.argwhere(alike) if np.array_equal(windows[y, x], resized)]
        assert len(found) == 1
        places += found
    return places


def labels_on(sheet, places, width):
    return [sheet[y - LABEL : y, x : x + width] for y, x in places]


def test_the_contact_sheet_holds_every_picture_in_order(serial):
    sheet = np.asarray(serial.grid(columns=3, width=120))
    (top, left), second, third, fourth = places_on(sheet, serial, 120)
    right, down = second[1] - left, fourth[0] - top
    assert second == (top, left + right)
    assert third == (top, left + 2 * right)
    assert fourth == (top + down, left)
    assert 120 < right < 140
    assert 100 + LABEL < down < 140


def test_every_picture_of_the_contact_sheet_is_under_its_own_label(serial):
    sheet = np.asarray(serial.grid(columns=3, width=120))
    labels = labels_on(sheet, places_on(sheet, serial, 120), 120)
    assert all(label.min() < 64 < 192 < np.median(label) for label in labels)
    for one, other in itertools.combinations(labels, 2):
        assert not np.array_equal(one, other)
    # A label goes with its picture, wherever that stands.
    turned = np.asarray(mnst.Sweep(serial.runs[::-1]).grid(columns=2, width=120))
    for one, other in zip(
        labels, labels_on(turned, places_on(turned, serial, 120), 120), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_plots_hold_the_numbers(serial):
    axes = serial.plot_relative_improvement()
    first, second, ratio, _ = axes.get_lines()
    improved = np.array([run.result.relative_improvement for run in serial])
    np.testing.assert_allclose(first.get_ydata(), improved[:, 0])
    np.testing.assert_allclose(second.get_ydata(), improved[:, 1])
    np.testing.assert_allclose(ratio.get_ydata(), improved[:, 0] / improved[:, 1])
    np.testing.assert_allclose(
        serial.plot_loss_ratio().get_lines()[0].get_ydata(), 1 / improved[:, 0]
    )


@pytest.mark.parametrize("empty", ["gamma", "alpha_beta", "recipe"])
def test_an_empty_list_is_named(photo, styles, options, empty):
    with pytest.raises(ValueError, match=rf"nothing to run|^{empty} is \[\]: give a list of"):
        mnst.sweep(photo, styles, **{**options, empty: []})


def test_three_styles_take_shares(photo, styles, options):
    swept = mnst.sweep(
        photo, [*styles, photo], gamma=[[1, 0, 0], [0.2, 0.3, 0.5]], **{**options, "steps": 1}
    )
    assert swept[1].result.settings["gamma"] == [0.2, 0.3, 0.5]
    with pytest.raises(ValueError, match="two styles, over gamma"):
        swept.plot_relative_improvement()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"gamma": 0.5}, "give a list of gammas"),
        ({"gamma": [0.5, 2]}, "gamma is 2"),
        ({"sigma": "best"}, "sigma is 'best'"),
        ({"alpha_beta": [-1]}, r"alpha_beta\[0\] is -1"),
        ({"steps": 0}, "steps is 0"),
        ({"processes": 0}, "processes is 0"),
        ({"processes": 2, "executor": ThreadPoolExecutor(1)}, "processes is 2, and an executor"),
    ],
)
def test_bad_options_are_named_before_anything_is_read(styles, options, change, said):
    with pytest.raises(ValueError, match=said):
        mnst.sweep("no.jpg", styles, **{**options, **change})


# What goes wrong

WILD = RECIPE.replace(name="wild", beta=1e38)  # its total is infinite from the start
WILD_SAYS = "the total loss became inf after step 0"


@pytest.mark.parametrize("threads", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_a_run_that_fails_ends_no_other(photo, styles, options, tmp_path, threads):
    """Whether in a folder or not, the outcome and all that it writes say so."""
    given = {**options, "recipe": [RECIPE, WILD], "gamma": [0, 1]}
    alone = mnst.sweep(photo, styles, **{**given, "recipe": RECIPE})
    with ThreadPoolExecutor(threads) if threads else contextlib.nullcontext() as executor:
        for folder in (None, tmp_path):
            with pytest.warns(UserWarning, match="wild-.* failed and is left out") as told:
                swept = mnst.sweep(photo, styles, folder=folder, executor=executor, **given)
            assert len(told) == 2
            assert swept.completed
            assert same(swept, alone)
            failed = [(one.place, one.photo, one.gamma, one.recipe) for one in swept.failures]
            assert failed == [(2, 0, 0, WILD), (3, 0, 1, WILD)]
            assert all(one.error.startswith(WILD_SAYS) for one in swept.failures)
    with open(tmp_path / "sweep.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["recipe"] for row in rows] == ["article", "article", "wild", "wild"]
    assert [row["error"].startswith(WILD_SAYS) for row in rows] == [False, False, True, True]
    assert len(json.loads((tmp_path / "sweep.json").read_text())) == 4
    sheet = np.asarray(swept.grid(columns=2, width=120)).astype(int)
    assert sheet.shape[0] > 2 * (100 + LABEL)
    red = (sheet[..., 0] > 200) & (sheet[..., 1] < 80)
    assert red[sheet.shape[0] // 2 :].any()
    with pytest.warns(UserWarning, match="failed"):  # it is tried again
        again = mnst.sweep(photo, styles, folder=tmp_path, **given)
    assert [run.found for run in again] == [True, True]
    assert len(again.failures) == 2


def test_where_every_run_fails_so_does_the_sweep(photo, styles, options):
    given = {**options, "recipe": WILD, "gamma": [0, 1]}
    with (
        pytest.warns(UserWarning, match="failed and is left out"),
        pytest.raises(mnst.DivergenceError, match=WILD_SAYS),
    ):
        mnst.sweep(photo, styles, **given)


def test_what_every_run_would_meet_ends_the_sweep(photo, styles, options):
    seen = []

    def fail(record):
        seen.append(record.step)
        raise OSError(errno.ENOSPC, "full", "disk")

    with pytest.raises(OSError, match="full"):
        mnst.sweep(photo, styles, gamma=[0, 1], callback=fail, **options)
    assert seen == [0]


class Breaking(ThreadPoolExecutor):
    """A pool that breaks while it is given work, and before what it was given last is done."""

    def __init__(self, whole):
        super().__init__(1)
        self.left = whole

    def submit(self, *given):
        self.left -= 1
        if self.left >= 0:
            return super().submit(*given)
        broken = BrokenProcessPool("A process in the process pool was terminated abruptly")
        if self.left < -1:
            raise broken
        lost = Future()
        lost.set_exception(broken)
        return lost


@pytest.mark.parametrize("scenes_and_runs", [0, 1])
def test_a_pool_that_breaks_before_a_run_is_finished_is_an_error(
    photo, styles, options, scenes_and_runs
):
    given = {"gamma": GAMMAS, "executor": Breaking(scenes_and_runs), **options}
    warnings.simplefilter("ignore")  # of each run; pytest sets it back
    with pytest.raises(RuntimeError, match="a worker of the executor was killed, or ended by"):
        mnst.sweep(photo, styles, **given)


@pytest.mark.parametrize("finished", [1, 3])
def test_a_broken_pool_keeps_what_was_finished(serial, photo, styles, options, finished):
    with Breaking(1 + finished) as executor:
        given = {"gamma": GAMMAS, "executor": executor, **options}
        with pytest.warns(UserWarning, match="a worker of the executor was killed") as told:
            swept = mnst.sweep(photo, styles, **given)
    assert len(told) == len(swept.failures) == 4 - finished
    assert same(swept, serial.runs[:finished])


@pytest.mark.parametrize("whole", [0, 2])
def test_an_executor_that_drops_its_runs_ends_the_sweep(photo, styles, options, tmp_path, whole):
    """As one does whose scheduler is gone; what was finished is kept."""

    class Dropping(Breaking):
        def submit(self, *given):
            self.left -= 1
            if self.left >= 0:
                return ThreadPoolExecutor.submit(self, *given)
            dropped = Future()
            dropped.cancel()
            dropped.set_running_or_notify_cancel()
            return dropped

    with Dropping(whole) as executor:
        given = {"gamma": GAMMAS, "executor": executor, "folder": tmp_path, **options}
        with pytest.raises(ConnectionError, match=r"dropped its runs: .* sweep again to go on"):
            mnst.sweep(photo, styles, **given)
    assert not [*tmp_path.glob("*.claim*")]


@pytest.mark.slow
def test_processes_send_their_failures(photo, styles, options):
    given = {**options, "recipe": [RECIPE, WILD], "gamma": [0, 1]}
    alone = mnst.sweep(photo, styles, **{**given, "recipe": RECIPE})
    spawn = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(2, mp_context=spawn) as executor,
        pytest.warns(UserWarning, match="wild-.* failed and is left out"),
    ):
        swept = mnst.sweep(photo, styles, executor=executor, **given)
    assert same(swept, alone)
    assert [one.error.startswith(WILD_SAYS) for one in swept.failures] == [True, True]


def test_all_is_checked_before_the_first_run(photo, styles, options, tmp_path):
    def never(record):
        pytest.fail("a run has begun")

    given = {"callback": never, "folder": tmp_path, **options}
    with pytest.raises(ValueError, match=r"shape \(1, 9, 3\)\): 9 x 1 pixels .* too small"):
        mnst.sweep([photo[:1, :9], photo], styles, **given)
    unknown = RECIPE.replace(content_layers={"block9_conv1": 1.0})
    with pytest.raises(ValueError, match="block9_conv1"):
        mnst.sweep(photo, styles, **{**given, "recipe": [RECIPE, unknown]})
    large = np.zeros((300, 3000, 3), np.uint8)
    with pytest.raises(ValueError, match=r"only 1\.1 GB may be taken"):
        mnst.sweep([large, photo], styles, **{**given, "size": 3000, "memory": "1.1GB"})
    assert not [*tmp_path.glob("*.json")]


def test_a_run_is_known_by_the_precision_that_auto_became(photo, styles, options, tmp_path):
    given = {**options, "folder": tmp_path, "gamma": [0.5]}
    (first,) = mnst.sweep(photo, styles, **{**given, "precision": "auto"})
    became = first.result.settings["precision"]
    assert mnst.sweep(photo, styles, **{**given, "precision": became})[0].found


@pytest.mark.parametrize("executor", [3, "threads", ThreadPoolExecutor])
def test_an_executor_is_one(executor):
    with pytest.raises(ValueError, match=r"executor is .*: give one of concurrent.futures"):
        mnst.sweep("no.jpg", "no.jpg", executor=executor)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
def test_an_executor_may_not_fork_tensorflow_that_photos_have_loaded(
    photo, styles, options, monkeypatch
):
    import tensorflow

    def photos():  # as a data set would
        monkeypatch.setitem(sys.modules, "tensorflow", tensorflow)
        yield photo

    monkeypatch.delitem(sys.modules, "tensorflow")
    with (
        ProcessPoolExecutor(mp_context=multiprocessing.get_context("fork")) as forking,
        pytest.raises(ValueError, match=r"get_context\('spawn'\)"),
    ):
        mnst.sweep(photos(), styles, executor=forking, **options)


FORKING = """
import multiprocessing, sys
from concurrent.futures import ProcessPoolExecutor
import mnst
photo, first, second = sys.argv[1:]
with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as executor:
    swept = mnst.sweep(photo, [first, second], gamma=[0, 1], steps=1, backbone="vgg19-lite",
                       executor=executor, progress=False)
assert len(swept) == 2 and "tensorflow" not in sys.modules
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
def test_where_tensorflow_is_not_loaded_processes_may_fork(photo, styles, tmp_path):
    paths = [tmp_path / name for name in ("photo.png", "first.png", "second.png")]
    for path, picture in zip(paths, (photo, *styles), strict=True):
        mnst.save_image(path, picture)
    arguments = [sys.executable, "-W", "ignore", "-c", FORKING, *map(str, paths)]
    subprocess.run(arguments, check=True, timeout=120)
