"""Options of all that paints: each said once, taken by the same name, and meaning the same."""

import gc
import inspect
import pydoc
import re
import threading
import weakref

import numpy as np
import pytest
import scenes
from scenes import PHOTO, RECIPE, STYLES

import mnst
from mnst import figures
from mnst.cli import main
from mnst.engine.planning import Load, memory_needed
from mnst.engine.trainer import Trainer
from mnst.networks import VGG19
from mnst.painting.signatures import described

# What they take

SCENE = {"recipe", "size", "backbone", "weights", "precision", "memory"}
MASKS = {*("style_size", "colours", "keep", "only", "mask", "style_masks", "localize", "seamless")}
WATCH = {"callback", "preview", "progress", "log_dir"}
LOOP = WATCH | {"steps", "init", "seed"}

# Each function's options, and the keywords of its own.
TAKES = {
    mnst.stylize: (
        SCENE | MASKS | LOOP | {"gamma", "sigma", "strength", "checkpoint", "file_names"},
        set(),
    ),
    mnst.calibrate: (SCENE | MASKS | LOOP | {"strength"}, {"method", "refine", "tolerance"}),
    mnst.crossfade: (
        SCENE | MASKS | LOOP | {"sigma", "strength"},
        {"path", "frames", "steps_between"},
    ),
    mnst.sweep: (
        SCENE | MASKS | LOOP | {"gamma", "sigma", "strength"},
        {"alpha_beta", "folder", "executor", "processes", "shard", "collect"},
    ),
    mnst.live: (
        SCENE | MASKS | WATCH | {"sigma"},
        {"steps", "seconds", "seed", "resume"},
    ),
    mnst.plan: (SCENE | MASKS | {"steps"}, set()),
    mnst.StyleTransfer: (SCENE | MASKS, set()),
    mnst.StyleTransfer.run: (
        LOOP | {"gamma", "sigma", "strength", "recipe", "checkpoint", "file_names"},
        {"warm"},
    ),
    mnst.Crossfader: (SCENE | {"steps"}, {"folder"}),
    figures.article: (SCENE | LOOP, {"gammas", "refine", "folder"}),
    figures.paper: (SCENE | LOOP, {"gammas", "alpha_beta", "folder"}),
    figures.localized: (SCENE | LOOP, {"keep", "gamma", "folder"}),
}
DEFAULTS = {
    "gamma": None,
    "sigma": None,
    "strength": None,
    "recipe": "fine",
    "style_size": None,
    "colours": None,
    "size": 512,
    "backbone": "auto",
    "weights": None,
    "precision": "auto",
    "memory": None,
    "keep": None,
    "only": None,
    "mask": None,
    "style_masks": None,
    "seamless": False,
    "localize": "guided",
    "steps": None,
    "init": None,
    "seed": 0,
    "callback": None,
    "preview": None,
    "progress": True,
    "log_dir": None,
    "checkpoint": None,
    "file_names": False,
}
OTHER_DEFAULTS = {
    mnst.live: {"size": 384},  # what two minutes are enough for
    mnst.Crossfader: {"size": 1024},  # of pictures to keep
    mnst.StyleTransfer.run: {"recipe": None},  # the scene's
    # Thirty runs are for figures, whose pictures are small, and each source has its own recipe.
    figures.article: {"size": 256, "recipe": "article"},
    figures.paper: {"size": 256, "recipe": "paper"},
    figures.localized: {"size": 256, "recipe": "paper"},
}
# A sweep's are lists, a run's recipe is of the scene's kind.
SAID_OTHERWISE = {(mnst.sweep, "gamma"), (mnst.sweep, "recipe"), (mnst.StyleTransfer.run, "recipe")}
LISTS_OF_THE_SOURCES = {"gammas", "alpha_beta"}  # their values are worth their length in figures

each = pytest.mark.parametrize("function", TAKES, ids=lambda function: function.__qualname__)


def keywords(function):
    parameters = inspect.signature(function).parameters.values()
    return {one.name: one for one in parameters if one.kind is one.KEYWORD_ONLY}


@each
def test_a_function_takes_what_its_kind_takes(function):
    options, own = TAKES[function]
    assert keywords(function).keys() == options | own
    assert not options & own


@each
def test_defaults_are_the_same_everywhere(function):
    options, _ = TAKES[function]
    expected = {**DEFAULTS, **OTHER_DEFAULTS.get(function, {})}
    given = {name: one.default for name, one in keywords(function).items() if name in options}
    assert given == {name: expected[name] for name in options}


@each
def test_help_says_what_each_option_is(function):
    shown = pydoc.plain(pydoc.render_doc(function))
    said, meant = described(function.__doc__), described(mnst.stylize.__doc__)
    options, _ = TAKES[function]
    for name in keywords(function):
        assert re.search(rf"^[ |]+{name}: [^ ]", shown, re.MULTILINE), name
        if name in options and (function, name) not in SAID_OTHERWISE:
            assert said[name] == meant[name]
    assert "**options" not in shown


@each
def test_signatures_are_short(function):
    parameters = inspect.signature(function).parameters
    long = {name for name, one in parameters.items() if len(str(one)) >= 40}
    in_figures = function.__module__.startswith("mnst.figures")
    assert not long - (LISTS_OF_THE_SOURCES if in_figures else set())
    assert "Recipe(" not in str(inspect.signature(function))


# What they refuse

NO_SUCH = {
    mnst.stylize: ("gama", "; did you mean 'gamma'?"),
    mnst.calibrate: ("gamma", ""),  # which is what it looks for
    mnst.crossfade: ("step_between", "; did you mean 'steps_between'?"),
    mnst.sweep: ("alpha_betas", "; did you mean 'alpha_beta'?"),
    mnst.live: ("seconds_", "; did you mean 'seconds'?"),
    mnst.plan: ("seed", ""),  # which makes no difference
    mnst.StyleTransfer: ("style_mask", "; did you mean 'style_masks'?"),
    mnst.StyleTransfer.run: ("logdir", "; did you mean 'log_dir'?"),
    mnst.Crossfader: ("folders", "; did you mean 'folder'?"),
    figures.article: ("gamma", "; did you mean 'gammas'?"),
    figures.paper: ("sizes", "; did you mean 'size'?"),
    figures.localized: ("mask", ""),
}


@each
def test_an_unknown_option_is_refused_before_anything_is_read(function, tripwire):
    name, hint = NO_SUCH[function]
    pictures = ["missing.jpg", ["missing.jpg", "missing.jpg"]]
    given = pictures[:1] if function is mnst.StyleTransfer.run else pictures
    with pytest.raises(TypeError) as raised:
        function(*given, **{name: 1})
    said = f"{function.__qualname__}() has no option {name!r}{hint}"
    assert str(raised.value) == said


# What the command line takes of them

COMMANDS = {
    "stylize": mnst.stylize,
    "calibrate": mnst.calibrate,
    "sweep": mnst.sweep,
    "crossfade": mnst.crossfade,
    "live": mnst.live,
    "plan": mnst.plan,
    "distill": mnst.distill,
    "segment": mnst.segment,
}
ONLY_IN_PYTHON = {"callback", "executor", "preview", "style_masks", "widths"}
OF_ALL = ("help", "output", "traceback")
OWN_OF_COMMANDS = {
    "stylize": {"styles", "like"},  # of several photos; what another picture was painted with
    "segment": {"keep", "invert", "feather"},  # of the mask that it writes
    "live": {"save", "path", "frames", "strength"},  # of what it writes
}
SAID_OF_COMMANDS = {("sweep", "gamma")}  # how a list of lists is written


def shown_options(command, monkeypatch, capsys):
    """What `--help` says of each option, by the name that it has in Python."""
    monkeypatch.setenv("COLUMNS", "10000")
    with pytest.raises(SystemExit):
        main([command, "--help"])
    # Behind the option, or in the line below where that is long.
    pattern = r"^ +(?:-\w(?: \w+)?, )?--([a-z-]+).*?(?:\n +|  +)(\S.*)$"
    found = re.findall(pattern, capsys.readouterr().out, re.MULTILINE)
    return {name.replace("-", "_"): said for name, said in found if name not in OF_ALL}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_on_the_command_line(command, monkeypatch, capsys):
    """But for those that only Python can give."""
    shown = shown_options(command, monkeypatch, capsys)
    options = keywords(COMMANDS[command]).keys() - ONLY_IN_PYTHON
    assert shown.keys() == options | OWN_OF_COMMANDS.get(command, set())


@pytest.mark.parametrize("command", COMMANDS)
def test_its_help_is_the_first_sentence_and_all_of_it(command, monkeypatch, capsys):
    shown = shown_options(command, monkeypatch, capsys)
    meant = described(COMMANDS[command].__doc__)
    for name, said in shown.items():
        if name in OWN_OF_COMMANDS.get(command, set()) or (command, name) in SAID_OF_COMMANDS:
            continue
        sentence, _, default = re.fullmatch(r"(.*?)( \(default: (.*)\))?", said).groups()
        assert meant[name].startswith(f"{sentence}.")
        assert re.match(r'\.(?: ["\'`A-Z]|$)', meant[name][len(sentence) :])
        assert sentence.count("(") == sentence.count(")")
        assert not re.search(r"\b(?:fig|eq|sec|e\.g|i\.e)$", sentence)
        if default is not None:
            assert default == str(keywords(COMMANDS[command])[name].default)


# What they mean


@pytest.fixture(scope="module")
def options(random_weights):
    return scenes.options(random_weights)


@pytest.fixture(scope="module")
def halves():
    """A mask for each style: the left half, and the right."""
    left = np.broadcast_to(np.arange(PHOTO.shape[1]) < 12, PHOTO.shape[:2])
    return [left, ~left]


@pytest.fixture(scope="module")
def beside(options, halves):
    """Paints the styles side by side."""

    def paint(**given):
        return mnst.stylize(PHOTO, STYLES, style_masks=halves, **{**options, **given})

    return paint


def test_style_masks_are_a_sweeps(options, halves, beside):
    (run,) = mnst.sweep(PHOTO, STYLES, gamma=[0.3], style_masks=halves, **options)
    alone = beside(gamma=0.3)
    np.testing.assert_array_equal(run.result.image, alone.image)
    assert run.result.settings == alone.settings
    assert len(alone.settings["localized"]["regions"]) == 2


def test_style_masks_are_a_crossfades(options, halves, beside):
    given = {"style_masks": halves, "sigma": (1, 2), **options}
    faded = mnst.crossfade(PHOTO, STYLES, frames=2, steps_between=1, **given)
    np.testing.assert_array_equal(faded.frames[0], beside(gamma=0, sigma=(1, 2)).image)


def test_style_masks_are_a_calibrations(options, halves, beside):
    found = mnst.calibrate(PHOTO, STYLES, method="pilot", style_masks=halves, **options)
    alone = beside()
    assert found.start_losses == alone.start_losses
    first, second = alone.relative_improvement
    assert found.sigma == pytest.approx((1, (first / second) ** 0.5))


class Ending(list):
    """Keeps the records that it is called with, and ends the run at the one of this number."""

    def __init__(self, last=None):
        super().__init__()
        self.last = last

    def __call__(self, record):
        self.append(record.step)
        if len(self) == self.last:
            raise StopIteration


def test_a_callback_sees_all_of_a_crossfade_and_ends_it(options):
    given = {"frames": 3, "steps_between": 2, **options}
    seen, ending = Ending(), Ending(last=6)
    whole = mnst.crossfade(PHOTO, STYLES, callback=seen, **given)
    assert seen == [0, 1, 2, 3, 0, 1, 2, 0, 1, 2]
    ended = mnst.crossfade(PHOTO, STYLES, callback=ending, **given)
    assert ending == seen[:6]
    assert ended.gammas == whole.gammas[:2]
    assert (whole.completed, ended.completed) == (True, False)
    assert ended.steps == 3 + 1
    np.testing.assert_array_equal(ended.frames[0], whole.frames[0])


def test_a_callback_sees_all_of_a_sweep_and_ends_it(options):
    given = {"gamma": [0, 0.5, 1], **options}
    seen, ending = Ending(), Ending(last=6)
    whole = mnst.sweep(PHOTO, STYLES, callback=seen, **given)
    assert seen == 3 * [0, 1, 2, 3]
    ended = mnst.sweep(PHOTO, STYLES, callback=ending, **given)
    assert ending == seen[:6]
    assert not ended.completed
    assert [run.gamma for run in ended] == [0]  # the run that was broken off is none
    np.testing.assert_array_equal(ended[0].result.image, whole[0].result.image)


def test_a_callback_sees_all_of_a_calibration(options):
    seen = Ending()
    found = mnst.calibrate(
        PHOTO, STYLES, method="pilot", refine=1, tolerance=1e-9, callback=seen, **options
    )
    assert len(found.runs) == 2
    assert seen == 2 * [0, 1, 2, 3]


def logs_in(folder):
    """The folders that hold logs, which are a file each."""
    assert all(len([*one.iterdir()]) == 1 for one in folder.iterdir())
    return sorted(one.name for one in folder.iterdir())


def test_each_of_several_runs_has_its_own_logs(options, tmp_path):
    given = {"steps": 1, **options}
    fade, calibration, swept, runs = (tmp_path / name for name in ("f", "c", "s", "runs"))
    mnst.crossfade(PHOTO, STYLES, frames=2, steps_between=1, log_dir=fade, **given)
    assert logs_in(fade) == ["frame-1", "frame-2"]
    tries = {"method": "pilot", "refine": 1, "tolerance": 1e-9}
    mnst.calibrate(PHOTO, STYLES, log_dir=calibration, **tries, **given)
    assert logs_in(calibration) == ["run-1", "run-2"]
    mnst.sweep(PHOTO, STYLES, gamma=[0, 1], folder=runs, log_dir=swept, **given)
    assert logs_in(swept) == sorted(path.stem for path in runs.glob("*-gamma*.png"))


# Two runs at once, and one after the other


@pytest.fixture(scope="module")
def transfer(random_weights):
    return mnst.StyleTransfer(
        PHOTO, STYLES, recipe=RECIPE, weights=random_weights, precision="float32"
    )


def refused(transfer):
    with pytest.raises(RuntimeError, match="is painting already: wait until it is done, or make"):
        transfer.run(gamma=0.9, progress=False)


def test_of_two_threads_one_is_refused_and_the_other_paints_what_it_does_alone(transfer):
    alone = transfer.run(gamma=0.2, progress=False)
    painting, go_on, painted = threading.Event(), threading.Event(), []

    def hold(record):
        if record.step == 1:
            painting.set()
            assert go_on.wait(60)

    def paint():
        painted.append(transfer.run(gamma=0.2, callback=hold, progress=False))

    thread = threading.Thread(target=paint)
    thread.start()
    assert painting.wait(60)
    refused(transfer)
    go_on.set()
    thread.join(60)
    (result,) = painted
    assert result.completed
    assert result.history[-1].losses == alone.history[-1].losses
    np.testing.assert_array_equal(result.image, alone.image)


def test_a_run_from_within_its_own_callback_is_refused_and_the_outer_goes_on(transfer):
    alone = transfer.run(gamma=0.2, progress=False)
    within = transfer.run(gamma=0.2, callback=lambda _: refused(transfer), progress=False)
    assert within.completed
    np.testing.assert_array_equal(within.image, alone.image)


def test_after_a_run_that_failed_the_next_one_paints(transfer):
    def fail(record):
        raise KeyError("mine")

    alone = transfer.run(gamma=0.2, progress=False)
    with pytest.raises(KeyError):
        transfer.run(gamma=0.2, callback=fail, progress=False)
    again = transfer.run(gamma=0.2, progress=False)
    np.testing.assert_array_equal(again.image, alone.image)


@pytest.fixture
def trainers(monkeypatch):
    """Weak references to all trainers that are made for scenes."""
    made = []

    def make(*given, **options):
        trainer = Trainer(*given, **options)
        made.append(weakref.ref(trainer))
        return trainer

    monkeypatch.setattr("mnst.painting.scene.Trainer", make)
    mnst.clear_cache()
    return made


def alive(trainers):
    gc.collect()
    return [trainer() is not None for trainer in trainers]


def test_the_kept_trainer_serves_the_next_picture_until_it_is_let_go(options, trainers):
    first = mnst.stylize(PHOTO, STYLES, **options)
    again = mnst.stylize(PHOTO, STYLES, **options)
    assert alive(trainers) == [True]
    mnst.clear_cache()
    assert alive(trainers) == [False]
    afresh = mnst.stylize(PHOTO, STYLES, **options)
    assert alive(trainers) == [False, True]
    for result in (again, afresh):
        np.testing.assert_array_equal(result.image, first.image)


def test_what_is_in_use_is_not_let_go(options, trainers):
    given = {name: value for name, value in options.items() if name != "progress"}
    transfer = mnst.StyleTransfer(PHOTO, STYLES, **given)
    first = transfer.run(progress=False)
    mnst.clear_cache()
    assert alive(trainers) == [True]
    np.testing.assert_array_equal(transfer.run(progress=False).image, first.image)


# What is planned


@pytest.mark.slow
def test_a_plan_is_what_stylize_then_takes(options):
    """In tiles for the sake of a style that is larger than the photo."""
    large = mnst.paintings.swirls(size=300)
    load = Load(VGG19.activations, "float32", RECIPE.optimizer.arrays, 0, widened=0, standing=0)
    limit = memory_needed(300, 300, load, None) - 1  # and its Gram matrices come on top
    given = {"memory": limit, "steps": 1}
    of_plan = {name: value for name, value in options.items() if name != "progress"}
    plan = mnst.plan(PHOTO, [large], **given, **of_plan)
    assert plan.tile == 256
    assert mnst.plan(PHOTO, **given, **of_plan).tile is None
    assert mnst.stylize(PHOTO, [large], **given, **options).settings["tile"] == plan.tile
    scene = mnst.StyleTransfer(PHOTO, [large], memory=given["memory"], **of_plan).scene
    assert (scene.tile, scene.memory, scene.memory_limit) == (plan.tile, plan.memory, plan.limit)
    assert scene.sides == (plan.height, plan.width)


def test_a_calibration_that_is_ended_gives_what_it_has_so_far(options):
    given = {"refine": 3, "tolerance": 1e-9, **options}
    whole = mnst.calibrate(PHOTO, STYLES, **given)
    closed = mnst.calibrate(PHOTO, STYLES, **options)
    assert whole.completed
    first = mnst.calibrate(PHOTO, STYLES, callback=Ending(last=2), **given)
    assert (first.completed, first.runs, first.converged) == (False, (), None)
    assert first.sigma == closed.sigma
    second = mnst.calibrate(PHOTO, STYLES, callback=Ending(last=6), **given)
    assert (second.completed, second.converged) == (False, False)
    assert [run.sigma for run in second.runs] == [run.sigma for run in whole.runs[:1]]
    assert second.sigma == second.runs[0].sigma
    assert "ended early" in repr(second)
    pilot = mnst.calibrate(PHOTO, STYLES, method="pilot", callback=Ending(last=2), **given)
    assert (pilot.completed, pilot.runs, pilot.sigma) == (False, (), (1, 1))


def test_a_sweep_that_is_ended_in_its_first_run_has_none(options, tmp_path):
    given = {"gamma": [0, 1], "folder": tmp_path, **options}
    ended = mnst.sweep(PHOTO, STYLES, callback=Ending(last=2), **given)
    assert (len(ended), ended.completed, ended.table()) == (0, False, [])
    assert not [*tmp_path.iterdir()]
    for show in (ended.grid, ended.plot_relative_improvement):
        with pytest.raises(ValueError, match="finished run"):
            show()
