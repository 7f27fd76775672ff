"""`import mnst` is quick and silent, and TensorFlow comes when it is first needed."""

import os
import signal
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


MASKS_OF_ONES_OWN = {
    "load_mask": "mnst.load_mask([[0, 1]], 2, 4)",
    "composite": "mnst.composite(picture, picture, picture[..., 0])",
    "stylize": "mnst.stylize(picture, [picture], mask=[[0, 2], [1, 0.5]])",
    "sweep": "mnst.sweep(picture, [picture], gamma=[0, 1], mask='no.png')",
}
DEEPLAB = {"mnst.masks.segmentation", "mnst.masks.hub", "scipy"}


@pytest.mark.parametrize("call", MASKS_OF_ONES_OWN.values(), ids=MASKS_OF_ONES_OWN)
def test_masks_of_ones_own_load_nothing_that_finds_people(python, call):
    """Neither do the checks of what was given, which end the last two."""
    code = (
        "import contextlib, sys, mnst, numpy as np; picture = np.zeros((64, 64, 3), 'uint8')\n"
        f"with contextlib.suppress(ValueError, FileNotFoundError): {call}\n"
        f"print(*{DEEPLAB} & set(sys.modules))"
    )
    assert python(code) == ("\n", "")


def test_classes_are_checked_without_scipy_and_tensorflow(python):
    code = (
        "import sys, mnst\n"
        "try: mnst.stylize('no.jpg', ['a.jpg'], keep='unicorn')\n"
        "except ValueError: print(*{'scipy', 'tensorflow'} & set(sys.modules))"
    )
    assert python(code) == ("\n", "")


def test_tensorflow_is_loaded_in_silence(python):
    """And what was said to TensorFlow, to have it silent, isn't said to the whole process."""
    code = "import os, sys; from mnst.backend import tf; assert 'tensorflow' not in sys.modules; "
    loaded = "tf.Tensor; assert 'tensorflow' in sys.modules; "
    left = "assert 'TF_CPP_MIN_LOG_LEVEL' not in os.environ"
    assert python(code + loaded + left) == ("", "")


@pytest.fixture
def dying(tmp_path, monkeypatch):
    """A Keras that says something, then something else, and aborts while it is imported."""
    (tmp_path / "keras.py").write_text(
        "import os\n"
        "os.write(2, b'I0000 00:00:1.5 7 port.cc:153] oneDNN custom operations are on.\\n')\n"
        "os.write(2, b'F0000 00:00:1.5 7 cpu.cc:9] this machine has no AVX\\n')\n"
        "os.abort()\n"
    )
    paths = [str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))


def test_the_last_words_of_a_tensorflow_that_aborts_are_heard(dying, clean_environment):
    code = "from mnst.backend import keras; keras.Model"
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env={**clean_environment, "PYTHONPATH": os.environ["PYTHONPATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == -signal.SIGABRT
    assert ended.stderr == "F0000 00:00:1.5 7 cpu.cc:9] this machine has no AVX\n"


@pytest.mark.slow
def test_import_takes_less_than_a_tenth_of_tensorflows(python):
    def seconds(module):
        code = f"from time import perf_counter as now; t = now(); import {module}; print(now() - t)"
        return float(python(code)[0])

    assert min(seconds("mnst") for _ in range(2)) < seconds("tensorflow") / 10


def test_star_import_gives_every_public_name():
    names = {}
    exec("from mnst import *", names)
    assert set(mnst.__all__) <= set(names)
    assert all(names[name] is getattr(mnst, name) for name in mnst.__all__)


def test_dir_lists_every_public_name_before_it_is_used(python):
    listed, _ = python("import mnst; print(*dir(mnst))")
    assert set(mnst.__all__) <= set(listed.split())


def test_an_unknown_name_is_said():
    with pytest.raises(AttributeError, match=r"mnst .*stylise"):
        _ = mnst.stylise
