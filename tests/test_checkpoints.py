"""Checkpoints: a run that is broken off, wherever, ends with the bits of one that was not."""

import io
import json
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

import numpy as np
import pytest
from scenes import RECIPE, STYLES, picture

import mnst
from mnst.backend import tf
from mnst.optimizers import LBFGS, OptimizerState
from mnst.painting import checkpoints

PHOTO = picture(70, 90)[0].astype(np.uint8)
LEFT = np.broadcast_to(np.arange(90) < 45, (70, 90))
TWO_SIZES = mnst.Pyramid(smallest=45)


@dataclass(frozen=True, kw_only=True)
class Momentum:
    """An optimiser of somebody's own that says what it remembers."""

    learning_rate: float = 3.0

    name = "momentum"
    arrays = 1
    resumes = True

    def start(self, image):
        return MomentumState(self, image)


class MomentumState(OptimizerState):
    def __init__(self, settings, image):
        self.settings, self.image = settings, image
        self.speed = tf.Variable(tf.zeros(image.shape))

    def update(self, loss, gradient, comparable):
        self.speed.assign(0.8 * self.speed + tf.sign(gradient))
        moved = self.image.value - self.settings.learning_rate * self.speed
        self.image.assign(tf.clip_by_value(moved, 0.0, 255.0))

    def begin(self, step):
        self.speed.assign(tf.zeros_like(self.speed))

    def learning_rate(self, step):
        return self.settings.learning_rate

    @property
    def variables(self):
        return {"speed": self.speed}


@dataclass(frozen=True, kw_only=True)
class Forgetful(Momentum):
    """One that does not say it."""

    resumes = False


LITE = {"backbone": "vgg19-lite", "precision": "float32"}
SHALLOW = RECIPE.replace(style_layers={"block1_conv1": 1.0})
THREE_PAIRS = LBFGS(pairs=3)
# What is painted, and with what; a tile is forced upon those that have one.
RUNS = {
    "adam, from noise": (
        LITE,
        SHALLOW.replace(steps=5),
        {"init": "noise", "seed": 3},
        None,
    ),
    "lbfgs, with a mask": (
        {**LITE, "mask": LEFT},
        SHALLOW.replace(optimizer=THREE_PAIRS, pyramid=TWO_SIZES, margin=4, steps=6),
        {"gamma": 0.3},
        None,
    ),
    "lbfgs, with a surrogate": (
        {"precision": "float32"},
        RECIPE.replace(
            optimizer=THREE_PAIRS,
            surrogate="vgg19-lite",
            correct_every=3,
            pyramid=TWO_SIZES,
            steps=8,
        ),
        {"gamma": [0.2, 0.8], "sigma": "auto"},
        None,
    ),
    "lbfgs, in tiles": (
        {**LITE, "colours": "photo"},
        SHALLOW.replace(optimizer=THREE_PAIRS, steps=4),
        {"gamma": {"colour": 0.2, "form": 0.9}},
        64,
    ),
    "adam, in tiles": (
        {**LITE, "precision": "bfloat16"},
        RECIPE.replace(pyramid=TWO_SIZES, steps=4),
        {"gamma": np.linspace(0, 1, 90)[None].repeat(70, 0)},
        64,
    ),
    "lbfgs, each style in its place": (
        {**LITE, "style_masks": [LEFT, ~LEFT], "precision": "bfloat16"},
        RECIPE.replace(optimizer=LBFGS(), pyramid=TWO_SIZES, steps=24),
        {},
        None,
    ),
    "one's own": (
        LITE,
        RECIPE.replace(optimizer=Momentum(), steps=3),
        {"init": STYLES[0][:14, :18]},
        None,
    ),
}
SLOW = ("adam, in tiles", "lbfgs, each style in its place", "one's own")


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in RUNS],
)
def run(request, random_weights):
    """Paints one of these; `spoil` lets its trainers paint something else."""
    scene, recipe, options, tile = RUNS[request.param]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mnst.engine.planning.find_tile", lambda *_: tile)
        weights = {} if "backbone" in scene else {"weights": random_weights}
        transfer = mnst.StyleTransfer(PHOTO, STYLES, recipe=recipe, **scene, **weights)
    assert transfer.scene.tile == tile

    def paint(**given):
        return transfer.run(**{"progress": False, **options, **given})

    def spoil():
        transfer.run(init="noise", seed=9, steps=3, progress=False)

    paint.spoil = spoil
    return paint


def after(step, do=None):
    """A callback that does something at a record; or ends the run."""

    def call(record):
        if record.step == step:
            if do is None:
                raise StopIteration
            do()

    return call


def assert_same(result, whole):
    np.testing.assert_array_equal(result.image, whole.image)
    assert result.settings == whole.settings
    assert result.completed
    known = [(of.step, of.losses, of.learning_rate, of.size) for of in whole.history]
    assert [(of.step, of.losses, of.learning_rate, of.size) for of in result.history] == known
    seconds = [of.seconds for of in result.history]
    assert seconds == sorted(seconds)


def test_a_run_that_is_broken_off_after_every_step_ends_with_the_same_bits(run, tmp_path):
    """Each time, its trainers have painted something else before it goes on."""
    whole, path = run(), tmp_path / "run.npz"
    for step in range(len(whole.history) - 1):
        run.spoil()
        part = run(checkpoint=path, callback=after(step))
        assert (part.completed, part.history[-1].step) == (False, step)
        assert path.is_file()
    run.spoil()
    seen = []
    assert_same(run(checkpoint=path, callback=seen.append), whole)
    assert [record.step for record in seen] == [len(whole.history) - 1]
    assert not [*tmp_path.iterdir()]  # and the next one begins anew


# When it is written


@pytest.fixture(scope="module")
def quick():
    """Paints a single size in no time, five steps."""
    recipe = SHALLOW.replace(optimizer=THREE_PAIRS, steps=5)
    transfer = mnst.StyleTransfer(PHOTO, STYLES, recipe=recipe, **LITE)

    def paint(**given):
        return transfer.run(**{"progress": False, **given})

    paint.trainer = transfer.sizes[-1].trainer
    return paint


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.npz"


@pytest.fixture
def always(monkeypatch):
    """It is time to write after every step."""
    monkeypatch.setattr(checkpoints, "EVERY", 0.0)
    monkeypatch.setattr(checkpoints, "SHARE", np.inf)


def steps_in(path):
    """How many steps a checkpoint has."""
    with np.load(path) as arrays:
        return len(json.loads(str(arrays["about"]))["settings"]["history"]) - 1


def test_nothing_is_written_in_the_first_minute(quick, path):
    there = []
    quick(checkpoint=path, callback=lambda _: there.append(path.exists()))
    assert there == [False] * 6


def test_when_a_size_is_done_the_next_is_written(run, path):
    sizes = []
    run(checkpoint=path, callback=lambda record: sizes.append((record.size, path.exists())))
    first = sizes[0][0]
    assert sizes == [(size, size > first) for size, _ in sizes]


def test_where_writing_takes_long_it_is_done_less(quick, path, monkeypatch):
    """The first takes so long, by the share that is allowed, that no other comes."""
    monkeypatch.setattr(checkpoints, "EVERY", 0.0)
    monkeypatch.setattr(checkpoints, "SHARE", 1e-9)
    steps = []
    quick(checkpoint=path, callback=lambda _: steps.append(steps_in(path)))
    assert steps == [0] * 6


@pytest.mark.parametrize("step", [0, 3, 5])
def test_it_goes_on_from_what_was_written_last_whatever_has_ended_it(quick, path, always, step):
    def fail():
        raise KeyError("mine")

    whole = quick()
    with pytest.raises(KeyError):
        quick(checkpoint=path, callback=after(step, fail))
    quick(init="noise")
    seen = []
    assert_same(quick(checkpoint=path, callback=seen.append), whole)
    assert [record.step for record in seen] == [*range(step + 1, 5), 5]


@pytest.mark.parametrize("moment", ["before", "after"])
def test_ctrl_c_within_a_step_leaves_what_was_written_before_it(
    quick, path, always, monkeypatch, moment
):
    """Where the picture has been changed, and its record is lost."""
    whole, taken = quick(), []
    take = quick.trainer.train_step

    def interrupted(*given):
        taken.append(given)
        if len(taken) == 4:
            if moment == "after":
                take(*given)
            raise KeyboardInterrupt
        return take(*given)

    monkeypatch.setattr(quick.trainer, "train_step", interrupted)
    part = quick(checkpoint=path)
    assert (part.completed, part.history[-1].step, steps_in(path)) == (False, 2, 2)
    quick(init="noise", steps=2)
    assert_same(quick(checkpoint=path), whole)


def test_a_run_that_diverges_has_none(quick, path, always, monkeypatch):
    """It would only diverge again."""
    take, taken = quick.trainer.train_step, []

    def diverge(*given):
        taken.append(path.exists())
        image, measured = take(*given)
        bad = tf.constant(np.nan) if len(taken) == 3 else measured.objective
        return image, measured._replace(objective=bad)

    monkeypatch.setattr(quick.trainer, "train_step", diverge)
    with pytest.raises(mnst.DivergenceError, match="after step 2"):
        quick(checkpoint=path)
    assert taken == [False, True, True]
    assert not path.exists()


def test_the_best_picture_of_all_is_known_where_it_goes_on(quick, path, monkeypatch):
    """A run that diverges after it went on gives what the whole run would have given."""
    take = quick.trainer.train_step

    def diverge(*given):
        image, measured = take(*given)
        total = np.float32([9, 1, 5, 5, np.nan])[len(taken)]
        taken.append(total)
        return image, measured._replace(losses={**measured.losses, "total": tf.constant(total)})

    monkeypatch.setattr(quick.trainer, "train_step", diverge)
    taken = []
    with pytest.raises(mnst.DivergenceError) as whole:
        quick()
    taken = []
    quick(checkpoint=path, callback=after(2))
    taken = taken[:3]  # the step that a run which goes on takes next
    with pytest.raises(mnst.DivergenceError) as parts:
        quick(checkpoint=path)
    assert str(parts.value) == str(whole.value)
    assert parts.value.best.step == whole.value.best.step == 1
    np.testing.assert_array_equal(parts.value.best.image, whole.value.best.image)


def test_a_place_that_can_t_be_written_any_more_does_not_end_the_run(quick, path, always):
    def stand_in_the_way(record):
        if record.step == 2:
            path.unlink()
            path.mkdir()
        elif record.step == 3:
            path.rmdir()

    whole, there = quick(), []
    with pytest.warns(UserWarning, match=r"checkpoint is not written, .*run\.npz: is a folder"):
        assert_same(quick(checkpoint=path, callback=stand_in_the_way), whole)
    quick(checkpoint=path, callback=lambda _: there.append(path.is_file()))
    assert there == [True] * 6


def test_what_somebody_else_has_put_there_meanwhile_is_left_alone(quick, path, always):
    whole = quick()
    with pytest.warns(UserWarning, match=r"not written, .*run\.npz: damaged, or no checkpoint"):
        result = quick(checkpoint=path, callback=after(2, lambda: path.write_text("mine")))
    assert_same(result, whole)
    assert path.read_text() == "mine"


def test_it_says_that_it_goes_on(quick, path, capfd):
    quick(checkpoint=path, callback=after(3))
    quick(checkpoint=path, progress=True)
    assert f"goes on after step 3, which {path} has\n" in capfd.readouterr().err


# What is refused


@pytest.fixture(scope="module")
def kept(quick, tmp_path_factory):
    """A checkpoint of three steps."""
    path = tmp_path_factory.mktemp("kept") / "kept.npz"
    quick(checkpoint=path, callback=after(2))
    return path.read_bytes()


def changed(data, change):
    """A checkpoint whose arrays and settings are changed."""
    with np.load(io.BytesIO(data)) as stored:
        arrays = dict(stored)
    about = json.loads(str(arrays.pop("about")))
    change(arrays, about["settings"])
    file = io.BytesIO()
    np.savez(file, **arrays, about=np.array(json.dumps(about)))
    return file.getvalue()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"gamma": 0.3}, r"gamma \[0\.5, 0\.5\] rather than \[0\.3, 0\.7\]; give the same again"),
        ({"seed": 1}, "seed 0 rather than 1"),
        ({"steps": 6}, "recipe steps 5 rather than 6"),
        ({"sigma": "auto"}, r"sigma \[1\.0, 1\.0\] rather than 'auto'"),
        ({"init": "noise"}, "init 'content' rather than 'noise'"),
        ({"init": PHOTO}, "another init, init 'content' rather than 'image'|another init"),
        ({"gamma": np.eye(70, 90)}, "another gamma"),
    ],
)
def test_another_run_is_refused(quick, path, kept, given, said):
    path.write_bytes(kept)
    with pytest.raises(ValueError, match=rf"run\.npz: is of a run with .*({said})") as raised:
        quick(checkpoint=path, **given)
    assert "\n" not in str(raised.value)
    assert path.read_bytes() == kept


@pytest.mark.parametrize(
    ("pictures", "scene", "said"),
    [
        ((255 - PHOTO, STYLES), {}, "another photo"),
        ((PHOTO, [STYLES[0], 255 - STYLES[1]]), {}, "another style 2"),
        ((PHOTO, STYLES), {"mask": LEFT}, "another mask"),
        (
            (PHOTO, STYLES),
            {"recipe": SHALLOW.replace(optimizer=LBFGS(pairs=4), steps=5)},
            "pairs 3",
        ),
        ((PHOTO, STYLES), {"precision": "bfloat16"}, "precision 'float32' rather than 'bfloat16'"),
        ((PHOTO, STYLES), {"size": 80}, "another photo"),
    ],
)
def test_another_scene_is_refused(path, kept, pictures, scene, said):
    path.write_bytes(kept)
    recipe = SHALLOW.replace(optimizer=THREE_PAIRS, steps=5)
    given = {"recipe": recipe, **LITE, **scene, "progress": False}
    with pytest.raises(ValueError, match=rf"run\.npz: is of a run with .*{said}"):
        mnst.stylize(*pictures, checkpoint=path, **given)


@pytest.mark.parametrize(
    ("name", "value"), [("mnst", "0.0.1"), ("weights", "0" * 64), ("backbone", "vgg16")]
)
def test_another_version_or_network_is_refused(quick, path, kept, name, value):
    path.write_bytes(changed(kept, lambda _, settings: settings["run"].update({name: value})))
    with pytest.raises(ValueError, match=rf"is of a run with {name} '{value}' rather than"):
        quick(checkpoint=path)


def test_another_machine_goes_on_and_says_that_it_rounds_otherwise(quick, path, kept):
    path.write_bytes(changed(kept, lambda _, settings: settings["run"].update(device="another")))
    with pytest.warns(UserWarning, match=r"begun with device 'another' rather than .*not the same"):
        assert quick(checkpoint=path).completed


class Runs:
    """Would run when it is unpickled."""

    def __reduce__(self):
        return (pytest.fail, ("it was run",))


DAMAGE = {
    "an array is missing": lambda arrays, _: arrays.pop("optimizer_move_1"),
    "one too many": lambda arrays, _: arrays.update(more=np.zeros(3)),
    "one of another shape": lambda arrays, _: arrays.update(image=arrays["image"][:, 1:]),
    "one of another dtype": lambda arrays, _: arrays.update(best=np.float64(arrays["best"])),
    "one of objects": lambda arrays, _: arrays.update(image=np.array([Runs()], dtype=object)),
    "a step is missing": lambda _, settings: settings["history"].pop(1),
    "no steps": lambda _, settings: settings.update(history=[]),
    "too many steps": lambda _, settings: settings["history"].extend(
        {**settings["history"][0], "step": step} for step in range(3, 9)
    ),
    "a loss is a text": lambda _, settings: settings["history"][1]["losses"].update(total="low"),
    "nothing of the best": lambda _, settings: settings["standing"].pop("best"),
    "no run": lambda _, settings: settings.pop("run"),
    "a number for a run": lambda _, settings: settings.update(run=3),
}


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_file_is_refused(quick, path, kept, how):
    data = changed(kept, DAMAGE[how])
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"run\.npz: damaged, or no checkpoint of this version"):
        quick(checkpoint=path)
    assert path.read_bytes() == data
    quick()


def bomb():
    """Settings that unpack to 128 MB."""
    file = io.BytesIO()
    about = np.full(2**25, json.dumps({"kind": "mnst checkpoint 1"})[:1])
    np.savez_compressed(file, about=about)
    return file.getvalue()


NONE_OF_OURS = {
    "a text": b"mine",
    "nothing": b"",
    "an array": bytes(np.lib.format.magic(1, 0)) + b"junk",
    "a part": None,
    "another kind": None,
}


@pytest.mark.parametrize("what", [*NONE_OF_OURS, pytest.param("a bomb", marks=pytest.mark.slow)])
def test_no_other_file_is_written_over(refused, tripwire, path, kept, what):
    """Which is found before TensorFlow is loaded."""
    data = NONE_OF_OURS.get(what)
    if what == "a part":
        data = kept[: len(kept) // 2]
    elif what == "another kind":
        data = kept.replace(b"c\0\0\0h\0\0\0e\0\0\0c\0\0\0k", b"l\0\0\0i\0\0\0v\0\0\0e\0\0\0d")
    elif what == "a bomb":
        data = bomb()
    path.write_bytes(data)
    said = refused("stylize", "no.png", "no.png", "-o", "out.png", "--checkpoint", str(path))
    assert said == f"mnst: {path}: damaged, or no checkpoint of this version of mnst\n"
    assert path.read_bytes() == data


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"checkpoint": "run.npy"}, r"run\.npy: the name must end in \.npz"),
        ({"checkpoint": "no/run.npz"}, "no/run.npz: there is no folder .*; make it first"),
        ({"checkpoint": ".npz/"}, "npz"),
        ({"checkpoint": 3}, "checkpoint is 3: give a path"),
        (
            {"checkpoint": "run.npz", "recipe": RECIPE.replace(optimizer=Forgetful())},
            "optimizer 'momentum' does not say what it remembers",
        ),
    ],
)
def test_what_can_t_be_kept_is_refused_before_anything_is_read(
    tripwire, tmp_path, monkeypatch, given, said
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((ValueError, TypeError, OSError), match=said):
        mnst.stylize("missing.jpg", ["missing.jpg"], **given)
    assert not [*tmp_path.iterdir()]


def test_a_run_that_goes_on_from_another_has_none(quick, path):
    with pytest.raises(ValueError, match="warm and checkpoint were both given"):
        quick(warm=3, checkpoint=path)


# Processes that are killed

PAINTS = """
import sys
from mnst.cli import main
from mnst.painting import checkpoints
checkpoints.EVERY, checkpoints.SHARE = 0.0, float("inf")
sys.exit(main(sys.argv[1:]))
"""


def paints(folder, name, *more):
    given = [folder / "photo.png", folder / "style.png", "-o", folder / name, "--size", "64"]
    recipe = "--recipe=draft,smallest=32,steps=30,correct_every=7"
    given += [recipe, "--precision=float32", "--no-progress", *more]
    return subprocess.Popen([sys.executable, "-c", PAINTS, "stylize", *map(str, given)])


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="kills as Unix does")
def test_a_process_that_is_killed_again_and_again_ends_with_the_same_file(
    tmp_path, random_weights, monkeypatch
):
    """The default recipe's draft, with its surrogate, at two sizes."""
    monkeypatch.setenv("MNST_VGG19_WEIGHTS", str(random_weights))
    mnst.save_image(tmp_path / "photo.png", PHOTO)
    mnst.save_image(tmp_path / "style.png", STYLES[0])
    assert paints(tmp_path, "whole.png").wait(300) == 0
    path, moments, steps = tmp_path / "run.npz", random.Random(17), []
    for _ in range(2):
        written = path.stat().st_mtime_ns if path.exists() else 0
        with paints(tmp_path, "parts.png", "--checkpoint", path) as process:
            while not path.exists() or path.stat().st_mtime_ns == written:
                assert process.poll() is None
                time.sleep(0.01)
            time.sleep(moments.uniform(0, 1))
            process.send_signal(signal.SIGKILL)
        if path.exists():
            steps.append(steps_in(path))
    assert steps == sorted(steps)
    assert steps[0] < steps[-1] < 30
    assert paints(tmp_path, "parts.png", "--checkpoint", path).wait(300) == 0
    assert (tmp_path / "parts.png").read_bytes() == (tmp_path / "whole.png").read_bytes()
    assert len([*tmp_path.iterdir()]) == 4
