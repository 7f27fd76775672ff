"""The studio's state: what pages ask of it, what they are told, and what is kept."""

import dataclasses
import io
import json
import threading
import time

import numpy as np
import pytest
from PIL import Image
from scenes import RECIPE, tiny

import mnst
from mnst.paintings import dots, glass, ink, swirls
from mnst.studio.messages import MessageError
from mnst.studio.pictures import Exhibit, Picture, gallery, name_from, samples
from mnst.studio.store import Entry, Store
from mnst.studio.studio import Limits, Studio
from mnst.studio.wishes import Wish

PATIENCE = 120
RECIPE = RECIPE.replace(steps=4)


def png(draw, **info):
    file = io.BytesIO()
    Image.fromarray(tiny(draw)).save(file, "PNG", **info)
    return file.getvalue()


PHOTO, SWIRLS, GLASS, INK = map(png, (dots, swirls, glass, ink))


class Viewer:
    """A page that remembers what it is told."""

    def __init__(self, studio):
        self.studio, self.state, self.frames = studio, {}, []
        self.pictures, self.files = {}, []
        self.page = studio.join(self.take)

    def take(self, message, parts):
        kind = message["is"]
        json.dumps(message)  # all that is said can be
        if kind == "state":
            self.state |= message
        elif kind == "frame":
            self.frames.append((message, parts[0]))
        elif kind == "picture":
            self.pictures[message["id"]] = parts[0] if parts else None
        else:
            self.files.append((message["name"], parts[0]))

    def do(self, what, *parts, **message):
        self.studio.do(self.page, {"do": what, **message}, parts)
        return self

    def until(self, holds):
        end = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < end, self.state
            time.sleep(0.01)
        return self

    def lay(self, *styles, photo=PHOTO):
        """Lays out a photo and styles, one after the other."""
        for style in [s["id"] for s in self.state["styles"]]:
            self.do("remove_style", style=style)
        self.do("photo", photo, name="a photo.png")
        self.until(lambda: self.state["photo"])
        for k, style in enumerate(styles, start=1):
            self.do("add_styles", style, names=[f"style_{k}.png"])
            self.until(lambda k=k: len(self.state["styles"]) == k)
        return self

    def fetch(self, id):
        self.do("fetch", pictures=[id])
        self.until(lambda: id in self.pictures)
        return self.pictures[id]

    def painted(self):
        before = len(self.state["history"])
        self.do("paint")
        self.until(lambda: len(self.state["history"]) > before)
        return self.state["history"][0]

    @property
    def names(self):
        return [style["name"] for style in self.state["styles"]]

    @property
    def shares(self):
        return self.state["controls"]["form"]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "studio"


@pytest.fixture
def open_studio(folder):
    opened = []

    def open_one(*, at=folder, limits=None, **given):
        options = {
            "recipe": RECIPE,
            "backbone": "vgg19-lite",
            "size": 32,
            "precision": "float32",
        }
        limits = limits or Limits(learning=0.5)
        studio = Studio(Store(at), options=options, limits=limits, **given)
        opened.append(studio)
        return studio

    yield open_one
    for studio in opened:
        studio.close()


@pytest.fixture
def viewer(open_studio):
    """A page of a studio with two styles and no photo yet."""
    page = Viewer(open_studio(styles=[SWIRLS, GLASS]))
    assert page.names == ["picture", "picture"]
    return page


@pytest.fixture
def table(viewer):
    """A page with a photo and three styles."""
    return viewer.lay(SWIRLS, GLASS, INK)


def check_alike(image, other):
    """Two pictures, but for what lossy files lose; none of our paintings are as near as this."""
    assert image.shape == other.shape
    assert np.abs(image.astype(float) - other).mean() < 22


def decoded(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


# Pictures


def test_the_first_time_there_are_two_styles_and_an_invitation(open_studio):
    page = Viewer(open_studio())
    page.until(lambda: len(page.names) == 2)
    assert page.names == ["Swirls", "Glass"]
    assert page.state["photo"] is None
    assert page.shares == [0.5, 0.5]
    assert len(page.state["samples"]) >= 1
    assert [each["name"] for each in page.state["gallery"]][:4] == [
        "Swirls",
        "Glass",
        "Ink",
        "Dots",
    ]


def test_an_upload_does_not_wait_for_the_first_styles(open_studio, monkeypatch):
    gate = threading.Event()
    slow = Exhibit("slow", "Slow", "", lambda size: gate.wait(PATIENCE) and tiny(swirls))
    monkeypatch.setattr("mnst.studio.studio.SWIRLS", slow)
    page = Viewer(open_studio())
    page.do("photo", PHOTO, name="mine.png").until(lambda: page.state["photo"])
    page.do("add_styles", INK, names=["own.png"]).until(lambda: page.names)
    gate.set()
    page.until(lambda: not page.state["busy_opening"])
    assert page.names == ["own"]  # and they don't push in


def test_styles_of_ones_own_take_the_place_of_the_first(open_studio):
    page = Viewer(open_studio())
    page.until(lambda: len(page.names) == 2)
    assert page.state["room"] == 4
    page.do("set", controls={"form": [0.9, 0.1]})
    own = [PHOTO, SWIRLS, INK]
    page.do("add_styles", *own, names=["a.png", "b.png", "c.png"])
    page.until(lambda: page.names == ["a", "b", "c"])
    assert page.shares == pytest.approx([1 / 3] * 3)
    assert page.state["room"] == 1
    page.do("undo")
    assert page.names == ["Swirls", "Glass"]
    assert page.shares == [0.9, 0.1]


@pytest.mark.parametrize("choice", ["gallery", "order", "next time"])
def test_styles_that_were_chosen_stay_beside_ones_own(open_studio, choice):
    page = Viewer(open_studio())
    page.until(lambda: len(page.names) == 2)
    expected = ["Swirls", "Glass"]
    if choice == "gallery":
        page.do("add_styles", gallery="dots").until(lambda: len(page.names) == 3)
        expected = ["Swirls", "Glass", "Dots"]
    elif choice == "order":
        page.do("move_style", style=page.state["styles"][0]["id"], to=1)
        expected = ["Glass", "Swirls"]
    else:
        page.studio.close()
        page = Viewer(open_studio())
    assert page.state["room"] == 4 - len(expected)
    page.do("add_styles", INK, names=["own.png"])
    page.until(lambda: page.names == [*expected, "own"])


@pytest.mark.slow
def test_what_is_laid_out_again_has_a_preview_for_those_who_come(open_studio):
    page = Viewer(open_studio(limits=Limits())).lay(SWIRLS, GLASS)
    entry = page.painted()
    page.do("show", painting=None)
    # Nothing is learnt any more that would be shown anyhow.
    page.until(lambda: page.frames and page.state["work"]["kind"] == "idle")
    for again in (
        lambda: page.do("photo", PHOTO, name="a photo.png"),
        lambda: page.do("paint_like", painting=entry["id"]),
    ):
        again()
        page.until(lambda: not page.state["busy_opening"])
        other = Viewer(page.studio)
        other.until(lambda other=other: other.frames)


def test_a_style_lies_there_once(viewer):
    viewer.lay(SWIRLS)
    viewer.do("add_styles", INK, INK, names=["a.png", "b.png"])
    viewer.until(lambda: viewer.state["error"])
    assert "already" in viewer.state["error"]["text"]
    assert len(viewer.names) == 2


def test_names_come_from_files(table):
    assert table.state["photo"]["name"] == "a photo"
    assert table.names == ["style 1", "style 2", "style 3"]
    assert (table.state["photo"]["width"], table.state["photo"]["height"]) == (32, 32)


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("IMG_1234.JPG", "IMG 1234"),
        ("a\u0000b\n.png", "a b"),
        ("x" * 200 + ".png", "x" * 60),
        (".jpg", "picture"),
        ("archive.tar", "archive"),
        ("no ending", "no ending"),
        ("<b>bold</b>.png", "<b>bold</b>"),
    ],
)
def test_a_name_is_one_line_of_words(file, name):
    assert name_from(file) == name


def test_pictures_are_sent_when_they_are_asked_for(table):
    check_alike(decoded(table.fetch(table.state["photo"]["picture"])), tiny(dots))
    for style in table.state["styles"]:
        assert decoded(table.fetch(style["picture"])).shape == (32, 32, 3)
    assert table.fetch("0" * 64 + "/240") is None
    assert table.fetch("entry:../../etc/passwd/full") is None
    assert table.fetch("exhibit:nobody/240") is None


@pytest.mark.parametrize("data", [b"", b"no picture", PHOTO[:100]], ids=["", "text", "half"])
def test_what_is_no_picture_is_said(viewer, data):
    viewer.do("photo", data, name="odd.png").until(lambda: viewer.state["error"])
    assert "odd.png" in viewer.state["error"]["text"].lower()
    assert viewer.state["photo"] is None
    viewer.do("dismiss")
    assert viewer.state["error"] is None


def test_a_file_that_is_too_large_is_refused(open_studio):
    page = Viewer(open_studio(styles=[SWIRLS], limits=Limits(upload=100)))
    page.do("photo", PHOTO, name="large.png")
    assert "give one of at most" in page.state["error"]["text"]


def test_a_gallery_adds_styles_by_a_click(viewer):
    viewer.do("add_styles", gallery="ink").until(lambda: len(viewer.names) == 3)
    assert viewer.names[-1] == "Ink"
    assert viewer.shares == pytest.approx([1 / 3] * 3)
    viewer.do("add_styles", gallery="ink").until(lambda: viewer.state["error"])
    assert "already" in viewer.state["error"]["text"]


def test_a_gallery_has_a_folder_of_ones_own(tmp_path, monkeypatch):
    (tmp_path / "my_painting.png").write_bytes(SWIRLS)
    (tmp_path / "notes.txt").write_text("not one")
    monkeypatch.setenv("MNST_GALLERY", str(tmp_path))
    own = [exhibit for exhibit in gallery() if exhibit.credit == "from your folder"]
    assert [exhibit.name for exhibit in own] == ["my painting"]
    assert own[0].picture().data == SWIRLS


def test_a_painting_far_away_is_downloaded_when_it_is_added(open_studio, server, monkeypatch):
    address = server.put("/starry.png", INK)
    far = Exhibit("far", "Far away", "somebody, public domain", address)
    monkeypatch.setattr("mnst.studio.studio.gallery", lambda: [far])
    page = Viewer(open_studio(styles=[SWIRLS]))
    assert page.state["gallery"][0]["picture"] is None
    assert server.asked == []
    page.do("add_styles", gallery="far").until(lambda: len(page.names) == 2)
    assert page.state["styles"][1]["credit"] == "somebody, public domain"
    assert server.asked == ["/starry.png"]


def test_all_far_paintings_are_of_one_place_and_credited():
    far = [exhibit for exhibit in gallery() if exhibit.far]
    assert len(far) == 5
    assert all("public domain" in exhibit.credit for exhibit in far)
    assert all("commons.wikimedia.org" in exhibit.source for exhibit in far)


def test_samples_are_there_and_are_pictures():
    assert "Grace Hopper" in [exhibit.name for exhibit in samples()]
    assert all(exhibit.picture().width > 100 for exhibit in samples())


def test_a_picture_is_what_was_given():
    array = Picture.of(tiny(ink), "array")
    np.testing.assert_array_equal(decoded(array.data), tiny(ink))
    assert Picture.of(INK, "x").data == INK
    assert Picture.of(INK, "x").key == Picture.of(INK, "y").key


# Styles and shares


def test_shares_follow_their_styles(table):
    table.do("set", controls={"form": [0.6, 0.3, 0.1]})
    last = table.state["styles"][2]["id"]
    table.do("move_style", style=last, to=0)
    assert table.names == ["style 3", "style 1", "style 2"]
    assert table.shares == pytest.approx([0.1, 0.6, 0.3])
    table.do("remove_style", style=last)
    assert table.shares == pytest.approx([2 / 3, 1 / 3])
    assert table.state["note"] == {"text": "style 3 was removed", "undo": True}
    table.do("undo")
    assert table.names == ["style 3", "style 1", "style 2"]
    assert table.shares == pytest.approx([0.1, 0.6, 0.3])
    assert table.state["note"] is None


def test_four_styles_are_the_most(table):
    table.do("add_styles", PHOTO, names=["4.png"]).until(lambda: len(table.names) == 4)
    table.do("add_styles", INK, names=["5.png"])
    assert "4 styles are the most" in table.state["error"]["text"]
    assert len(table.names) == 4


def test_one_style_is_painted_too(viewer):
    viewer.lay(SWIRLS)
    assert viewer.shares == [1]
    assert viewer.painted()["complete"]


def test_without_styles_it_says_what_is_missing(viewer):
    viewer.lay()
    viewer.do("paint")
    assert "a photo and a style" in viewer.state["error"]["text"].lower()


@pytest.mark.parametrize(
    ("kept", "added", "shares"),
    [
        ([0, 1], 0, (0.2, 0.8)),
        ([1], 0, (1.0,)),
        ([], 2, (0.5, 0.5)),
        ([0, 1], 1, (0.2 * 2 / 3, 0.8 * 2 / 3, 1 / 3)),
        ([], 0, ()),
    ],
)
def test_shares_of_those_that_stay_keep_their_proportions(kept, added, shares):
    wish = Wish(form=(0.2, 0.8), colour=(0.2, 0.8)).of_styles(kept, added)
    assert wish.form == pytest.approx(shares)


def test_a_style_of_no_share_can_be_all_that_is_left():
    assert Wish(form=(0.0, 1.0), colour=(1.0, 0.0)).of_styles([0]).form == (1.0,)


# Controls


def test_colour_and_form_move_together_until_they_are_parted(table):
    table.do("set", controls={"form": [1, 0, 0]})
    assert table.state["controls"]["colour"] == [1, 0, 0]
    table.do("set", controls={"linked": False})
    table.do("set", controls={"colour": [0, 0, 1]})
    assert table.shares == [1, 0, 0]
    assert table.state["controls"]["colour"] == [0, 0, 1]
    table.do("set", controls={"linked": True})
    assert table.state["controls"]["colour"] == [1, 0, 0]


@pytest.mark.parametrize(
    "controls",
    [
        {"form": [0.5, 0.5]},
        {"form": [2, -1, 0]},
        {"form": "abc"},
        {"form": [None, 1, 0]},
        {"stroke": 100},
        {"stroke": "x"},
        {"strength": 2},
        {"keep_colours": "yes"},
        {"quality": "best"},
        {"quality": ["fine"]},
        {"nothing": 1},
    ],
)
def test_controls_out_of_range_are_said_and_change_nothing(table, controls):
    before = table.state["controls"]
    table.do("set", controls=controls)
    assert table.state["error"]
    assert table.state["controls"] == before


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("nothing like it", {}),
        ("set", {"controls": [1]}),
        ("photo", {}),
        ("add_styles", {"names": ["a"]}),
        ("__init__", {}),
    ],
)
def test_what_no_page_asks_for_is_an_error(table, what, message):
    with pytest.raises(MessageError):
        table.do(what, **message)


def test_the_preview_follows_and_a_second_page_sees_the_same(table):
    table.until(lambda: table.frames)
    other = Viewer(table.studio)
    assert other.frames  # at once, without waiting for a move
    count = len(other.frames)
    table.do("set", controls={"form": [0, 0, 1]})
    other.until(lambda: len(other.frames) > count)
    assert other.state["controls"] == table.state["controls"]
    assert decoded(other.frames[-1][1]).shape == (32, 32, 3)


def test_pages_are_told_what_has_changed_alone(table):
    table.until(lambda: table.state["work"]["kind"] == "idle" and table.frames)
    told = []
    table.studio.join(lambda message, parts: told.append(message))
    table.do("dismiss")
    told.clear()
    table.do("set", controls={"quality": "draft"})
    assert [set(message) for message in told if message["is"] == "state"] == [{"is", "controls"}]


def test_options_are_what_stylize_takes(table):
    table.do("set", controls={"linked": False, "colour": [0, 0, 1], "form": [1, 0, 0]})
    table.do("set", controls={"stroke": 1.5, "keep_colours": True})
    options = table.studio.options
    assert options["gamma"] == {"colour": [0, 0, 1], "form": [1, 0, 0]}
    assert (options["style_size"], options["colours"]) == (1.5, "photo")
    styles = [SWIRLS, GLASS, INK]
    result = mnst.stylize(PHOTO, styles, backbone="vgg19-lite", progress=False, **options)
    assert result.settings["colours"] == "photo"


def test_a_wish_is_kept_as_json_and_damage_falls_back():
    wish = Wish((0.2, 0.8), (1.0, 0.0), 0.4, 1.5, True, True)
    assert Wish.from_dict(json.loads(json.dumps(wish.as_dict())), 2, 0.6) == wish
    odd = {"form": "?", "stroke": -1, "strength": None, "colour": [1, 0, 0], "x": 1}
    assert Wish.from_dict(odd, 2, 0.6) == Wish((0.5, 0.5), (0.5, 0.5), 0.6)


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        (Wish((0.3, 0.7), (0.3, 0.7)), "A 30 %, B 70 %"),
        (Wish((1.0, 0.0), (1.0, 0.0), 0.6), "A, strength 60 %"),
        (Wish((1.0, 0.0), (0.0, 1.0)), "forms of A, colours of B"),
        (
            Wish((1.0, 0.0), (1.0, 0.0), None, 2.0, True, True),
            "A, broader strokes, people left as they are, the photo's colours",
        ),
    ],
)
def test_a_wish_in_words(wish, words):
    assert wish.in_words(["A", "B"]) == words


# People


@pytest.fixture
def segmented(monkeypatch):
    """Sets what DeepLab finds: a share of the photo, or an error."""
    found = {"share": 0.25}

    class Found:
        def __init__(self):
            self.classes = {"background": 1.0} | ({"person": 1.0} if found["share"] else {})

        def mask(self, keep, invert=False):
            mask = np.zeros((32, 32), np.float32)
            mask[: round(32 * found["share"])] = 1
            return mask

    def segment(photo, progress):
        if isinstance(found["share"], Exception):
            raise found["share"]
        return Found()

    monkeypatch.setattr("mnst.masks.segmentation.segment", segment)
    return found


def test_people_stay_and_are_shown(table, segmented):
    table.do("set", controls={"keep_people": True})
    table.until(lambda: table.state["people"]["state"] == "found")
    assert table.state["people"]["text"] == "Found: 25 % of the photo"
    table.until(lambda: table.state["controls"]["keep_people"])
    overlay = np.asarray(Image.open(io.BytesIO(table.fetch(table.state["people"]["picture"]))))
    assert overlay.shape == (32, 32, 4)
    assert (overlay[:8, :, 3] > 0).all()
    assert (overlay[8:, :, 3] == 0).all()
    table.until(lambda: table.frames and table.state["work"]["kind"] == "idle")
    check_alike(decoded(table.frames[-1][1])[:8], tiny(dots)[:8])


def test_who_paints_before_people_are_found_keeps_them_all_the_same(table, segmented):
    table.do("set", controls={"keep_people": True})
    assert table.state["people"]["state"] == "looking"
    assert table.studio.options["keep"] == "person"
    entry = table.painted()
    assert "people left as they are" in entry["text"]
    np.testing.assert_array_equal(table.studio.result.image[:8], tiny(dots)[:8])
    assert (table.studio.result.image[8:] != tiny(dots)[8:]).any()


def test_nobody_in_the_photo_takes_the_tick_back(table, segmented):
    segmented["share"] = 0
    table.do("set", controls={"keep_people": True})
    assert table.state["controls"]["keep_people"]  # while it looks
    table.until(lambda: table.state["people"]["state"] == "nobody")
    assert not table.state["controls"]["keep_people"]
    assert table.state["error"] is None
    assert "No people" in table.state["people"]["text"]


def test_a_search_that_fails_says_so(table, segmented):
    segmented["share"] = mnst.WeightsError("DeepLab can't be had")
    table.do("set", controls={"keep_people": True})
    table.until(lambda: table.state["people"]["state"] == "failed")
    assert not table.state["controls"]["keep_people"]
    assert table.state["error"]["text"] == "DeepLab can't be had"


def test_another_photo_is_searched_anew(table, segmented):
    table.do("find_people").until(lambda: table.state["people"]["state"] == "found")
    table.do("photo", INK, name="b.png").until(lambda: table.state["photo"]["name"] == "b")
    assert table.state["people"]["state"] == "unknown"
    assert not table.state["controls"]["keep_people"]


# Paintings


def test_a_painting_is_kept_through_moves_and_other_pages(table, folder):
    entry = table.painted()
    assert entry["complete"]
    assert (entry["width"], entry["height"]) == (32, 32)
    assert entry["name"] == "a photo in style 1 and style 2 and style 3"
    table.until(lambda: table.state["showing"] == entry["id"])
    full = decoded(table.fetch(table.state["shown"]["picture"]))
    check_alike(full, table.studio.result.image)
    table.do("set", controls={"form": [0, 0, 1]})
    assert table.state["showing"] is None
    assert [each["id"] for each in table.state["history"]] == [entry["id"]]
    table.do("show", painting=entry["id"])
    assert table.state["shown"]["id"] == entry["id"]
    assert Viewer(table.studio).state["history"] == table.state["history"]
    kept = mnst.read_settings(next((folder / "paintings").glob("*.png")))
    assert kept["gamma"] == pytest.approx([1 / 3] * 3)


def test_all_of_it_is_there_the_next_time(table, open_studio):
    table.do("set", controls={"linked": False, "colour": [0, 0, 1], "form": [1, 0, 0]})
    table.do("set", controls={"quality": "draft", "stroke": 1.5})
    entry = table.painted()
    before = table.state
    table.studio.close()
    page = Viewer(open_studio())
    assert page.names == ["style 1", "style 2", "style 3"]
    assert page.state["photo"] == before["photo"]
    assert page.state["controls"] == before["controls"]
    assert [each["id"] for each in page.state["history"]] == [entry["id"]]
    page.until(lambda: page.frames)


def test_paint_like_this_brings_back_what_it_was_made_of(table):
    table.do("set", controls={"form": [0.7, 0.2, 0.1], "quality": "draft"})
    entry = table.painted()
    table.do("photo", INK, name="other.png")
    table.until(lambda: table.state["photo"]["name"] == "other")
    for style in [each["id"] for each in table.state["styles"][:2]]:
        table.do("remove_style", style=style)
    table.do("paint_like", painting=entry["id"])
    assert table.state["photo"]["name"] == "a photo"
    assert table.names == ["style 1", "style 2", "style 3"]
    assert table.shares == pytest.approx([0.7, 0.2, 0.1])
    assert table.state["controls"]["quality"] == "draft"


def test_again_paints_the_very_same_and_larger_is_larger(viewer):
    large = np.asarray(Image.fromarray(tiny(dots)).resize((96, 96)))
    file = io.BytesIO()
    Image.fromarray(large).save(file, "PNG")
    viewer.lay(SWIRLS, GLASS, photo=file.getvalue())
    first = viewer.painted()
    assert first["width"] == 32
    assert [each["width"] for each in first["larger"]] == [64, 96]  # as large as the photo is
    image = viewer.studio.result.image
    viewer.do("repeat", painting=first["id"], times=1)
    viewer.until(lambda: len(viewer.state["history"]) == 2)
    np.testing.assert_array_equal(viewer.studio.result.image, image)
    viewer.do("repeat", painting=first["id"], times=2)
    viewer.until(lambda: len(viewer.state["history"]) == 3)
    assert viewer.state["history"][0]["width"] == 64
    viewer.do("repeat", painting=first["id"], times=4)
    viewer.until(lambda: len(viewer.state["history"]) == 4)
    assert viewer.state["history"][0]["width"] == 96
    assert viewer.state["history"][0]["larger"] == []
    viewer.do("repeat", painting=viewer.state["history"][0]["id"], times=2)
    assert "can't be so much larger" in viewer.state["error"]["text"]


def test_removed_paintings_come_back(table):
    first, second = table.painted(), table.painted()
    table.do("compare", painting=first["id"])
    assert table.state["comparing"]["id"] == first["id"]
    table.do("forget", painting=first["id"])
    assert table.state["comparing"] is None
    assert [each["id"] for each in table.state["history"]] == [second["id"]]
    table.do("undo")
    assert len(table.state["history"]) == 2
    table.do("clear")
    assert table.state["history"] == []
    table.do("undo")
    assert [each["id"] for each in table.state["history"]] == [second["id"], first["id"]]
    table.do("show", painting="20200101-000000-000000")
    assert table.state["error"]["text"] == "This painting is gone"


def test_a_removed_painting_comes_back_when_another_is_done_meanwhile(open_studio):
    limits = Limits(learning=0.5, visitors=True, paintings=12)
    page = Viewer(open_studio(limits=limits)).lay(SWIRLS)
    first = page.painted()
    page.do("forget", painting=first["id"])
    second = page.painted()
    page.do("undo")
    assert [each["id"] for each in page.state["history"]] == [second["id"], first["id"]]


@pytest.mark.parametrize(("kind", "format"), [("png", "PNG"), ("jpg", "JPEG"), ("webp", "WEBP")])
def test_a_painting_is_saved_with_its_settings(table, tmp_path, kind, format):
    entry = table.painted()
    table.do("download", painting=entry["id"], **{"as": kind}).until(lambda: table.files)
    name, data = table.files[0]
    assert name == f"{entry['name']}.{kind}"
    (tmp_path / name).write_bytes(data)
    with Image.open(tmp_path / name) as saved:
        assert saved.format == format
    assert mnst.read_settings(tmp_path / name)["recipe"]["name"] == RECIPE.name
    image = mnst.load_image(tmp_path / name, size=None)[0]
    check_alike(image, table.studio.result.image)
    assert kind != "png" or (image == table.studio.result.image).all()


def test_a_painting_that_is_stopped_is_kept_as_such(table, monkeypatch):
    monkeypatch.setattr("mnst.studio.background._PAUSE", 0)

    def take(message, parts):
        if message["is"] == "frame" and message["of"] == "painting":
            table.do("stop")
        table.take(message, parts)

    table.page.send = take
    entry = table.painted()
    assert not entry["complete"]
    assert "stopped after 1 steps" in entry["text"]


def test_who_waits_for_a_film_sees_the_preview_get_sharper(open_studio):
    page = Viewer(open_studio(limits=Limits(learning=PATIENCE))).lay(SWIRLS, GLASS)
    page.do("film", seconds=2, kind="gif")
    page.until(lambda: page.state["work"]["text"].startswith("Learning"))
    before = len(page.frames)
    page.until(lambda: len(page.frames) > before + 1)
    assert page.state["work"]["kind"] == "film"
    assert page.state["work"]["can_stop"]
    page.do("stop").until(lambda: page.state["work"]["kind"] != "film")
    assert not page.state["history"]


def test_a_film_is_kept_and_shown(table):
    table.until(lambda: table.frames)
    table.do("film", seconds=2, kind="webp").until(lambda: table.state["history"])
    film = table.state["history"][0]
    assert film["kind"] == "film"
    assert film["larger"] == []
    table.until(lambda: table.state["showing"] == film["id"])
    with Image.open(io.BytesIO(table.fetch(table.state["shown"]["picture"]))) as shown:
        assert shown.format == "WEBP"
    assert decoded(table.fetch(film["picture"])).shape == (32, 32, 3)
    table.do("download", painting=film["id"], **{"as": "webp"}).until(lambda: table.files)
    assert table.files[0][0].endswith(".webp")
    table.do("download", painting=film["id"], **{"as": "png"})
    assert table.state["error"]


@pytest.mark.parametrize("asked", [{"seconds": 100, "kind": "gif"}, {"seconds": 3, "kind": "avi"}])
def test_odd_films_are_refused(table, asked):
    table.do("film", **asked)
    assert table.state["error"]


def test_a_full_disk_is_said_and_the_painting_is_still_there(table, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device", "painting.png")

    monkeypatch.setattr("mnst.images.write_atomically", full)
    table.do("paint").until(lambda: table.state["error"])
    assert "the disk is full" in table.state["error"]["text"].lower()
    assert table.studio.result.image.shape == (32, 32, 3)


def test_too_many_orders_are_refused(open_studio):
    page = Viewer(open_studio(styles=[SWIRLS], limits=Limits(learning=0.5, orders=1)))
    page.lay(SWIRLS)
    page.do("paint").do("paint")
    assert "wait" in page.state["error"]["text"]


def test_of_visitors_nothing_is_kept_but_a_few_paintings(open_studio, folder):
    limits = Limits(learning=0.5, visitors=True, paintings=1)
    page = Viewer(open_studio(limits=limits, styles=[SWIRLS]))
    page.lay(SWIRLS)
    first = page.painted()
    page.do("paint").until(lambda: page.state["history"][0]["id"] != first["id"])
    assert len(page.state["history"]) == 1
    page.studio.close()
    assert not (folder / "left.json").exists()


def test_without_use_no_thread_of_a_painter_runs(open_studio):
    studio = open_studio(limits=Limits(visitors=True), styles=[SWIRLS])
    Viewer(studio)
    names = {thread.name for thread in threading.enumerate()}
    assert not names & {"mnst worker", "mnst brush"}


# The store


def entry(id="20260101-000000-000000", **changes):
    words = {"kind": "painting", "suffix": ".png", "name": "n", "text": "t", "made": "2026"}
    numbers = {"seconds": 1.0, "height": 32, "width": 32, "complete": True}
    return Entry(
        **{"id": id, **words, **numbers, "photo": "a", "styles": ("b",), "wish": {}, **changes}
    )


def test_the_store_leaves_out_what_is_damaged(folder):
    store = Store(folder)
    store.keep(entry(), INK, [])
    store.keep(entry("20260102-000000-000000"), INK, [])
    (folder / "paintings" / "20260102-000000-000000.json").write_text("{")
    (folder / "paintings" / "20260103-000000-000000.json").write_text("{}")
    odd = dataclasses.asdict(entry("20260104-000000-000000", suffix="/../../left.json"))
    (folder / "paintings" / "20260104-000000-000000.json").write_text(json.dumps(odd))
    assert store.entries() == [entry()]


def test_a_picture_that_was_changed_on_the_disk_is_not_taken(folder):
    store, picture = Store(folder), Picture.of(INK, "ink")
    store.keep_picture(picture)
    assert store.picture(picture.key) == picture
    (folder / "pictures" / picture.key).write_bytes(SWIRLS)
    assert store.picture(picture.key) is None
    assert store.picture("../left") is None


def test_what_nothing_uses_is_let_go_after_a_day(folder):
    import os

    store = Store(folder)
    used, unused, new = (Picture.of(data, "x") for data in (INK, SWIRLS, GLASS))
    for picture in (used, unused, new):
        store.keep_picture(picture)
    store.keep(entry(photo=used.key, styles=()), INK, [])
    for key in (used.key, unused.key):
        for file in (folder / "pictures").glob(f"{key}*"):
            os.utime(file, (0, 0))
    store.tidy()
    assert [store.picture(p.key) is not None for p in (used, unused, new)] == [True, False, True]


def test_two_studios_share_a_folder(table, open_studio):
    other = Viewer(open_studio())
    entry = table.painted()
    other.do("hello")
    assert [each["id"] for each in other.state["history"]] == [entry["id"]]
    other.do("forget", painting=entry["id"])
    table.do("show", painting=entry["id"])
    assert table.fetch(f"entry:{entry['id']}/full") is None
    assert table.do("hello").state["history"] == []
