"""What consumes a run's records: pictures in a notebook, logs for TensorBoard."""

import io
import json
import sys
import warnings
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from PIL import Image
from scenes import PHOTO, STYLES, options

import mnst


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)))


@pytest.fixture
def notebook(monkeypatch):
    """A notebook that isn't one; returns what was shown, by what call."""
    import IPython

    shown = []

    class Handle:
        def update(self, data, *, raw):
            shown.append(("updated", data))

    def display(data, *, raw, display_id):
        shown.append(("displayed", data))
        return Handle()

    monkeypatch.setitem(sys.modules, "ipykernel", SimpleNamespace())
    monkeypatch.setattr(IPython, "get_ipython", lambda: SimpleNamespace(kernel=None))
    monkeypatch.setattr(IPython.display, "display", display)
    return shown


def test_preview_refreshes_one_picture_in_place(notebook, random_weights):
    pictures = []
    result = mnst.stylize(
        PHOTO,
        STYLES,
        steps=5,
        preview=2,
        callback=lambda record: pictures.append(mnst.images.to_uint8(record.image)),
        **options(random_weights),
    )
    assert [how for how, _ in notebook] == ["displayed", "updated", "updated", "updated"]
    shown = [pixels(data["image/png"]) for _, data in notebook]
    np.testing.assert_array_equal(shown, [pictures[step] for step in (0, 2, 4, 5)])
    np.testing.assert_array_equal(shown[-1], result.image)
    assert notebook[1][1]["text/plain"] == "step 2/5"


def test_preview_outside_of_a_notebook_is_left_out_with_a_line(random_weights):
    with pytest.warns(UserWarning, match="in a notebook, and this is none: it is left out") as told:
        result = mnst.stylize(PHOTO, STYLES, preview=1, **options(random_weights))
    assert len(told) == 1
    assert result.completed


@pytest.mark.parametrize("preview", [0, -1, 2.5, True, "10"])
def test_preview_is_a_number_of_steps(preview):
    with pytest.raises(ValueError, match=r"preview is .*: give a whole number, 1 or more"):
        mnst.stylize("missing.jpg", "missing.jpg", preview=preview)


@pytest.mark.notebooks
def test_preview_in_a_real_notebook(tmp_path):
    code = (
        "import mnst\nfrom mnst.paintings import dots, glass\n"
        "mnst.stylize(dots(size=32), glass(size=32), steps=4, preview=2, progress=False, "
        "backbone='vgg19-lite');"
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    resources = {"metadata": {"path": tmp_path}}
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()
    (output,) = notebook.cells[0].outputs
    assert output.data["text/plain"] == "step 4/4"
    assert "image/png" in output.data


# Logs for TensorBoard


def read_logs(folder):
    """Returns what lies in the logs: {tag: {step: value}}, read with TensorFlow's own reader."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
    from tensorboard.util.tensor_util import make_ndarray

    (file,) = folder.iterdir()
    found = {}
    for event in EventFileLoader(str(file)).Load():
        for value in event.summary.value:
            found.setdefault(value.tag, {})[event.step] = make_ndarray(value.tensor)
    return found


def test_logs_hold_losses_learning_rate_and_pictures(tmp_path, random_weights):
    result = mnst.stylize(
        PHOTO, STYLES, steps=41, log_dir=tmp_path / "a" / "logs", **options(random_weights)
    )
    found = read_logs(tmp_path / "a" / "logs")
    for name in ("content", "style_1", "style_2", "total"):
        logged = found[f"loss/{name}"]
        assert list(logged) == list(range(42))
        expected = [record.losses[name] for record in result.history]
        np.testing.assert_allclose(list(logged.values()), expected, rtol=1e-6)
    rates = [record.learning_rate for record in result.history]
    np.testing.assert_allclose(list(found["learning_rate"].values()), rates, rtol=1e-6)
    assert list(found["picture"]) == [*range(0, 41, 2), 41]
    width, height, png = found["picture"][41]
    assert (int(width), int(height)) == (24, 20)
    np.testing.assert_array_equal(pixels(png), result.image)
    told = found["settings"][0].item().decode().strip("`\n")
    assert json.loads(told)["recipe"]["steps"] == 41


def test_logs_of_a_run_that_was_ended_have_its_last_picture(tmp_path, random_weights):
    def stop(record):
        if record.step == 3:
            raise StopIteration

    result = mnst.stylize(
        PHOTO, STYLES, steps=60, log_dir=tmp_path, callback=stop, **options(random_weights)
    )
    found = read_logs(tmp_path)
    assert list(found["loss/total"]) == [0, 1, 2, 3]
    assert list(found["picture"]) == [0, 3]
    np.testing.assert_array_equal(pixels(found["picture"][3][2]), result.image)


def test_logs_change_no_pixel(tmp_path, random_weights):
    given = options(random_weights)
    logged = mnst.stylize(PHOTO, STYLES, log_dir=tmp_path, **given)
    np.testing.assert_array_equal(logged.image, mnst.stylize(PHOTO, STYLES, **given).image)


def test_a_place_where_no_logs_can_be_is_said_before_pictures_are_read(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match=r"log_dir is .*file is no folder; give another"):
        mnst.stylize("missing.jpg", "missing.jpg", log_dir=tmp_path / "file")


def test_without_tensorboard_it_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(ImportError, match="log_dir needs TensorBoard: pip install tensorboard"):
        mnst.stylize("missing.jpg", "missing.jpg", log_dir=tmp_path)


# What fails to show a run


def test_a_full_disk_under_the_logs_costs_no_picture(tmp_path, random_weights):
    resource = pytest.importorskip("resource")  # Windows has none
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    given = options(random_weights, steps=20)
    alone = mnst.stylize(PHOTO, STYLES, **given)

    def fill(record):
        """Makes a full disk of every disk; but pytest may be writing to a file, too."""
        full = 2 <= record.step < 20
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]) if full else before)

    try:
        with pytest.warns(UserWarning, match="log_dir fails and is left out: .*arge") as told:
            logged = mnst.stylize(PHOTO, STYLES, log_dir=tmp_path, callback=fill, **given)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert len(told) == 1
    assert told[0].filename == __file__
    assert logged.completed
    np.testing.assert_array_equal(logged.image, alone.image)


def test_a_preview_that_fails_is_left_out(notebook, random_weights, monkeypatch):
    import IPython

    def fail(*_, **__):
        raise OSError("nobody listens")

    monkeypatch.setattr(IPython.display, "display", fail)
    with pytest.warns(UserWarning, match="preview fails and .*: OSError: nobody listens") as told:
        result = mnst.stylize(PHOTO, STYLES, preview=1, **options(random_weights))
    assert len(told) == 1
    assert result.completed


def test_standard_error_that_is_closed_costs_no_picture(random_weights, monkeypatch):
    closed = io.StringIO()
    closed.close()
    with monkeypatch.context() as changed:
        changed.setattr(sys, "stderr", closed)
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.showwarning = lambda *_: (_ for _ in ()).throw(ValueError("closed"))
            given = {**options(random_weights), "progress": True}
            result = mnst.stylize(PHOTO, STYLES, **given)
    assert result.completed


def test_an_error_of_the_callback_comes_through_all_that_watches(tmp_path, random_weights):
    def fail(record):
        raise OSError("mine")

    with pytest.raises(OSError, match="mine"):
        mnst.stylize(PHOTO, STYLES, log_dir=tmp_path, callback=fail, **options(random_weights))


@pytest.mark.parametrize("folder", [3, "", b"logs"])
def test_a_folder_for_logs_is_a_path(folder):
    with pytest.raises((ValueError, TypeError), match=r"log_dir is .*: give a path"):
        mnst.stylize("missing.jpg", "missing.jpg", log_dir=folder)
