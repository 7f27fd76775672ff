"""The ways that benchmarks/speed.py compares do the same work, and the command runs."""

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import mnst
from mnst.images import to_uint8
from mnst.networks import get_backbone
from mnst.paintings import glass, swirls

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
sys.path.append(str(BENCHMARKS))

import speed  # noqa: E402
from workers import Bench, FailureError, Scene, Way, Worker, maker  # noqa: E402

STEPS = 3


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """A photo and two styles, all of different sizes, which the pools have to cut."""
    return Scene(
        to_uint8(mnst.load_image(swirls(seed=3)[:410], size=61)),
        [swirls(size=80), glass(size=96)[:71]],
        get_backbone("vgg19").find_weights().path,
        tmp_path_factory.mktemp("arrays") / "vgg19.npz",
    )


@pytest.fixture(scope="module")
def ours(scene):
    """mnst's records of a run in float32."""
    records = []
    maker(Way("mnst", styles=2), scene)().run(steps=STEPS, progress=False, callback=records.append)
    return records


def check_path(painter, ours, *, apart):
    """Compares losses and pictures; a pixel whose gradient is nearly 0 may go either way."""
    for before, after in pairwise(ours):
        assert painter.step() == pytest.approx(before.losses["total"], rel=1e-4)
        assert np.abs(painter.picture() - after.image).mean() < apart


@pytest.mark.slow
@pytest.mark.weights
def test_the_tutorials_way_takes_mnsts_path(scene, ours):
    check_path(maker(Way("tutorial", styles=2), scene)(), ours, apart=0.002)


@pytest.mark.weights
def test_pytorchs_way_takes_mnsts_path(scene, ours):
    pytest.importorskip("torch")
    Bench(scene, lambda: None).save_arrays()
    check_path(maker(Way("PyTorch", styles=2), scene)(), ours, apart=0.002)


@pytest.mark.weights
def test_the_operations_of_a_step_are_vgg19s(scene):
    """Two a product, forward and back to the picture."""
    height, width = scene.photo.shape[:2]
    products, channels = 0, 3
    for block, (count, filters) in enumerate([(2, 64), (2, 128), (4, 256), (4, 512), (2, 512)]):
        positions = (height >> block) * (width >> block)
        products += positions * filters**2  # the Gram matrix of its first
        for _ in range(count):
            products += positions * 9 * channels * filters
            channels = filters
    bench = Bench(scene, lambda: None)
    assert speed.operations(bench.convolutions("vgg19"), mnst.ARTICLE) == 4 * products
    assert speed.operations(bench.convolutions("vgg19-lite"), mnst.ARTICLE) < products


@pytest.mark.slow
@pytest.mark.weights
def test_a_failure_is_one_line_and_the_process_goes_on(scene):
    worker = Worker(scene)
    with pytest.raises(FailureError, match=r"^ValueError: recipe is 'slow'") as raised:
        worker.call("first", Way("mnst", recipe="slow"))
    assert "\n" not in str(raised.value)
    assert worker.call("memory") > 0
    worker.close()


@pytest.mark.slow
@pytest.mark.weights
def test_the_command_writes_its_numbers(tmp_path):
    command = [sys.executable, BENCHMARKS / "speed.py", "--no-torch", "--no-bfloat16"]
    sizes = ["--recipes=article", "--size=48", "--rounds=1", "--steps=4"]
    finished = subprocess.run(
        [*command, *sizes], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    report = json.loads((tmp_path / "speed" / "speed.json").read_text())
    assert (report["height"], report["width"]) == (48, 41)
    assert (tmp_path / "speed" / "speed.png").stat().st_size > 10_000
    assert len(report["ways"]) == 6
    for name, way in report["ways"].items():
        assert name in finished.stdout
        assert way["least"] <= way["median"]
        assert way.keys() >= {"times_the_tutorial", "teraflops", "share_of_floor", "floor"}
        assert 0.1 < way["memory"] < 100
        assert way["first"] > 0
    race = report["race"]
    assert race["target"] < race["start"]
    assert race["runs"].keys() == {"tutorial", "mnst, article"}
    for run in race["runs"].values():
        seconds = [point["seconds"] for point in run["curve"]]
        assert seconds == sorted(seconds)
    assert race["runs"]["tutorial"]["reached"]["step"] <= 4


@pytest.mark.parametrize(
    ("option", "complaint"),
    [
        ("--rounds=0", "--rounds is 0: give a whole number, 1 or more"),
        ("--recipes=slow", "--recipes: recipe is 'slow': give one of"),
        ("--recipes=paper", "--recipes: paper has other losses than the article's"),
    ],
)
def test_wrong_options_are_told_early(option, complaint, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["speed.py", option])
    with pytest.raises(SystemExit):
        speed.main()
    assert complaint in capsys.readouterr().err
