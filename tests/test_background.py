"""What the crossfader shows: previews that continue from each other, broken off, and full."""

import gc
import itertools
import threading
import weakref
from types import SimpleNamespace

import numpy as np
import pytest
from scenes import SIDE, tiny

import mnst
from mnst.paintings import dots, glass, ink, swirls
from mnst.studio import background
from mnst.studio.background import BackgroundPainter, Position

FIRST = 60  # steps of a preview that has none to continue from
PICTURES = tiny(dots), [tiny(swirls), tiny(glass)]


class Watcher:
    """A listener that remembers; `at_step` is called at every step that is shown."""

    def __init__(self):
        self.seen = []
        self.at_step = lambda step: None

    def working(self, what):
        self.seen.append(("working", what))

    def showing(self, image, step, steps):
        self.seen.append(("showing", step, steps, image))
        self.at_step(step)

    def finished(self, result, *, full):
        self.seen.append(("finished", result, full))

    def failed(self, message):
        self.seen.append(("failed", message))

    def resting(self):
        self.seen.append(("resting",))

    def of(self, kind):
        return [event[1:] for event in self.seen if event[0] == kind]

    def forget(self):
        self.seen.clear()


@pytest.fixture
def view():
    return Watcher()


@pytest.fixture
def crossfader(view, monkeypatch):
    """Shows every step: a second passes whenever it looks at the clock."""
    clock = SimpleNamespace(monotonic=itertools.count().__next__)
    monkeypatch.setattr(background, "time", clock)
    options = {"size": SIDE, "steps": 4, "backbone": "vgg19-lite"}
    made = BackgroundPainter(view, preview_size=SIDE, options=options)
    made.open(*PICTURES)
    yield made
    made.close()
    assert "mnst" not in [thread.name for thread in threading.enumerate()]


def at(gamma, **options):
    return Position((gamma, 1 - gamma), **options)


def preview(crossfader, position):
    crossfader.preview(position)
    assert crossfader.wait(100)


@pytest.mark.slow
def test_a_preview_is_shown_as_it_grows(crossfader, view):
    preview(crossfader, at(0.5))
    assert view.of("failed") == []
    steps = [step for step, _, _ in view.of("showing")]
    assert steps == list(range(1, FIRST + 1))
    ((result, full),) = view.of("finished")
    assert not full
    np.testing.assert_array_equal(result.image, view.of("showing")[-1][2])
    assert result.settings["backbone"] == "vgg19-lite"
    assert result.settings["gamma"] == [0.5, 0.5]
    assert view.seen[-1] == ("resting",)


@pytest.mark.slow
def test_a_position_continues_from_the_nearest_that_is_painted(crossfader, view):
    for gamma in (0, 1):
        preview(crossfader, at(gamma))
    ends = [result for result, _ in view.of("finished")]
    for gamma, nearest in ((0.2, ends[0]), (0.9, ends[1])):
        view.forget()
        preview(crossfader, at(gamma, calibrate=False))
        (first, steps, image), *_ = view.of("showing")
        assert first == 0
        assert steps < FIRST
        np.testing.assert_array_equal(image, nearest.image)


@pytest.mark.slow
def test_farther_is_more_steps(crossfader, view):
    steps = []
    for gamma in (0.5, 0.55, 0.9):
        view.forget()
        preview(crossfader, at(gamma, calibrate=False))
        steps.append(view.of("showing")[-1][1])
    assert steps == [FIRST, 16 + 2, 16 + 14]


@pytest.mark.slow
def test_a_painted_position_is_there_at_once(crossfader, view):
    preview(crossfader, at(0.5))
    ((result, _),) = view.of("finished")
    view.forget()
    preview(crossfader, at(0.5))
    assert view.seen == [("finished", result, False), ("resting",)]


@pytest.mark.slow
def test_a_newer_position_breaks_off_the_older(crossfader, view):
    def move_on(step):
        if step == 3:
            view.at_step = lambda step: None
            for gamma in (0.3, 0.2, 0.1):
                crossfader.preview(at(gamma))

    view.at_step = move_on
    preview(crossfader, at(0.5))
    ((result, _),) = view.of("finished")
    assert result.settings["gamma"] == pytest.approx([0.1, 0.9])
    shown = [(step, steps) for step, steps, _ in view.of("showing")]
    # What lacks of the first is made up for; those in between were never begun.
    assert shown == [*((s, 60) for s in (1, 2, 3)), *((s, 60) for s in range(61))]


@pytest.mark.slow
def test_a_position_that_was_broken_off_is_finished_later(crossfader, view):
    view.at_step = lambda step: crossfader.stop() if step == 50 else None
    preview(crossfader, at(0.5))
    ((stopped, _),) = view.of("finished")
    assert not stopped.completed
    view.forget()
    preview(crossfader, at(0.5))
    assert [(step, steps) for step, steps, _ in view.of("showing")] == [
        (step, 10) for step in range(11)
    ]
    ((result, _),) = view.of("finished")
    assert result.completed


@pytest.mark.slow
def test_calibration_is_the_closed_form(crossfader, view):
    for calibrate in (True, False):
        preview(crossfader, at(0.5, calibrate=calibrate))
    (one, _), (other, _) = view.of("finished")
    transfer = mnst.StyleTransfer(*PICTURES, size=SIDE, backbone="vgg19-lite")
    assert one.settings["sigma"] == list(transfer.closed_form_sigma())
    assert other.settings["sigma"] == [1, 1]


@pytest.mark.slow
def test_three_styles(view):
    crossfader = BackgroundPainter(view, preview_size=SIDE)
    crossfader.open(tiny(dots), [tiny(swirls), tiny(glass), tiny(ink)])
    view.at_step = lambda step: crossfader.stop() if step == 2 else None
    preview(crossfader, Position((0.5, 0.25, 0.25)))
    crossfader.close()
    ((result, _),) = view.of("finished")
    assert result.settings["gamma"] == [0.5, 0.25, 0.25]


@pytest.mark.slow
def test_the_full_picture(crossfader, view):
    crossfader.render(at(0.5, calibrate=False))
    assert crossfader.wait(100)
    ((result, full),) = view.of("finished")
    assert full
    assert result.settings["recipe"]["name"] == "fine"
    assert [step for step, _, _ in view.of("showing")] == [1, 2, 3, 4]


@pytest.mark.slow
def test_the_slider_does_not_break_off_the_full_picture_but_stop_does(crossfader, view):
    view.at_step = lambda step: crossfader.preview(at(0.5)) if step == 2 else None
    crossfader.render(at(0.5))
    assert crossfader.wait(100)
    assert [(r.completed, full) for r, full in view.of("finished")] == [(True, True), (True, False)]
    view.forget()
    view.at_step = lambda step: crossfader.stop() if step == 2 else None
    crossfader.render(at(0.5))
    assert crossfader.wait(100)
    ((result, _),) = view.of("finished")
    assert not result.completed
    assert result.settings["steps"] == 2


def test_errors_are_told_in_a_line_and_it_goes_on(crossfader, view):
    preview(crossfader, Position((0.9, 0.9)))
    ((message,),) = view.of("failed")
    assert "gamma" in message
    assert "\n" not in message
    view.at_step = lambda step: crossfader.stop()
    preview(crossfader, at(0.5))
    assert len(view.of("finished")) == 1


def people(monkeypatch, mask):
    """Has `segment` find people, or None; returns what it was asked."""
    asked = []

    def segment(photo, *, progress):
        asked.append(photo)
        classes = {} if mask is None else {"person": 0.5}
        return SimpleNamespace(classes=classes, mask=lambda name: mask)

    monkeypatch.setattr("mnst.masks.segmentation.segment", segment)
    return asked


@pytest.mark.slow
def test_people_are_looked_for_once_and_kept(crossfader, view, monkeypatch):
    mask = np.zeros((SIDE, SIDE), np.float32)
    mask[:, : SIDE // 2] = 1
    asked = people(monkeypatch, mask)
    photo = PICTURES[0]
    view.at_step = lambda step: crossfader.stop() if step == 5 else None
    preview(crossfader, at(0.5, keep_people=True))
    view.at_step = lambda step: None
    crossfader.render(at(0.5, keep_people=True))
    assert crossfader.wait(100)
    assert view.of("failed") == []
    assert len(asked) == 1
    for result, _ in view.of("finished"):
        np.testing.assert_array_equal(result.image[:, : SIDE // 2], photo[:, : SIDE // 2])
        assert np.any(result.image[:, SIDE // 2 :] != photo[:, SIDE // 2 :])


def test_where_there_is_nobody_to_keep_it_says_so(view, monkeypatch):
    people(monkeypatch, None)
    crossfader = BackgroundPainter(view, preview_size=SIDE)
    crossfader.open(*PICTURES)
    preview(crossfader, at(0.5, keep_people=True))
    crossfader.close()
    assert view.of("failed") == [("no person was found in the photo: turn 'keep people' off",)]


def test_nothing_waits_for_the_painter(crossfader, view):
    """Questions are taken at once, whatever it is at, and from any thread."""
    held, go_on = threading.Event(), threading.Event()

    def hold(step):
        held.set()
        assert go_on.wait(10)

    view.at_step = hold
    crossfader.preview(at(0.5))
    assert held.wait(100)
    for gamma in np.linspace(0, 1, 1000):
        crossfader.preview(at(gamma))
    crossfader.stop()
    go_on.set()
    assert crossfader.wait(100)


def test_without_pictures_and_after_its_end(view):
    crossfader = BackgroundPainter(view)
    with pytest.raises(ValueError, match="there are no pictures"):
        crossfader.preview(at(0.5))
    crossfader.close()
    for ask in (crossfader.warm_up, lambda: crossfader.preview(at(0.5))):
        with pytest.raises(ValueError, match="the painter is closed"):
            ask()


def test_a_closed_painter_lets_go_of_its_pictures(crossfader, view):
    photo = tiny(dots).copy()
    held = weakref.ref(photo)
    crossfader.open(photo, PICTURES[1])
    view.at_step = lambda step: crossfader.stop()
    preview(crossfader, at(0.5))
    del photo
    assert held() is not None
    crossfader.close()
    gc.collect()
    assert held() is None
