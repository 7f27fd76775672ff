"""`import mnst` is quick and silent, and TensorFlow comes when it is first needed."""

import subprocess
import sys

import pytest

import mnst

WITHOUT_TENSORFLOW = [
    "ARTICLE",
    "Crossfader",
    "Recipe",
    "Result",
    "Segmentation",
    "StyleTransfer",
    "WeightsError",
    "load_image",
    "read_settings",
    "relative_improvement",
    "save_image",
    "segment",
    "stylize",
    "vgg_layers",
]


@pytest.fixture
def python(clean_environment):
    """Runs code in a fresh interpreter; returns what it printed and what it complained of."""

    def run(code):
        finished = subprocess.run(
            [sys.executable, "-c", code],
            env=clean_environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return finished.stdout, finished.stderr

    return run


def test_import_is_silent_and_loads_nothing_large(python):
    large = "{'tensorflow', 'keras', 'numpy', 'PIL', 'matplotlib'}"
    code = "import sys; before = set(sys.modules); import mnst; new = set(sys.modules) - before; "
    assert python(code + f"assert not new & {large}, new & {large}") == ("", "")


def test_names_that_need_no_tensorflow_load_none(python):
    code = f"import sys, mnst; [getattr(mnst, name) for name in {WITHOUT_TENSORFLOW}]; "
    assert python(code + "assert 'tensorflow' not in sys.modules") == ("", "")


def test_tensorflow_is_loaded_in_silence(python):
    assert python("import sys, mnst.backend; assert 'tensorflow' in sys.modules") == ("", "")


def test_import_takes_less_than_a_tenth_of_tensorflows(python):
    def seconds(module):
        code = f"from time import perf_counter as now; t = now(); import {module}; print(now() - t)"
        return min(float(python(code)[0]) for _ in range(3))

    assert seconds("mnst") < seconds("tensorflow") / 10


def test_star_import_gives_every_public_name():
    names = {}
    exec("from mnst import *", names)
    assert set(mnst.__all__) <= set(names)
    assert all(names[name] is getattr(mnst, name) for name in mnst.__all__)


def test_dir_lists_every_public_name_before_it_is_used(python):
    listed, _ = python("import mnst; print(*dir(mnst))")
    assert set(mnst.__all__) | {"__version__"} <= set(listed.split())


def test_unknown_name():
    with pytest.raises(AttributeError, match="module 'mnst' has no attribute 'stylise'"):
        _ = mnst.stylise
