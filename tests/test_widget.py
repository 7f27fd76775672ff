"""The studio as a notebook's widget: what it says and hears, as anywidget has it."""

import sys
import threading

import pytest
from scenes import RECIPE, tiny
from test_studio import GLASS, PHOTO, SWIRLS

import mnst
from mnst.paintings import dots, glass, swirls

pytest.importorskip("anywidget")


@pytest.fixture
def make(tmp_path):
    made = []

    def make_one(*pictures, **options):
        small = {
            "recipe": RECIPE,
            "backbone": "vgg19-lite",
            "size": 32,
            "folder": tmp_path / "kept",
        }
        made.append(mnst.Crossfader(*pictures, **{**small, **options}))
        return made[-1]

    yield make_one
    for crossfader in made:
        crossfader.close()


class Notebook:
    """What is sent to a notebook's page."""

    def __init__(self, crossfader):
        self.widget, self.told, self.changed = crossfader.widget, [], threading.Condition()
        self.widget.send = self.take

    def take(self, message, buffers=None):
        with self.changed:
            self.told.append((message, buffers or []))
            self.changed.notify_all()

    def say(self, what, *buffers, **message):
        given = [memoryview(buffer) for buffer in buffers]
        self.widget._handle_custom_msg({"do": what, **message}, given)

    @property
    def state(self):
        return {k: v for message, _ in self.told for k, v in message.items()}

    def until(self, holds):
        with self.changed:
            assert self.changed.wait_for(holds, 120)


def test_it_begins_with_what_is_given_and_shows_the_same_page(make):
    crossfader = make(tiny(dots), [tiny(swirls), tiny(glass)])
    page = Notebook(crossfader)
    page.say("hello")
    assert page.state["photo"]["width"] == 32
    assert len(page.state["styles"]) == 2
    bundle = crossfader._repr_mimebundle_()
    data = bundle[0] if isinstance(bundle, tuple) else bundle
    assert "application/vnd.jupyter.widget-view+json" in data
    assert "export default" in crossfader.widget._esm
    assert ".mnst-studio" in crossfader.widget._css


def test_uploads_paintings_and_what_the_next_cell_takes(make):
    crossfader = make()
    assert crossfader.result is None
    page = Notebook(crossfader)
    page.say("hello")
    page.until(lambda: len(page.state.get("styles", [])) == 2)
    page.say("photo", PHOTO, name="photo.png")
    page.until(lambda: page.state["photo"])
    page.say("add_styles", SWIRLS, GLASS, names=["a.png", "b.png"])
    page.until(lambda: [style["name"] for style in page.state["styles"]] == ["a", "b"])
    page.say("set", controls={"form": [0, 1]})
    page.until(lambda: crossfader.image is not None)
    assert crossfader.image.shape == (32, 32, 3)
    page.say("paint")
    page.until(lambda: page.state["history"])
    assert crossfader.result.settings["gamma"] == [0, 1]
    assert crossfader.options["gamma"] == [0, 1]
    assert crossfader.options["recipe"].name == RECIPE.name
    page.say("fetch", pictures=[f"{page.state['photo']['picture']}"])
    page.until(lambda: any(message["is"] == "picture" for message, _ in page.told))


def test_two_of_them_share_what_is_kept(make):
    first = make(tiny(dots), tiny(swirls))
    page = Notebook(first)
    page.say("hello")
    page.say("paint")
    page.until(lambda: page.state["history"])
    second = Notebook(make(tiny(dots), tiny(glass)))
    second.say("hello")
    assert second.state["history"] == page.state["history"]


def test_a_page_of_another_version_is_told(make):
    page = Notebook(make(tiny(dots), tiny(swirls)))
    page.say("nothing like it")
    message, _ = page.told[-1]
    assert message["is"] == "end"
    assert "another version" in message["text"]


def test_without_anywidget_it_says_what_to_install(make, monkeypatch):
    monkeypatch.setitem(sys.modules, "anywidget", None)
    with pytest.raises(ImportError, match=r"pip install 'mnst\[notebooks\]'"):
        make()


@pytest.mark.parametrize(
    ("pictures", "options", "error", "said"),
    [
        ((), {"size": 0}, ValueError, "size"),
        ((), {"recipe": "fin"}, ValueError, "fine"),
        (("missing.jpg",), {}, FileNotFoundError, "missing.jpg"),
        ((None, ["missing.jpg"]), {}, FileNotFoundError, "missing.jpg"),
        ((None, [tiny(swirls)] * 5), {}, ValueError, "at most 4"),
        ((), {"backbone": "vgg99"}, ValueError, "vgg99"),
        ((), {"precision": "float8"}, ValueError, "float8"),
        ((), {"memory": "much"}, ValueError, "much"),
    ],
)
def test_what_is_wrong_is_said_at_once(make, tripwire, pictures, options, error, said):
    with pytest.raises(error, match=said):
        make(*pictures, **options)
