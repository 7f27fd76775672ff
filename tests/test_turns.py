"""Turns: who shares a machine is served in order, and nobody waits for one who has gone."""

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from mnst.studio.turns import Turns

PATIENCE = 30


def keeps_waiting():
    return False


class Visitor:
    """Somebody who waits for a turn in a thread of their own."""

    def __init__(self, turns, name, at_work=None):
        self.told, self.gone, self.served = [], threading.Event(), None
        self._turns, self._name, self._at_work = turns, name, at_work
        self._thread = threading.Thread(target=self._wait, daemon=True)
        self._thread.start()

    def _wait(self):
        self.served = self._turns.take(
            self._name, waiting=self.told.append, given_up=self.gone.is_set
        )
        if self.served and self._at_work is not None:
            self._at_work.append(self._name)

    def heard(self, before):
        """Waits until they know how many are before them."""
        until(lambda: self.told[-1:] == [before])

    def ended(self):
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), "still waiting"
        return self.served


def until(holds):
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, "still not so"
        time.sleep(0.001)


def test_turns_come_in_the_order_in_which_they_were_asked_for():
    turns, at_work = Turns(), []
    line = []
    for before, name in enumerate("abcd"):
        line.append(Visitor(turns, name, at_work))
        line[-1].ended() if before == 0 else line[-1].heard(before)
    for place, visitor in enumerate(line):
        assert visitor.ended() is True
        for before, other in enumerate(line[place + 1 :], 1):
            other.heard(before)
        turns.give_back("abcd"[place])
    assert at_work == list("abcd")
    assert [visitor.told for visitor in line] == [[], [1], [2, 1], [3, 2, 1]]


def test_one_who_has_a_turn_keeps_it_until_it_is_given_back():
    turns = Turns()
    assert Visitor(turns, "a").ended()
    second = Visitor(turns, "b")
    second.heard(1)
    for _ in range(3):
        assert Visitor(turns, "a").ended()  # at once
    assert second.served is None
    turns.give_back("a")
    assert second.ended()
    # Who comes back stands behind.
    last = Visitor(turns, "a")
    last.heard(1)
    turns.give_back("b")
    assert last.ended()


def test_who_gives_up_makes_room():
    turns = Turns()
    assert Visitor(turns, "a").ended()
    second, third = Visitor(turns, "b"), None
    second.heard(1)
    third = Visitor(turns, "c")
    third.heard(2)
    second.gone.set()
    assert second.ended() is False
    third.heard(1)
    turns.give_back("a")
    assert third.ended() is True


def test_who_has_given_up_before_waits_for_nothing():
    turns = Turns()
    assert Visitor(turns, "a").ended()
    assert turns.take("b", waiting=lambda _: None, given_up=lambda: True) is False
    turns.give_back("a")
    # With nobody before them they have it, wanted or not.
    assert turns.take("b", waiting=lambda _: None, given_up=lambda: True) is True


@pytest.mark.parametrize("at_once", [2, 3])
def test_several_at_a_time(at_once):
    turns = Turns(at_once)
    line = []
    for place in range(6):
        line.append(Visitor(turns, place))
        line[-1].ended() if place < at_once else line[-1].heard(place - at_once + 1)
    # Whoever is ready first makes room for the one who has waited longest.
    turns.give_back(at_once - 1)
    assert line[at_once].ended()
    assert [visitor.served for visitor in line[at_once + 1 :]] == [None] * (5 - at_once)
    for place in range(6):
        assert line[place].ended()
        turns.give_back(place)


def test_a_wish_can_be_ended_by_another():
    turns = Turns()
    assert Visitor(turns, "a").ended()
    second = Visitor(turns, "b")
    second.heard(1)
    turns.give_back("b")
    assert second.ended() is False


def test_one_who_has_nothing_gives_nothing_back():
    turns = Turns()
    assert Visitor(turns, "a").ended()
    second = Visitor(turns, "b")
    second.heard(1)
    turns.give_back("nobody")
    turns.give_back("nobody")
    assert second.served is None
    turns.give_back("a")
    turns.give_back("a")
    assert second.ended()


@pytest.mark.parametrize("at_once", [1, 3])
def test_a_crowd(at_once):
    """Never more than may are at work, and everybody who stays is served."""
    turns, lock = Turns(at_once), threading.Lock()
    at_work, most = set(), 0

    def come(number):
        nonlocal most
        dice, served = random.Random(number), 0
        for _ in range(20):
            gives_up = dice.random() < 0.2
            if not turns.take(number, waiting=lambda _: None, given_up=lambda: gives_up):  # noqa: B023
                assert gives_up
                continue
            with lock:
                at_work.add(number)
                most = max(most, len(at_work))
            time.sleep(dice.random() / 1000)
            with lock:
                at_work.discard(number)
            turns.give_back(number)
            served += not gives_up
        return served

    with ThreadPoolExecutor(10) as crowd:
        assert all(served > 5 for served in crowd.map(come, range(10)))
    assert most == at_once
    # Nobody is left in the line.
    assert turns.take("last", waiting=lambda _: None, given_up=keeps_waiting)


def test_one_who_works_for_long_is_told_to_let_others(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("mnst.studio.turns.time.monotonic", lambda: clock[0])
    turns = Turns(most=60)
    turns.take("a", waiting=print, given_up=keeps_waiting)
    clock[0] = 100
    assert not turns.is_over("a")  # nobody waits
    waits = Visitor(turns, "b")
    waits.heard(1)
    assert turns.is_over("a")
    assert not turns.is_over("b")
    turns.give_back("a")
    waits.ended()
    assert not turns.is_over("b")
    assert not turns.is_over("a")
