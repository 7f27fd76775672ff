"""The crossfader's widgets without a browser: what they ask for, and what they show."""

import base64
import datetime
import io
import re
import sys
import threading

import numpy as np
import pytest
from PIL import Image
from scenes import RECIPE, SIDE, tiny

import mnst
from mnst.images import encode
from mnst.paintings import dots, glass, ink, swirls
from mnst.studio import background, widgets

pytest.importorskip("ipywidgets")


class Page:
    """A crossfader as it is seen and used: its widgets, found by what they say."""

    def __init__(self, crossfader):
        self.crossfader = crossfader

    def all(self, kind, said="", *, styled=None):
        """The widgets of a kind that say something, or have a style, from top to bottom."""
        return [
            widget
            for widget in every(self.crossfader.widget)
            if type(widget).__name__ == kind
            and said in words(widget)
            and (styled is None or styled in styles(widget))
        ]

    def the(self, kind, said="", *, styled=None):
        (widget,) = self.all(kind, said, styled=styled)
        return widget

    def settle(self):
        """Waits until everything is read and painted; returns the result."""
        self.crossfader._reader.submit(lambda: None).result(60)
        assert self.crossfader._painter.wait(100)
        return self.crossfader.result

    @property
    def sliders(self):
        return self.all("FloatSlider")

    @property
    def said(self):
        """The line below the picture, as HTML."""
        return self.the("HTML", styled="mnst-status").value

    @property
    def status(self):
        return re.sub("<.*?>", "", self.said)

    @property
    def shown(self):
        return np.asarray(Image.open(io.BytesIO(self.the("Image").value)))

    def thumbnails(self, alt):
        """The JPEG files of the pictures whose description begins so."""
        pattern = f'alt="{alt}[^"]*" src="data:image/jpeg;base64,(.*?)"'
        found = [re.search(pattern, html.value) for html in self.all("HTML")]
        return [base64.b64decode(one[1]) for one in found if one]


def every(widget):
    yield widget
    for child in getattr(widget, "children", ()):
        yield from every(child)


def words(widget):
    """What a widget says to whoever reads it, or points at it."""
    names = ("description", "tooltip", "placeholder", "value")
    return " ".join(str(getattr(widget, name, "")) for name in names)


def styles(widget):
    return widget.get_state("_dom_classes")["_dom_classes"]


@pytest.fixture
def make(monkeypatch):
    """Makes small crossfaders, and ends them."""
    monkeypatch.setattr(background, "_FIRST", 4)
    monkeypatch.setattr(background, "_PREVIEW", RECIPE)
    made = []

    def make(*pictures, **options):
        small = {"recipe": RECIPE, "preview_size": SIDE, "backbone": "vgg19-lite"}
        made.append(mnst.Crossfader(*pictures, **{**small, **options}))
        page = Page(made[-1])
        page.settle()
        return page

    yield make
    for crossfader in made:
        crossfader.close()


@pytest.fixture
def page(make):
    return make(tiny(dots), [tiny(swirls), tiny(glass)])


def png(array):
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG")
    return file.getvalue()


def thumbnails_of(*pictures):
    """The files that show small pictures, which are not reduced."""
    return [encode(picture, "JPEG") for picture in pictures]


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


def test_it_begins_with_styles_and_asks_for_a_photo(make):
    page = make()
    assert len(page.thumbnails("Style")) == 2
    assert page.status in ("", "Choose a photo, or try an example.")
    assert page.the("Button", "Paint in full").disabled
    assert page.crossfader.result is None
    shown = page.crossfader._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in str(shown)


def test_pictures_that_were_given_are_painted(page):
    result = page.crossfader.result
    assert result.settings["gamma"] == [0.5, 0.5]
    assert result.settings["backbone"] == "vgg19-lite"
    assert page.shown.shape == (SIDE, SIDE, 3)
    assert page.status.startswith("Preview: 32 x 32 pixels, by vgg19-lite")


@pytest.mark.slow
def test_uploads_are_taken_and_let_go(make):
    page = make()
    photos, styles = page.all("FileUpload")
    upload(photos, photo=png(tiny(dots)))
    upload(styles, a=png(tiny(ink)), b=png(tiny(swirls)))
    assert page.settle() is not None
    assert page.thumbnails("The photo") == thumbnails_of(tiny(dots))
    # They take the places of the two that were there to begin with; a third is a third.
    two = [tiny(ink), tiny(swirls)]
    assert page.thumbnails("Style") == thumbnails_of(*two)
    assert photos.value == styles.value == ()
    upload(styles, c=png(tiny(glass)))
    page.settle()
    assert page.thumbnails("Style") == thumbnails_of(*two, tiny(glass))
    assert len(page.sliders) == 3
    assert page.crossfader.position.gamma == pytest.approx([1 / 3] * 3)
    for slider, value in zip(page.sliders, (0.5, 0.5, 0), strict=True):
        slider.value = value
    assert page.settle().settings["gamma"] == [0.5, 0.5, 0]


def test_gamma_and_toggles_are_what_is_painted(page):
    page.the("FloatSlider", "gamma").value = 0.8
    page.the("Checkbox", "Calibrate").value = False
    settings = page.settle().settings
    assert settings["gamma"] == pytest.approx([0.8, 0.2])
    assert settings["sigma"] == [1, 1]


def test_a_style_can_be_taken_away(page):
    page.the("Button", "Remove style 1").click()
    page.settle()
    assert page.thumbnails("Style") == thumbnails_of(tiny(glass))
    assert page.status == "Add styles: two or more."
    assert page.the("Button", "Paint in full").disabled
    page.the("Checkbox", "Keep people").value = True  # asks for nothing, with nothing to paint
    page.settle()
    assert page.status == "Add styles: two or more."


def test_a_style_is_taken_away_while_another_is_added(make, monkeypatch):
    page = make(None, [tiny(swirls), tiny(glass), tiny(dots)])
    begun, taken_away = threading.Event(), threading.Event()
    thumbnail = widgets._thumbnail

    def slow(*arguments):
        if threading.current_thread() is not threading.main_thread():
            begun.set()
            taken_away.wait(0.3)
        return thumbnail(*arguments)

    monkeypatch.setattr(widgets, "_thumbnail", slow)
    upload(page.the("FileUpload", styled="mnst-styles"), another=png(tiny(ink)))
    assert begun.wait(60)
    page.the("Button", "Remove style 1").click()
    taken_away.set()
    page.settle()
    assert page.thumbnails("Style") == thumbnails_of(tiny(glass), tiny(dots), tiny(ink))
    assert len(page.sliders) == len(page.crossfader.position.gamma) == 3


def test_uploads_wait_for_those_before(make, monkeypatch):
    page = make(None, [tiny(swirls), tiny(glass)])
    content = png(tiny(ink))
    monkeypatch.setattr(widgets, "UPLOAD_LIMIT", len(content))
    go_on = threading.Event()
    page.crossfader._reader.submit(go_on.wait, 20)
    for _ in range(3):
        upload(page.the("FileUpload", styled="mnst-styles"), a=content, b=content)
    assert page.status == "b.png: too many pictures at once; add it when the others are there"
    go_on.set()
    page.settle()
    assert len(page.thumbnails("Style")) == 6
    upload(page.the("FileUpload", styled="mnst-styles"), c=content)
    page.settle()
    assert len(page.thumbnails("Style")) == 7


def test_uploads_are_limited(make, monkeypatch):
    page = make(None, [tiny(swirls), tiny(glass)])
    monkeypatch.setattr(widgets, "UPLOAD_LIMIT", 2**20)
    upload(page.the("FileUpload", "photo"), large=bytes(2**20 + 1))
    page.settle()
    assert page.status == "large.png: 1 MB is too large; upload at most 1 MB"
    assert page.thumbnails("The photo") == []


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"no picture", "not a picture"), (b"", "not a picture"), (png(dots(size=64))[:900], "dama")],
)
def test_a_broken_upload_is_told_in_words(make, content, reason):
    page = make(None, [tiny(swirls), tiny(glass)])
    upload(page.the("FileUpload", "photo"), broken=content)
    page.settle()
    assert page.status.startswith("broken.png: ")
    assert reason in page.status
    assert "mnst-error" in page.said


def test_names_of_files_are_no_html(make):
    page = make(None, [tiny(swirls), tiny(glass)])
    name = "<img src=x onerror=alert(1)>"
    upload(page.the("FileUpload", "photo"), **{name: b"no picture"})
    page.settle()
    assert "onerror" in page.said
    assert "<img" not in page.said


def test_the_full_picture_is_painted_saved_and_downloaded(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page.the("Button", "Paint in full").click()
    assert page.sliders[0].disabled
    result = page.settle()
    assert not page.sliders[0].disabled
    assert page.status.startswith("Painted in full: 32 x 32 pixels")
    for name in ("painted.png", "painted-2.png"):
        page.the("Button", "Save as").click()
        assert page.status == f"Saved: {name}"
        assert mnst.read_settings(name) == result.settings
    link = re.search('href="data:image/png;base64,(.*?)"', page.the("HTML", "Download").value)
    assert base64.b64decode(link[1]) == (tmp_path / "painted.png").read_bytes()
    page.the("Text", "Where to save").value = "nowhere/painted.png"
    page.the("Button", "Save as").click()
    assert "there is no folder" in page.status


def test_the_full_picture_can_be_stopped(make):
    page = make(tiny(dots), [tiny(swirls), tiny(glass)], steps=100_000)
    stop = page.the("Button", "Stop")
    page.the("IntProgress").observe(lambda change: stop.click() if change["new"] else None, "value")
    page.the("Button", "Paint in full").click()
    assert not stop.disabled
    result = page.settle()
    assert page.status.startswith("Stopped after ")
    assert not result.completed
    assert stop.disabled


def test_paths_are_read_and_may_be_left_out(page, make, tmp_path):
    mnst.save_image(tmp_path / "photo.png", tiny(ink))
    assert len(page.all("Text")) == 3
    field = page.the("Text", "path or address of a photo")
    field.value = str(tmp_path / "photo.png")
    page.settle()
    assert page.thumbnails("The photo") == thumbnails_of(tiny(ink))
    field.value = "missing.jpg"
    page.settle()
    assert page.status == "missing.jpg: there is no such file"
    # Not merely hidden: a message from the browser could fill in what is hidden.
    assert make(paths=False).all("Text") == []


def test_without_ipywidgets_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    with pytest.raises(ImportError, match=r"the crossfader needs ipywidgets: pip install 'mnst"):
        mnst.Crossfader()
