"""Turns: several who share a machine are served one after the other, as they came."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_LOOK = 0.5  # seconds between two looks at whether somebody has given up


class Turns:
    """Lets so many work at a time, in the order in which they asked.

    Args:
        at_once: How many.
        most: Seconds that somebody may work while others wait.

    Example:
        >>> from mnst.studio.turns import Turns
        >>> turns = Turns()
        >>> turns.take("a", waiting=print, given_up=lambda: False)
        True
        >>> turns.take("b", waiting=print, given_up=lambda: True)
        1
        False
    """

    def __init__(self, at_once: int = 1, *, most: float = 120.0) -> None:
        self._at_once, self._most = at_once, most
        self._since: dict[object, float] = {}  # when those at work began
        self._line: list[object] = []  # those at work first
        self._changed = threading.Condition()

    def take(
        self, who: object, *, waiting: Callable[[int], object], given_up: Callable[[], bool]
    ) -> bool:
        """Waits for a turn; one who has it keeps it.

        Args:
            who: Who wants to work.
            waiting: Called with how many are before, whenever that has changed.
            given_up: Asked now and then whether it is not wanted any more.

        Returns:
            Whether it is their turn: False, if they gave up, or `give_back` ended the wish.
        """
        told = None
        with self._changed:
            if who not in self._line:
                self._line.append(who)
            while who in self._line and (before := self._before(who)) > 0:
                if before != told:
                    waiting(before)
                    told = before
                if given_up():
                    self._line.remove(who)
                    self._changed.notify_all()
                    return False
                self._changed.wait(_LOOK)
            if who in self._line:
                self._since.setdefault(who, time.monotonic())
            return who in self._line

    def is_over(self, who: object) -> bool:
        """Whether somebody has worked for long, and others wait: then it is to be given back."""
        with self._changed:
            began = self._since.get(who)
            others = len(self._line) > self._at_once
            return others and began is not None and time.monotonic() - began >= self._most

    def _before(self, who: object) -> int:
        return self._line.index(who) - self._at_once + 1

    def give_back(self, who: object) -> None:
        """Ends a turn, or the wish for one."""
        with self._changed:
            self._since.pop(who, None)
            if who in self._line:
                self._line.remove(who)
                self._changed.notify_all()
