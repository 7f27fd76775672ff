"""The crossfader's widgets without a browser: what they ask for, and what they show."""

import base64
import datetime
import io
import re
import sys

import numpy as np
import pytest
from PIL import Image
from scenes import RECIPE

import mnst
from mnst.paintings import dots, glass, ink, swirls
from mnst.studio import painter, widgets

pytest.importorskip("ipywidgets")

SIDE = 32


@pytest.fixture
def make(monkeypatch):
    """Makes small crossfaders, and ends them."""
    monkeypatch.setattr(painter, "_FIRST", 4)
    monkeypatch.setattr(painter, "_PREVIEW", RECIPE)
    made = []

    def make(*pictures, **options):
        small = {"recipe": RECIPE, "preview_size": SIDE, "backbone": "vgg19-lite"}
        made.append(mnst.Crossfader(*pictures, **{**small, **options}))
        return made[-1]

    yield make
    for crossfader in made:
        crossfader.close()


@pytest.fixture
def crossfader(make):
    return settled(make(dots(size=SIDE), [swirls(size=SIDE), glass(size=SIDE)]))


def settled(crossfader):
    """Waits until everything is read and painted."""
    crossfader._reader.submit(lambda: None).result(60)
    assert crossfader._painter.wait(100)
    return crossfader


def png(array):
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG")
    return file.getvalue()


def upload(widget, **files):
    """Does what the browser's side of an upload does."""
    widget.value = [
        {
            "name": f"{name}.png",
            "type": "image/png",
            "size": len(content),
            "content": memoryview(content),
            "last_modified": datetime.datetime(2020, 1, 1),
        }
        for name, content in files.items()
    ]


def status(crossfader):
    return re.sub("<.*?>", "", crossfader._stage._status.value)


def shown(crossfader):
    return np.asarray(Image.open(io.BytesIO(crossfader._stage._picture.value)))


def test_it_begins_with_styles_and_asks_for_a_photo(make):
    crossfader = settled(make())
    assert len(crossfader._styles) == 2
    assert status(crossfader) in ("", "Choose a photo, or try an example.")
    assert crossfader._full.disabled
    assert crossfader.result is None
    assert "application/vnd.jupyter.widget-view+json" in str(crossfader._repr_mimebundle_())


def test_pictures_that_were_given_are_painted(crossfader):
    assert crossfader.result.settings["gamma"] == [0.5, 0.5]
    assert crossfader.result.settings["backbone"] == "vgg19-lite"
    assert shown(crossfader).shape == (SIDE, SIDE, 3)
    assert status(crossfader).startswith("Preview: 32 x 32 pixels, by vgg19-lite")


def test_uploads_are_taken_and_let_go(make):
    crossfader = settled(make())
    upload(crossfader._photo_upload, photo=png(dots(size=SIDE)))
    upload(crossfader._style_upload, a=png(ink(size=SIDE)), b=png(swirls(size=SIDE)))
    settled(crossfader)
    np.testing.assert_array_equal(crossfader._photo, dots(size=SIDE))
    # They take the places of the two that were there to begin with; a third is a third.
    first, second = crossfader._styles
    np.testing.assert_array_equal(first, ink(size=SIDE))
    np.testing.assert_array_equal(second, swirls(size=SIDE))
    assert crossfader._photo_upload.value == crossfader._style_upload.value == ()
    assert crossfader.result is not None
    upload(crossfader._style_upload, c=png(glass(size=SIDE)))
    settled(crossfader)
    assert len(crossfader._styles) == len(crossfader._sliders) == 3
    assert crossfader.position.gamma == pytest.approx([1 / 3] * 3)
    for slider, value in zip(crossfader._sliders, (0.5, 0.5, 0), strict=True):
        slider.value = value
    assert settled(crossfader).result.settings["gamma"] == [0.5, 0.5, 0]


def test_gamma_and_toggles_are_what_is_painted(crossfader):
    crossfader._sliders[0].value = 0.8
    crossfader._calibrate.value = False
    settings = settled(crossfader).result.settings
    assert settings["gamma"] == pytest.approx([0.8, 0.2])
    assert settings["sigma"] == [1, 1]


def test_a_style_can_be_taken_away(crossfader):
    (card, _) = crossfader._styles_shown.children
    card.children[1].click()
    settled(crossfader)
    np.testing.assert_array_equal(crossfader._styles[0], glass(size=SIDE))
    assert status(crossfader) == "Add styles: two or more."
    assert crossfader._full.disabled
    crossfader._keep.value = True  # asks for nothing, with nothing to paint
    settled(crossfader)
    assert status(crossfader) == "Add styles: two or more."


def test_uploads_are_limited(make, monkeypatch):
    crossfader = settled(make())
    monkeypatch.setattr(widgets, "UPLOAD_LIMIT", 2**20)
    upload(crossfader._photo_upload, large=bytes(2**20 + 1))
    assert status(settled(crossfader)) == "large.png: 1 MB is too large; upload at most 1 MB"
    assert crossfader._photo is None


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"no picture", "not a picture"), (b"", "not a picture"), (png(dots(size=64))[:900], "dama")],
)
def test_a_broken_upload_is_told_in_words(make, content, reason):
    crossfader = settled(make())
    upload(crossfader._photo_upload, broken=content)
    settled(crossfader)
    assert status(crossfader).startswith("broken.png: ")
    assert reason in status(crossfader)
    assert "mnst-error" in crossfader._stage._status.value


def test_names_of_files_are_no_html(make):
    crossfader = settled(make())
    upload(crossfader._photo_upload, **{"<img src=x onerror=alert(1)>": b"no picture"})
    settled(crossfader)
    assert "<img" not in crossfader._stage._status.value


def test_the_full_picture_is_painted_saved_and_downloaded(crossfader, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    crossfader._full.click()
    assert crossfader._sliders[0].disabled
    settled(crossfader)
    assert not crossfader._sliders[0].disabled
    assert status(crossfader).startswith("Painted in full: 32 x 32 pixels")
    for name in ("painted.png", "painted-2.png"):
        crossfader._save.click()
        assert status(crossfader) == f"Saved: {name}"
        assert mnst.read_settings(name) == crossfader.result.settings
    link = re.search('href="data:image/png;base64,(.*?)"', crossfader._stage.download.value)
    assert base64.b64decode(link[1]) == (tmp_path / "painted.png").read_bytes()
    crossfader._place.value = "nowhere/painted.png"
    crossfader._save.click()
    assert "there is no folder" in status(crossfader)


def test_the_full_picture_can_be_stopped(make):
    crossfader = settled(
        make(dots(size=SIDE), [swirls(size=SIDE), glass(size=SIDE)], steps=100_000)
    )
    bar = crossfader._stage._bar
    bar.observe(lambda change: crossfader._stop.click() if change["new"] else None, "value")
    crossfader._full.click()
    assert not crossfader._stop.disabled
    settled(crossfader)
    assert status(crossfader).startswith("Stopped after ")
    assert not crossfader.result.completed
    assert crossfader._stop.disabled


def test_paths_are_read_and_may_be_left_out(crossfader, make, tmp_path):
    mnst.save_image(tmp_path / "photo.png", ink(size=SIDE))
    fields = [w for w in every(crossfader.widget) if type(w).__name__ == "Text"]
    assert len(fields) == 3
    fields[0].value = str(tmp_path / "photo.png")
    np.testing.assert_array_equal(settled(crossfader)._photo, ink(size=SIDE))
    fields[0].value = "missing.jpg"
    assert status(settled(crossfader)) == "missing.jpg: there is no such file"
    # Not merely hidden: a message from the browser could fill in what is hidden.
    without = make(paths=False)
    assert not [w for w in every(without.widget) if type(w).__name__ == "Text"]


def every(widget):
    yield widget
    for child in getattr(widget, "children", ()):
        yield from every(child)


def test_without_ipywidgets_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    with pytest.raises(ImportError, match=r"the crossfader needs ipywidgets: pip install 'mnst"):
        mnst.Crossfader()
