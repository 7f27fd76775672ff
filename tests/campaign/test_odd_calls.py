"""Odd calls: each ends in what the function's description says it raises, in a line with a name.

Functions, options and exceptions are read off signatures and docstrings, so that a new option is
attacked by itself, and a description that says too little is found.
"""

import builtins
import inspect
import json
import math
import re

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scenes import PHOTO, STYLES

import mnst
from mnst import backend, figures, images
from mnst.engine.planning import parse_memory
from mnst.masks import hub, models
from mnst.objective.mixing import style_shares, style_sigmas
from mnst.studio import background

SMALL = np.zeros((4, 6, 3), np.uint8)
MASK = np.ones((4, 6))


class Loaded(BaseException):
    """TensorFlow, weights or a model would be loaded: all that was given has been taken."""


class Breaks:
    """Fails whatever is asked of it."""

    def __repr__(self):
        raise KeyError("repr")

    def __bool__(self):
        raise KeyError("bool")

    def __len__(self):
        raise KeyError("len")


# What nothing takes that expects a number, a text, a path, a list or a picture.
ODD = {
    "object": object(),
    "breaks": Breaks(),
    "dict": {"a": 1},
    "complex": 3j,
    "type": int,
    "nan array": np.full((3, 3), np.nan),
    "texts": np.array(["a", "b"]),
    "ragged": [[1, 2], [3]],
    "bytes": b"\0\xff",
    "NUL": "a\0b",
    "lines": "a\nb",
    "long": "x" * 10**5,
    "surrogate": "\udcff",
    "many digits": 10**5000,
    "below 0": -1,
    "nan": math.nan,
    "infinite": -math.inf,
    "half": 0.5 + 1e-9,
    "zero-dimensional": np.array(-1.5),
    "empty": "",
    "truth": np.True_,
}

OF_PAINTING = {"photo": PHOTO, "styles": STYLES}
CALLS = {
    mnst.stylize: OF_PAINTING,
    mnst.calibrate: OF_PAINTING,
    mnst.crossfade: OF_PAINTING,
    mnst.sweep: OF_PAINTING,
    mnst.live: OF_PAINTING,
    mnst.open_live: {"path": "live.npz"},
    mnst.plan: OF_PAINTING,
    mnst.StyleTransfer: OF_PAINTING,
    figures.article: OF_PAINTING,
    figures.paper: OF_PAINTING,
    figures.localized: OF_PAINTING,
    figures.closed_form: {},
    mnst.segment: {"image": PHOTO},
    mnst.load_mask: {"mask": MASK, "height": 4, "width": 6},
    mnst.composite: {"content": SMALL, "painted": SMALL, "mask": MASK},
    mnst.maps.left_to_right: {"photo": SMALL},
    mnst.maps.top_to_bottom: {"photo": SMALL},
    mnst.maps.radial: {"photo": SMALL},
    mnst.maps.by_luminance: {"photo": SMALL},
    mnst.maps.by_class: {"photo": PHOTO, "classes": "person"},
    mnst.maps.by_distance: {"mask": MASK},
    mnst.vgg_layers: {"layers": ["block1_conv1"]},
    mnst.Crossfader: OF_PAINTING,
    mnst.distill: {"sources": "pictures", "folder": "student"},
    mnst.SegmentationModel: {"address": "my.tflite"},
    mnst.Recipe: {"name": "mine", "content": mnst.ARTICLE.content, "style": mnst.ARTICLE.style},
    mnst.ARTICLE.replace: {},
    mnst.Recipe.from_dict: {"values": mnst.ARTICLE.as_dict()},
    mnst.relative_improvement: {"start": [1.0], "final": [2.0]},
    mnst.loss_ratio: {"start": [1.0], "final": [2.0]},
}
FIELDS = ("alpha", "beta", "content_layers", "learning_rate", "decay_steps", "total_variation")

# What is right after all, or is free.
RIGHT = {
    ("progress", each) for each in ODD  # true or false, as all values are
} | {
    ("callback", "type"), ("path", "type"),  # which can be called
    ("name", "NUL"), ("name", "lines"), ("name", "long"), ("name", "surrogate"), ("name", "empty"),
    ("address", "NUL"), ("address", "lines"), ("address", "long"), ("address", "surrogate"),
    ("address", "empty"),
    ("alpha", "half"), ("beta", "half"), ("learning_rate", "half"), ("total_variation", "half"),
    ("gamma", "half"), ("tolerance", "half"), ("ratio", "half"),
    ("strength", "half"), ("style_size", "half"), ("smooth", "half"), ("reach", "half"),
    ("feather", "half"), ("seconds", "half"),
    ("folder", "lines"), ("folder", "long"), ("folder", "surrogate"),
    ("log_dir", "lines"), ("log_dir", "surrogate"),
}  # fmt: skip
RIGHT |= {("content_layers", "dict")}
FREE = {
    (mnst.load_mask, "name"), (mnst.SegmentationModel, "license"),  # are shown, and no more
    (mnst.open_live, "photo"),  # is read where it is asked for in a larger size
}  # fmt: skip

# What messages say in place of a name.
SAID = {"styles": "style", "layers": "layer", "photo": "photo|image", "sources": "source"}


def arguments(function):
    """The names of what a function takes."""
    names = [
        name
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
    ]
    return [*names, *FIELDS] if function == mnst.ARTICLE.replace else names


def documented(function):
    """What its description says that it raises."""
    text = inspect.cleandoc(function.__doc__ or "")
    section = re.search(r"^Raises:\n((?: .*\n?|\n)*)", text, re.MULTILINE)
    names = re.findall(r"^ {4}(\w+): ", section[1] if section else "", re.MULTILINE)
    return tuple(getattr(builtins, name, None) or getattr(mnst, name) for name in names)


@pytest.fixture
def call(tmp_path, monkeypatch, clean_environment, capfd):
    """Calls a function; returns what went wrong, or None."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pictures").mkdir()
    mnst.save_image("pictures/one.png", PHOTO)
    (tmp_path / "deeplab.tflite").write_bytes(b"....TFL3")
    described = models.SegmentationModel("", models.PASCAL_VOC, 513, (127.5, -1))
    fingerprint = hub.fingerprint(tmp_path / "deeplab.tflite")
    monkeypatch.setitem(models.KNOWN_CONTENTS, fingerprint, described)
    monkeypatch.setenv("MNST_DEEPLAB", str(tmp_path / "deeplab.tflite"))

    def load(*_, **__):
        raise Loaded

    monkeypatch.setattr(hub, "load", load)
    monkeypatch.setattr(images, "download_into", load)
    for module in (backend.keras, backend.tf):
        monkeypatch.setattr(module, "_load", load)
    # What a widget begins with all that it was given, in threads of its own.
    monkeypatch.setattr(background.BackgroundPainter, "show", load)
    monkeypatch.setenv("MNST_STUDIO", str(tmp_path / "studio"))

    def attempt(function, given, name, kind):
        try:
            function(**given)
        except Loaded:
            outcome = "taken"
        except documented(function) as error:
            said = str(error)
            text = ODD[kind] if isinstance(ODD[kind], str) else ""
            quoted = text and (text in said or repr(text) in said)
            quoted = quoted or said == "a: there is no such file"  # the first of the texts
            said = said.replace(text, "PATH") if quoted else said
            if len(said.splitlines()) != 1 or len(said) > 3000:
                return f"{len(said.splitlines())} lines, {len(said)} letters: {said[:200]!r}"
            if not quoted and not re.search(rf"\b({SAID.get(name, name)})", said):
                return f"does not name it: {said[:200]!r}"
            return None
        except Exception as error:
            return f"{type(error).__name__} is not documented: {str(error)[:200]!r}"
        else:
            outcome = "taken"
        finally:
            capfd.readouterr()
        return None if (name, kind) in RIGHT else outcome

    return attempt


def label(function):
    return f"{function.__module__.rpartition('.')[2]}.{function.__qualname__}"


@pytest.mark.parametrize("function", CALLS, ids=label)
def test_odd_values_of_every_argument(call, tried, function):
    wrong = []
    for name in arguments(function):
        if (function, name) in FREE:
            continue
        for kind, value in ODD.items():
            found = call(function, {**CALLS[function], name: value}, name, kind)
            if found is not None:
                wrong.append((name, kind, found))
            tried("odd calls")
    assert not wrong, "\n".join(map(str, wrong))


# Properties


def refusal(function, *given):
    """What a function says when it refuses, in a line; None if it does not."""
    try:
        function(*given)
    except ValueError as error:
        said = str(error)
        assert len(said.splitlines()) == 1
        return said
    return None


NUMBERS = st.one_of(st.floats(), st.integers(), st.floats(width=32).map(np.float32))


@given(st.lists(NUMBERS, max_size=6), st.integers(1, 6))
@example([0.25, np.float32(0.75)], 2)
def test_shares_and_sigmas_are_right_or_refused(tried, numbers, styles):
    tried("shares and sigmas", 2)
    fits = len(numbers) == styles
    said = refusal(style_shares, numbers, styles)
    missed = abs(math.fsum(numbers) - 1) if all(0 <= each <= 1 for each in numbers) else math.inf
    assert said.startswith("gamma ") if said else fits and missed < 2e-6
    assert said or style_shares(numbers, styles) == tuple(map(float, numbers))
    assert not (said and fits and missed < 5e-7)
    said = refusal(style_sigmas, numbers, styles)
    right = fits and all(0 < each < math.inf for each in numbers)
    assert said.startswith("sigma ") if said else right
    assert bool(said) != right


@given(NUMBERS)
def test_one_number_is_the_share_of_the_first_of_two(tried, gamma):
    tried("shares and sigmas")
    if 0 <= gamma <= 1:
        assert style_shares(gamma, 2) == (float(gamma), 1 - float(gamma))
    else:
        assert refusal(style_shares, gamma, 2).startswith("gamma is ")


RECIPES = st.sampled_from([mnst.ARTICLE, mnst.PAPER, mnst.TUTORIAL, mnst.FAST])
CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "name": st.text(),
        "steps": st.integers(1, 10**9),
        "correct_every": st.integers(1, 10**9),
        "init": st.sampled_from(["content", "noise"]),
        "alpha": st.floats(0, 1e30),
        "beta": st.floats(0, 1e30).map(np.float64),
        "total_variation": st.floats(0, 9, width=32).map(np.float32),
        "learning_rate": st.floats(1e-6, 1e6),
        "style_layers": st.dictionaries(st.text(), st.floats(0, 9), min_size=1),
    },
)


@given(RECIPES, CHANGES)
def test_a_recipe_is_read_as_it_was_written(tried, recipe, changes):
    tried("recipes")
    changed = recipe.replace(**changes)
    assert mnst.Recipe.from_dict(json.loads(json.dumps(changed.as_dict()))) == changed


PLAIN = st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists)


@given(PLAIN, st.sampled_from(sorted(mnst.ARTICLE.as_dict())))
def test_what_is_no_recipe_is_refused(tried, value, field):
    tried("recipes")
    values = {**mnst.ARTICLE.as_dict(), field: value}
    if refusal(mnst.Recipe.from_dict, values) is None:
        recipe = mnst.Recipe.from_dict(values)
        assert mnst.Recipe.from_dict(recipe.as_dict()) == recipe


UNITS = {"": 1, "B": 1, "K": 1e3, "KB": 1e3, "MiB": 2**20, "gb": 1e9, "TiB": 2**40}


@given(st.integers(0, 10**7), st.integers(0, 999), st.sampled_from(sorted(UNITS)), st.booleans())
def test_memory_is_read_as_it_is_written(tried, whole, part, unit, space):
    tried("amounts of memory")
    text = f"{whole}.{part:03}{' ' * space}{unit}"
    expected = (whole + part / 1000) * UNITS[unit]
    if 1 <= expected < 2**63:
        assert parse_memory(text) == pytest.approx(expected, rel=1e-12, abs=1)
    else:
        assert refusal(parse_memory, text).startswith("memory is ")


@given(st.text() | st.text("0123456789.KMGTiB -+e\u0663") | NUMBERS | st.booleans())
def test_odd_memory_is_a_number_of_bytes_or_refused(tried, memory):
    tried("amounts of memory")
    said = refusal(parse_memory, memory)
    assert said.startswith("memory is ") if said else 1 <= parse_memory(memory) < 2**63


def reduced(height, width, size):
    """What `load_image` makes of a picture's sides."""
    scale = min(1, size / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


@given(st.integers(1, 900), st.integers(1, 900), st.integers(1, 300), st.integers(1, 300))
def test_a_reduced_mask_fits_a_reduced_photo(tried, height, width, size, other):
    tried("reduced masks")
    one, two = (reduced(height, width, longest) for longest in (size, other))
    assert mnst.load_mask(np.ones(one, bool), *two).shape == two
