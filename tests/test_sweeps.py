"""Many runs: the same as one by one, wherever they run, and resumed where they broke off."""

import csv
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest
import scenes
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
    process.wait()
    kept = len(list(folder.glob("*-gamma*.json")))
    assert kept >= 4
    whole = mnst.sweep(photo, styles, gamma=gammas, **options)
    resumed = mnst.sweep(photo, styles, gamma=gammas, folder=folder, **options)
    assert sum(run.found for run in resumed) == kept
    assert same(whole, resumed)


def test_ctrl_c_gives_back_the_runs_that_were_finished(
    photo, styles, options, tmp_path, monkeypatch
):
    """Pressed as soon as the second run was kept."""
    from mnst.painting import sweeps

    keep = sweeps._save_run

    def keep_and_press(place, task, result):
        keep(place, task, result)
        if len(list(place.glob("*.json"))) == 2:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(sweeps, "_save_run", keep_and_press)
    swept = mnst.sweep(photo, styles, gamma=GAMMAS, folder=tmp_path, **options)
    assert not swept.completed
    assert 1 <= len(swept) <= 2
    assert not (tmp_path / "sweep.csv").exists()


def test_axes_are_crossed_in_order(photo, styles, options):
    other = options["recipe"].replace(name="other", learning_rate=5.0)
    swept = mnst.sweep(
        [photo, 255 - photo],
        styles,
        gamma=[0, 1],
        alpha_beta=[0.01, 1],
        **{**options, "recipe": [RECIPE, other], "steps": 1},
    )
    assert len(swept) == 16
    told = [(run.photo, run.recipe.name, round(run.alpha_beta, 6), run.gamma) for run in swept]
    names = {"article": 0, "other": 1}
    assert told == sorted(told, key=lambda run: (run[0], names[run[1]], run[2], run[3]))
    assert swept[2].recipe.alpha == pytest.approx(RECIPE.beta)


def test_the_tables_hold_the_numbers(serial, photo, styles, options, tmp_path):
    mnst.sweep(photo, styles, gamma=GAMMAS, folder=tmp_path, **options)
    with open(tmp_path / "sweep.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["gamma_1"]) for row in rows] == GAMMAS
    for row, run in zip(rows, serial, strict=True):
        told = (float(row["relative_improvement_1"]), float(row["relative_improvement_2"]))
        assert told == run.result.relative_improvement
    full = json.loads((tmp_path / "sweep.json").read_text())
    assert full[2]["history"][1]["losses"] == serial[2].result.history[1].losses
    assert full[2]["settings"] == serial[2].result.settings
    assert (tmp_path / "grid.png").stat().st_size > 0


def test_the_contact_sheet_holds_every_picture(serial):
    sheet = np.asarray(serial.grid(columns=3, width=48))
    colours = [run.result.image.mean() for run in serial]
    assert sheet.shape[1] > 3 * 48
    assert sheet.shape[0] > 2 * 40
    assert min(colours) < sheet.mean() < 255


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
    with pytest.raises(ValueError, match="nothing to run"):
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
        ({"alpha_beta": [-1]}, "alpha is -"),
        ({"steps": 0}, "steps is 0"),
    ],
)
def test_bad_options_are_named_before_anything_is_read(styles, options, change, said):
    with pytest.raises(ValueError, match=said):
        mnst.sweep("no.jpg", styles, **{**options, **change})
