"""The painter behind the studio: live previews, paintings, films, people; stopped and closed."""

import dataclasses
import io
import threading
import time

import numpy as np
import pytest
from pages import until
from PIL import Image
from scenes import RECIPE, tiny

import mnst
from mnst.paintings import dots, glass, ink, swirls
from mnst.studio import background
from mnst.studio.background import BackgroundPainter, FilmOrder, Listener, Order, Table
from mnst.studio.pictures import Picture
from mnst.studio.wishes import Wish

PATIENCE = 120
PHOTO, SWIRLS, GLASS, INK = (
    Picture.of(tiny(draw), draw.__name__) for draw in (dots, swirls, glass, ink)
)
TABLE = Table(PHOTO, (SWIRLS, GLASS))
SHARES = (0.25, 0.75)
WISH = Wish(form=SHARES, colour=SHARES)
RECIPE = RECIPE.replace(steps=6)


class Watcher(Listener):
    """Remembers what it is told; `at_frame` and `at_work` are called with it at once."""

    def __init__(self):
        self.frames, self.works, self.paintings, self.films = [], [], [], []
        self.people, self.failures = [], []
        self.at_frame = self.at_work = lambda told: None

    def working(self, work):
        self.works.append(work)
        self.at_work(work)

    def showing(self, frame):
        self.frames.append(frame)
        self.at_frame(frame)

    def painted(self, order, result, seconds):
        self.paintings.append((order, result))

    def filmed(self, order, data, still, seconds):
        self.films.append((order, data, still))

    def found_people(self, photo, mask):
        self.people.append((photo, mask))

    def failed(self, message):
        self.failures.append(message)


@pytest.fixture
def view():
    return Watcher()


@pytest.fixture
def open_painter(view):
    """Opens painters, small ones that learn for a moment, and closes them."""
    opened = []

    def open_one(listener=view, learning=0.5, **changes):
        options = {"recipe": RECIPE, "backbone": "vgg19-lite", "size": 32, **changes}
        painter = BackgroundPainter(
            listener, options={**options, "precision": "float32"}, learning=learning
        )
        opened.append(painter)
        return painter

    yield open_one
    for painter in opened:
        painter.close()


@pytest.fixture
def painter(open_painter):
    return open_painter()


def order(painter, wish=WISH, quality="fine", table=TABLE):
    return Order(table, wish, painter.qualities[quality])


def threads():
    return [each for each in threading.enumerate() if each.name.startswith("mnst")]


def test_nothing_runs_before_something_is_asked(painter):
    assert not threads()


def test_a_live_picture_follows_the_controls(painter, view):
    painter.show(TABLE, WISH)
    until(lambda: view.frames)
    assert view.frames[-1].image.shape == (32, 32, 3)
    other = Wish(form=(0.9, 0.1), colour=(0.9, 0.1))
    began = time.monotonic()
    painter.show(TABLE, other)
    until(lambda: view.frames[-1].wish == other)
    assert time.monotonic() - began < 2
    until(lambda: not view.frames[-1].rough)
    moved = [frame for frame in view.frames if frame.wish == other]
    assert moved[0].rough  # while it moves it is painted small
    assert {frame.of for frame in view.frames} == {"live"}
    assert not view.failures


def test_the_preview_gets_sharper_and_then_rests(painter, view):
    painter.show(TABLE, WISH)
    until(lambda: view.works and view.works[-1].kind == "idle" and view.frames)
    kinds = [work.kind for work in view.works]
    assert "opening" in kinds
    done = [work.done for work in view.works if work.kind == "live"]
    assert done == sorted(done)
    until(lambda: view.frames[-1].step > 0)


def test_a_painting_is_that_of_stylize(painter, view):
    painter.paint(order(painter))
    assert painter.wait(PATIENCE)
    ((_, result),) = view.paintings
    alone = mnst.stylize(
        PHOTO.data,
        [SWIRLS.data, GLASS.data],
        recipe=RECIPE,
        backbone="vgg19-lite",
        size=32,
        precision="float32",
        sigma="auto",
        progress=False,
        **WISH.options,
    )
    np.testing.assert_array_equal(result.image, alone.image)
    assert result.settings["gamma"] == list(SHARES)


def test_colours_and_forms_apart(painter, view):
    wish = Wish(form=(1.0, 0.0), colour=(0.0, 1.0))
    painter.show(TABLE, wish)
    painter.paint(order(painter, wish))
    assert painter.wait(PATIENCE)
    until(lambda: view.frames)
    ((_, result),) = view.paintings
    assert result.settings["gamma"] == {"colour": [0, 1], "form": [1, 0]}
    assert not view.failures


def test_its_progress_goes_up_to_all(painter, view, monkeypatch):
    monkeypatch.setattr(background, "_PAUSE", 0)
    painter.paint(order(painter))
    assert painter.wait(PATIENCE)
    told = [work for work in view.works if work.kind == "painting"]
    done = [work.done for work in told]
    assert done == sorted(done)
    assert (done[0], done[-1]) == (0, 1)
    assert told[-1].seconds_left == pytest.approx(0, abs=1e-9)
    assert [frame.step for frame in view.frames if frame.of == "painting"] == [1, 2, 3, 4, 5, 6]
    # And so the next one is known before.
    known = painter.seconds(painter.qualities["fine"], PHOTO)
    took = view.paintings[0][1].history[-1].seconds + painter.rates["opening"]
    assert known == pytest.approx(took, rel=0.01)
    # And others from it, rather than from none at all; the larger takes longer.
    assert painter.seconds(painter.qualities["draft"], PHOTO) is not None


def test_work_is_counted_in_pixels_and_steps(painter):
    """Against a sum by hand: FINE at 1024 pixels of a photo of 2000 x 1000."""
    qualities = BackgroundPainter(Listener(), options={"size": 1024}).qualities
    fine = qualities["fine"].recipe
    sizes = fine.pyramid.sizes(512, 1024)
    steps = fine.pyramid.steps(len(sizes), fine.steps)
    by_hand = sum(count * h * w for count, (h, w) in zip(steps, sizes, strict=True))
    assert qualities["fine"].work(1000, 2000) == by_hand
    assert qualities["large"].work(1000, 2000) > by_hand
    assert qualities["draft"].size == 512
    assert qualities["draft"].recipe == mnst.DRAFT
    # None is painted larger than the photo.
    assert qualities["large"].work(512, 1024) == by_hand


def test_a_painting_that_is_stopped_is_kept_and_others_are_forgotten(painter, view, monkeypatch):
    monkeypatch.setattr(background, "_PAUSE", 0)
    view.at_frame = lambda frame: painter.stop() if frame.step == 2 else None
    painter.paint(order(painter))
    painter.paint(order(painter))
    assert painter.orders == 2
    assert painter.wait(PATIENCE)
    ((_, result),) = view.paintings
    assert not result.completed
    assert result.history[-1].step == 2
    assert painter.orders == 0
    view.at_frame = lambda frame: None
    painter.paint(order(painter))  # and it goes on as before
    assert painter.wait(PATIENCE)
    assert view.paintings[-1][1].completed


def test_the_preview_moves_while_a_painting_is_made(painter, view, monkeypatch):
    painter.show(TABLE, WISH)
    until(lambda: view.frames)
    other = Wish(form=(1.0, 0.0), colour=(1.0, 0.0))
    asked = []

    def move(work):
        if work.kind == "painting" and not asked:
            asked.append(True)
            painter.show(TABLE, other)
            until(lambda: view.frames[-1].wish == other)  # on the worker's thread: it waits

    view.at_work = move
    painter.paint(order(painter))
    assert painter.wait(PATIENCE)
    assert asked
    assert view.paintings[0][1].settings["gamma"] == list(SHARES)


def test_other_pictures_are_opened_and_a_look_back_costs_nothing(painter, view):
    painter.show(TABLE, WISH)
    until(lambda: view.frames)
    turned = Table(PHOTO, (GLASS, INK))
    painter.show(turned, WISH)
    assert painter.wait(PATIENCE)
    before = len([work for work in view.works if work.kind == "opening"])
    painter.show(TABLE, WISH)
    assert painter.wait(PATIENCE)
    assert len([work for work in view.works if work.kind == "opening"]) == before
    assert not view.failures


def test_a_table_that_was_cleared_and_laid_again_is_painted_again(painter, view):
    painter.show(TABLE, WISH)
    until(lambda: view.works and view.works[-1].kind == "idle" and view.frames)
    until(lambda: not view.frames[-1].rough)
    painter.show(None, WISH)
    time.sleep(0.1)
    before = len(view.frames)
    painter.show(TABLE, WISH)
    until(lambda: len(view.frames) > before)


def test_a_table_that_can_t_be_opened_is_said_once(painter, view):
    small = Picture.of(np.zeros((1, 1, 3), np.uint8), "dot")
    painter.show(Table(small, (SWIRLS,)), Wish(form=(1.0,), colour=(1.0,)))
    until(lambda: view.failures)
    time.sleep(0.5)
    assert len(view.failures) == 1
    assert "too small" in view.failures[0]
    painter.show(TABLE, WISH)
    until(lambda: view.frames)


def test_a_painting_that_fails_says_so_and_the_next_one_is_painted(painter, view, monkeypatch):
    monkeypatch.setattr(background, "_PAUSE", 0)

    def fail(frame):
        raise OSError(28, "No space left on device", "painting.png")

    view.at_frame = fail
    painter.paint(order(painter))
    assert painter.wait(PATIENCE)
    assert view.failures == ["painting.png: the disk is full"]
    view.at_frame = lambda frame: None
    painter.paint(order(painter))
    assert painter.wait(PATIENCE)
    assert len(view.paintings) == 1


@pytest.mark.parametrize(("suffix", "kind"), [(".webp", "WEBP"), (".gif", "GIF")])
def test_a_film_goes_there_and_back(painter, view, suffix, kind):
    painter.show(TABLE, WISH)
    until(lambda: view.frames and view.frames[-1].step)
    painter.film(FilmOrder(TABLE, WISH, 2, suffix))
    assert painter.wait(PATIENCE)
    assert not view.failures
    ((_, data, still),) = view.films
    with Image.open(io.BytesIO(data)) as film:
        assert film.format == kind
        # Frames that are alike are one, which is shown for as long as all of them.
        shown = []
        for number in range(film.n_frames):
            film.seek(number)
            film.load()
            shown.append(film.info["duration"])
    assert sum(shown) == pytest.approx(2000, rel=0.05)
    assert len(shown) > 1
    assert still.shape == (32, 32, 3)


def test_a_film_is_made_of_what_has_been_learnt(open_painter, view):
    """Asked for at once, when nothing is there to be filmed yet."""
    painter = open_painter(learning=PATIENCE)
    painter.show(TABLE, WISH)
    painter.film(FilmOrder(TABLE, WISH, 2, ".gif"))
    assert painter.wait(PATIENCE)
    assert not view.failures
    assert len(view.films) == 1
    begun = [work.done for work in view.works if work.kind == "film" and work.done is not None]
    assert begun == sorted(begun)
    assert begun[0] == 0 < begun[-1] <= 1
    assert begun[-1] > 0.5  # at the last look, a quarter of a second before
    assert view.frames  # of what is learnt


def test_who_waits_for_a_film_knows_how_long(open_painter, view):
    painter = open_painter(learning=PATIENCE)
    painter.rates["live"] = 0.1 / 32**2  # seconds a step, as it was known before
    painter.show(TABLE, WISH)
    painter.film(FilmOrder(TABLE, WISH, 2, ".gif"))
    until(lambda: any(work.kind == "film" and work.seconds_left for work in view.works))
    first = next(work for work in view.works if work.kind == "film" and work.seconds_left)
    assert first.seconds_left == pytest.approx(0.1 * 350 * (1 - first.done))
    painter.stop()


def test_a_film_can_be_stopped_while_it_is_learnt(open_painter, view):
    painter = open_painter(learning=PATIENCE)
    painter.show(TABLE, WISH)
    painter.film(FilmOrder(TABLE, WISH, 2, ".gif"))
    until(lambda: any(work.kind == "film" and work.done for work in view.works))
    painter.stop()
    assert painter.wait(PATIENCE)
    assert not view.films
    assert not view.failures


def test_a_film_is_of_what_lay_there_when_it_was_asked_for(painter, view):
    wide = Picture.of(tiny(dots)[:16], "wide")
    painter.show(TABLE, WISH)
    until(lambda: view.frames)
    painter.paint(order(painter))
    painter.film(FilmOrder(TABLE, WISH, 2, ".gif"))
    painter.show(Table(wide, (INK, GLASS)), WISH)
    assert painter.wait(PATIENCE)
    ((asked, _, still),) = view.films
    assert asked.table == TABLE
    assert still.shape == (32, 32, 3)
    until(lambda: view.frames[-1].image.shape[:2] == (16, 32))
    assert not view.failures


def test_a_film_of_one_style_is_refused(painter):
    with pytest.raises(ValueError, match="add another one"):
        painter.film(FilmOrder(Table(PHOTO, (SWIRLS,)), WISH, 2, ".gif"))


@pytest.fixture
def asked(monkeypatch):
    """What DeepLab is asked about; there is somebody in PHOTO alone."""
    asked = []

    class Found:
        def __init__(self, photo):
            self.classes = {"person": 0.5} if photo is PHOTO.data else {}

        def mask(self, keep, invert=False):
            return np.full((32, 32), 0.5, np.float32)

    def segment(photo, progress):
        asked.append(photo)
        return Found(photo)

    monkeypatch.setattr("mnst.masks.segmentation.segment", segment)
    return asked


def test_people_are_looked_for_once(painter, view, asked):
    painter.find_people(PHOTO)
    painter.find_people(PHOTO)
    assert painter.wait(PATIENCE)
    assert len(asked) == 1
    assert [photo for photo, _ in view.people] == [PHOTO, PHOTO]
    painter.show(TABLE, Wish(form=SHARES, colour=SHARES, keep_people=True))
    until(lambda: view.frames)
    assert len(asked) == 1


def test_a_painting_waits_for_who_is_in_the_photo(painter, view, asked):
    wish = dataclasses.replace(WISH, keep_people=True)
    empty = Table(INK, (SWIRLS, GLASS))
    for table in (TABLE, empty):
        painter.find_people(table.photo)
        painter.paint(order(painter, wish, table=table))
    painter.film(FilmOrder(empty, wish, 2, ".gif"))
    assert painter.wait(PATIENCE)
    assert [made.wish.keep_people for made, _ in view.paintings] == [True, False]
    assert view.paintings[0][1].settings["options"]["keep"] == "person"
    assert not view.films[0][0].wish.keep_people
    assert not view.failures


def test_stop_does_not_end_the_search_for_people(painter, view, asked):
    painter.paint(order(painter))
    painter.find_people(PHOTO)
    painter.paint(order(painter))
    painter.stop()
    assert painter.wait(PATIENCE)
    assert len(view.people) == 1
    assert len(view.paintings) <= 1  # the first, as far as it came


def test_closed_it_ends_its_threads_and_refuses(painter, view):
    painter.show(TABLE, WISH)
    until(lambda: view.frames)
    painter.close()
    until(lambda: not threads())
    with pytest.raises(ValueError, match="closed"):
        painter.show(TABLE, WISH)
    with pytest.raises(ValueError, match="closed"):
        painter.paint(order(painter))


def test_nothing_is_told_after_it_was_closed(painter, view):
    painter.show(TABLE, WISH)
    until(lambda: view.works)
    painter.close()
    told = len(view.works), len(view.frames)
    time.sleep(0.5)
    assert (len(view.works), len(view.frames)) == told


@pytest.mark.parametrize(
    ("options", "said"),
    [({"recipe": "fin"}, "fine"), ({"steps": 0}, "steps"), ({"recipe": 3}, "recipe")],
)
def test_options_are_checked_at_once(options, said, tripwire):
    with pytest.raises((ValueError, TypeError), match=said):
        BackgroundPainter(Listener(), options=options)


def test_nothing_is_learnt_while_nobody_looks(open_painter, view):
    painter = BackgroundPainter(
        view, options={"recipe": RECIPE, "backbone": "vgg19-lite", "size": 32}
    )
    try:
        painter.show(TABLE, WISH)
        until(lambda: view.frames and view.works[-1].kind == "live")
        painter.look(seen=False)
        until(lambda: view.works[-1].kind == "idle")
        steps = view.frames[-1].step
        time.sleep(1)
        assert view.frames[-1].step <= steps + 1
        painter.paint(order(painter))  # which is painted all the same
        assert painter.wait(PATIENCE)
        assert view.paintings
        count = len(view.works)
        painter.look(seen=True)
        until(lambda: any(work.kind == "live" for work in view.works[count:]))
    finally:
        painter.close()
