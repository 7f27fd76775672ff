"""How a small network is fitted and trained, against NumPy's own regressions and the plain way."""

import csv
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import mnst
from mnst.backend import keras
from mnst.networks import distillation
from mnst.networks.distillation import CONVOLUTIONS, Moments, distill, make_crops
from mnst.networks.lite import LITE_WIDTHS, read_lite
from mnst.paintings import dots, glass, swirls

NARROW = {name: None if name == "block1_conv1" else (3, 4) for name in CONVOLUTIONS}
QUICK = {"widths": NARROW, "fit_crops": 2, "steps": 4, "batch": 1, "side": 32, "progress": False}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "below").mkdir()
    mnst.save_image(folder / "a.png", swirls(size=96))
    mnst.save_image(folder / "b.jpg", glass(size=80))
    mnst.save_image(folder / "below" / "c.PNG", dots(size=64))
    (folder / "notes.txt").write_text("no picture")
    return folder


def samples(*, rank, channels=6, outputs=10, count=4000, noise=0.0):
    """Patches and the responses to them of a convolution through `rank` = (p, r) channels."""
    random = np.random.default_rng(4)
    reduce = random.standard_normal((channels, rank[0]))
    core = random.standard_normal((9, rank[0], rank[1]))
    widen = random.standard_normal((rank[1], outputs))
    x = random.standard_normal((count, 9, channels)) @ random.standard_normal((channels, channels))
    x += random.standard_normal(channels)
    y = np.einsum("mkc,cp,kpr,rn->mn", x, reduce, core, widen) + random.standard_normal(outputs)
    y += noise * y.std() * random.standard_normal(y.shape)
    return x.reshape(count, -1).astype(np.float32), y.astype(np.float32)


def moments_of(x, y):
    moments = Moments(x.shape[1], y.shape[1])
    for part in np.array_split(np.arange(len(x)), 3):
        moments.add(x[part], y[part])
    return moments


def respond(x, reduce, core, widen, bias):
    """What the three convolutions and the bias make of patches."""
    x = x.reshape(len(x), 9, -1).astype(np.float64)
    core = core.reshape(9, *core.shape[2:])
    return np.einsum("mkc,cp,kpr,rn->mn", x, reduce[0, 0], core, widen[0, 0]) + bias


def relative_error(given, wanted):
    return np.sum((given - wanted) ** 2) / np.sum((wanted - wanted.mean(axis=0)) ** 2)


def test_moments_are_those_of_numpy():
    x, y = samples(rank=(3, 4))
    covariance = np.cov(np.hstack([x, y]).astype(np.float64).T, bias=True)
    inputs, shared = moments_of(x, y).covariances
    assert np.allclose(inputs, covariance[:54, :54], atol=1e-4)
    assert np.allclose(shared, covariance[:54, 54:], atol=1e-3)


def test_full_convolution_is_least_squares():
    x, y = samples(rank=(6, 10), noise=0.3)
    kernel, bias = distillation.full_convolution(moments_of(x, y))
    ones = np.hstack([x, np.ones((len(x), 1), np.float32)]).astype(np.float64)
    expected = ones @ np.linalg.lstsq(ones, y.astype(np.float64), rcond=None)[0]
    assert kernel.shape == (3, 3, 6, 10)
    assert relative_error(x @ kernel.reshape(-1, 10) + bias, expected) < 1e-7


def test_a_convolution_that_is_narrow_is_found_exactly():
    x, y = samples(rank=(3, 4))
    parts = distillation.narrow_convolution(moments_of(x, y), (3, 4))
    assert [part.shape for part in parts] == [(1, 1, 6, 3), (3, 3, 3, 4), (1, 1, 4, 10), (10,)]
    assert relative_error(respond(x, *parts), y) < 1e-10


@pytest.mark.parametrize("rank", [1, 3, 6])
def test_with_all_inputs_no_map_of_the_rank_is_better(rank):
    x, y = samples(rank=(6, 9), noise=0.2)
    parts = distillation.narrow_convolution(moments_of(x, y), (6, rank))
    # Eckart and Young: the fitted responses of the full regression, cut off at the rank.
    x0, y0 = (values.astype(np.float64) - values.mean(axis=0) for values in (x, y))
    fitted = x0 @ np.linalg.lstsq(x0, y0, rcond=None)[0]
    u, s, vt = np.linalg.svd(fitted, full_matrices=False)
    best = relative_error((u[:, :rank] * s[:rank]) @ vt[:rank], y0)
    assert relative_error(respond(x, *parts), y) == pytest.approx(best, rel=1e-3)


def test_fewer_inputs_cost_little_where_responses_need_few():
    x, y = samples(rank=(3, 4), noise=0.05)
    least = relative_error(
        respond(x, *distillation.narrow_convolution(moments_of(x, y), (6, 4))), y
    )
    narrow = relative_error(
        respond(x, *distillation.narrow_convolution(moments_of(x, y), (3, 4))), y
    )
    assert narrow < 1.1 * least


def two_convolutions(first, second, bias):
    """A network of two layers whose kernels, [3, 3, C, N], and second bias are given."""
    rgb = keras.Input((None, None, 3))
    shared = {"kernel_size": 3, "padding": "same", "activation": "relu"}
    hidden = keras.layers.Conv2D(first.shape[-1], use_bias=False, name="first", **shared)
    last = keras.layers.Conv2D(second.shape[-1], name="second", **shared)
    network = keras.Model(rgb, last(hidden(rgb)))
    hidden.set_weights([first])
    last.set_weights([second, bias])
    return network


def at(row, column, taps):
    """A kernel [3, 3, C, N] that looks at one of its nine places only."""
    kernel = np.zeros((3, 3, *taps.shape), np.float32)
    kernel[row, column] = taps
    return kernel


def test_a_layer_is_fitted_to_what_its_convolution_sees():
    """Behind a student's layer that looks up and to the right, it looks down and to the left."""
    random = np.random.default_rng(6)
    mixed, taps = np.eye(3) + 0.1, random.standard_normal((3, 5))
    bias = random.standard_normal(5).astype(np.float32)
    teacher = two_convolutions(at(1, 1, mixed), at(1, 1, taps), bias)
    student = two_convolutions(at(0, 2, mixed), at(1, 1, 0 * taps), 0 * bias)
    crops = np.zeros((4, 32, 32, 3), np.float32)
    crops[:, 1:-1, 1:-1] = random.uniform(0, 255, (4, 30, 30, 3))  # nothing moves out of the frame
    error = distillation.fit_layer(teacher, student, "second", None, crops, random)
    kernel, offset = student.get_layer("second").get_weights()
    assert error < 1e-6
    assert np.allclose(kernel, at(2, 0, taps), atol=0.01)
    assert np.allclose(offset, bias, atol=0.1)


def test_layer_error_against_numpy():
    random = np.random.default_rng(7)
    wanted = np.maximum(random.standard_normal((3, 4, 5, 6)), 0) * 100
    given = wanted + random.standard_normal(wanted.shape) * 20
    grams = [np.einsum("bijc,bijd->bcd", f, f) for f in (given, wanted)]
    apart = np.linalg.norm(grams[0] - grams[1], axis=(1, 2)) / np.linalg.norm(grams[1], axis=(1, 2))
    expected = np.sum((given - wanted) ** 2) / np.sum(wanted**2) + 0.3 * apart.mean()
    error = distillation.layer_error(wanted.astype(np.float32), given.astype(np.float32))
    assert float(error) == pytest.approx(expected, rel=1e-4)


def test_layer_error_of_blank_features_is_finite():
    blank = keras.ops.zeros((2, 4, 4, 3))
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(blank)
        error = distillation.layer_error(blank, blank)
    assert float(error) < 0.01
    assert np.isfinite(tape.gradient(error, blank).numpy()).all()


def test_crops_are_seeded_and_in_range():
    read = [Image.fromarray(draw(size=size)) for draw, size in ((swirls, 96), (glass, 80))]
    crops = make_crops(read, 12, 48, seed=[1, 2])
    assert crops.dtype == np.float32
    assert crops.shape == (12, 48, 48, 3)
    assert crops.min() >= 0
    assert crops.max() <= 255
    assert crops.std(axis=(1, 2, 3)).min() > 0
    assert np.array_equal(crops, make_crops(read, 12, 48, seed=[1, 2]))
    assert not np.array_equal(crops, make_crops(read, 12, 48, seed=[1, 3]))


def test_small_pictures_are_enlarged_to_the_crop():
    small = [Image.fromarray(dots(size=64))]
    assert make_crops(small, 2, 96, seed=[0]).shape == (2, 96, 96, 3)


def test_pictures_are_read_in_and_below_the_folders(
    pictures, random_weights, tmp_path, monkeypatch
):
    read = []

    def keep(pictures, *_, **__):
        read.extend(pictures)
        raise KeyboardInterrupt

    monkeypatch.setattr(distillation, "make_crops", keep)
    mnst.save_image(tmp_path / "large.png", np.full((700, 1400, 3), 90, np.uint8))
    with pytest.raises(KeyboardInterrupt):
        distill([pictures, tmp_path], folder=tmp_path / "f", weights=random_weights, **QUICK)
    assert [picture.size for picture in read] == [(96, 96), (80, 80), (64, 64), (640, 320)]


@pytest.fixture(scope="module")
def fitted(pictures, random_weights, tmp_path_factory):
    """A folder whose training was interrupted before its first step."""
    folder = tmp_path_factory.mktemp("distilled") / "student"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distillation, "make_crops", _interrupted_at(1))
        with pytest.raises(KeyboardInterrupt):
            distill(pictures, folder=folder, weights=random_weights, **QUICK)
    return folder


def _interrupted_at(step):
    def make(read, count, side, *, seed):
        if seed[1:] == [1, step]:
            raise KeyboardInterrupt
        return make_crops(read, count, side, seed=seed)

    return make


def rows(folder):
    with open(folder / "log.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_an_interrupted_training_goes_on_as_if_it_had_not_been(
    fitted, pictures, random_weights, tmp_path, monkeypatch
):
    monkeypatch.setattr(distillation, "_BETWEEN_CHECKPOINTS", 2)
    whole, halved = tmp_path / "whole", tmp_path / "halved"
    for folder in (whole, halved):
        shutil.copytree(fitted, folder)
    student = distill(pictures, folder=whole, weights=random_weights, **QUICK)
    with monkeypatch.context() as patch:
        patch.setattr(distillation, "make_crops", _interrupted_at(4))
        with pytest.raises(KeyboardInterrupt):
            distill(pictures, folder=halved, weights=random_weights, **QUICK)
    assert json.loads((halved / "state.json").read_text())["steps"] == 2
    again = distill(pictures, folder=halved, weights=random_weights, **QUICK)
    (_, expected), (_, values) = read_lite(student), read_lite(again)
    (_, before) = read_lite(fitted / "student.npz")
    assert expected.keys() == values.keys()
    assert any(not np.array_equal(before[name], expected[name]) for name in expected)
    for name, value in expected.items():
        assert np.array_equal(value, values[name]), name
    stages = [(row["stage"], row["at"]) for row in rows(halved)]
    assert stages == [("fit", name) for name in CONVOLUTIONS] + [("train", "2"), ("train", "4")]
    assert all(0 <= float(row["error"]) < 100 for row in rows(halved))


@pytest.mark.slow
def test_what_was_distilled_paints(fitted, random_weights):
    student = fitted / "student.npz"
    result = mnst.stylize(
        swirls(size=32), [glass(size=32)], backbone="vgg19-lite", weights=student, steps=2,
        progress=False,
    )  # fmt: skip
    assert result.settings["backbone"] == "vgg19-lite"
    assert result.settings["weights"]["origin"] == "weights argument"
    assert np.isfinite(result.final_losses).all()


@pytest.mark.slow
def test_a_first_layer_of_full_width_learns_the_teachers(fitted):
    """It can be exact, so the regression finds it, but for the ridge."""
    assert float(rows(fitted)[0]["error"]) < 1e-6


@pytest.mark.slow
def test_a_folder_of_another_training_is_left_alone(fitted, pictures, random_weights):
    before = (fitted / "state.json").read_bytes()
    with pytest.raises(ValueError, match="holds a training with steps 4, but 5 was given"):
        distill(pictures, folder=fitted, weights=random_weights, **{**QUICK, "steps": 5})
    assert (fitted / "state.json").read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"side": 100}, "side is 100: give a multiple of 16, 32 or more"),
        ({"side": 16}, "side is 16"),
        ({"batch": 0}, "batch is 0: give a whole number, 1 or more"),
        ({"steps": -1}, "steps is -1: give a whole number, 0 or more"),
        ({"fit_crops": 0}, "fit_crops is 0"),
        ({"learning_rate": 0}, "learning_rate is 0: give a number, more than 0"),
        ({"widths": {"block1_conv1": None}}, "widths differs from VGG19's convolutions in 'bl"),
        (
            {"widths": {**LITE_WIDTHS, "block1_conv2": (0, 8)}},
            r"widths\['block1_conv2'\] is 0: give",
        ),
    ],
)
def test_bad_options_are_named(pictures, tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        distill(pictures, folder=tmp_path / "f", **{**QUICK, **changes})
    assert not (tmp_path / "f").exists()


def test_bad_folders_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no such folder of pictures"):
        distill(tmp_path / "missing", folder=tmp_path / "f")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"no picture in .*empty: give folders with some"):
        distill(tmp_path / "empty", folder=tmp_path / "f")


@pytest.mark.slow
def test_weights_that_became_infinite_are_not_kept(fitted, pictures, random_weights, tmp_path):
    folder = tmp_path / "diverging"
    options = {**QUICK, "learning_rate": 1e30}
    shutil.copytree(fitted, folder)
    state = json.loads((folder / "state.json").read_text())
    state["options"]["learning_rate"] = 1e30
    (folder / "state.json").write_text(json.dumps(state))
    before = (folder / "student.npz").read_bytes()
    with pytest.raises(ArithmeticError, match="try a lower learning_rate"):
        distill(pictures, folder=folder, weights=random_weights, **options)
    assert (folder / "student.npz").read_bytes() == before


@pytest.mark.slow
def test_on_the_command_line(fitted, pictures, random_weights, tmp_path, monkeypatch, capsys):
    """It goes on with the same training: the options are the function's."""
    from mnst.cli import main

    monkeypatch.setattr(distillation, "LITE_WIDTHS", NARROW)
    folder = tmp_path / "student"
    shutil.copytree(fitted, folder)
    options = "--fit-crops 2 --steps 4 --batch 1 --side 32 --no-progress"
    given = ["distill", str(pictures), "--folder", str(folder), "--weights", str(random_weights)]
    assert main([*given, *options.split()]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith(f"{folder / 'student.npz'}: 0.")
    assert shown.err == ""
    assert rows(folder)[-1]["at"] == "4"


def test_errors_on_the_command_line(tmp_path, capsys):
    from mnst.cli import main

    assert main(["distill", str(tmp_path / "missing"), "--folder", str(tmp_path / "f")]) == 2
    assert "there is no such folder of pictures" in capsys.readouterr().err


@pytest.mark.slow
def test_on_another_backend(pictures, random_weights, tmp_path):
    pytest.importorskip("jax")
    script = (
        "import mnst.networks.distillation as d;"
        "narrow = {n: None if n == 'block1_conv1' else (3, 4) for n in d.CONVOLUTIONS};"
        f"d.distill({str(pictures)!r}, folder={str(tmp_path)!r}, weights={str(random_weights)!r},"
        "widths=narrow, fit_crops=2, steps=2, batch=1, side=32, progress=False);"
        "import sys; assert 'tensorflow' not in sys.modules"
    )
    subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, "KERAS_BACKEND": "jax"}, check=True
    )
    error = [float(row["error"]) for row in rows(tmp_path)]
    assert len(error) == len(CONVOLUTIONS) + 1
    assert np.isfinite(error).all()
