"""A picture in strips, as benchmarks/machines.py deals them out, against the picture as a whole."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scenes import picture

import mnst
from mnst.engine.whole import Whole
from mnst.objective.losses import make_targets, style_targets

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
sys.path.append(str(BENCHMARKS))

import machines  # noqa: E402

RECIPE = mnst.FINE  # in which every layer counts alike
HEIGHT, WIDTH = 455, 40  # no multiple of what the pools take together


@pytest.fixture(scope="module")
def whole():
    """Targets, a picture, its gradient and its losses, from one pass over all of it."""
    evaluator = Whole(mnst.vgg_layers(RECIPE.layers, backbone="vgg19-lite"), RECIPE)
    photo = evaluator.statistics(picture(HEIGHT, WIDTH, seed=1))
    styles = style_targets(
        [evaluator.statistics(picture(*size, seed=2)) for size in ((90, 70), (64, 131))],
        photo,
        RECIPE,
    )
    targets = make_targets(photo, styles, RECIPE, gamma=(0.3, 0.7), sigma=(1, 2))
    image = picture(HEIGHT, WIDTH, seed=9)
    _, gradient, losses = evaluator.gradient(mnst.backend.tf.constant(image), targets)
    return targets, image, gradient.numpy(), losses


def in_strips(whole, parts):
    targets, image, expected, losses = whole
    cut = machines.strips(HEIGHT, parts)
    each = [machines.Machine(RECIPE, "vgg19-lite", None, "float32", 256) for _ in cut]
    gradient, found = machines.step(image, targets, each, cut, each[0].tiled.pull_losses)
    apart = np.linalg.norm(gradient - expected) / np.linalg.norm(expected)
    return apart, {name: float(of) / float(losses[name]) for name, of in found.items()}


@pytest.mark.slow
def test_strips_add_up_to_the_picture(whole):
    apart, losses = in_strips(whole, 2)
    assert apart < 1e-5
    assert losses == pytest.approx(dict.fromkeys(losses, 1), rel=2e-5)


@pytest.mark.slow
def test_they_would_not_if_a_machine_saw_less_around_its_strip(whole, monkeypatch):
    monkeypatch.setattr(machines, "HALO", 16)
    apart, _ = in_strips(whole, 2)
    assert apart > 1e-4


def test_strips_cover_a_picture_once():
    cut = machines.strips(1000, 7)
    assert np.concatenate([np.r_[strip.rows] for strip in cut]).tolist() == list(range(1000))
    assert all(strip.rows.start % 16 == strip.around.start % 16 == 0 for strip in cut)


@pytest.mark.slow
def test_the_command_measures_processes(tmp_path):
    command = [sys.executable, BENCHMARKS / "machines.py", "--backbone=vgg19-lite"]
    options = ["--size=256", "--parts", "1", "2"]
    ended = subprocess.run(
        [*command, *options], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    report = json.loads((tmp_path / "machines.json").read_text())
    for run in report["runs"]:
        assert f"{run['parts']} parts" in ended.stdout
        assert run["apart"] < 1e-5
        assert min(run["see"], run["pull"], run["step"]) > 0
        # A strip's pixels and its gradient, float32, are most of what is carried.
        assert run["all_bytes"] > 2 * 256 * 256 * 3 * 4
