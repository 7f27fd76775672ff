"""Turns: several who share a machine are served one after the other, as they came."""

from __future__ import annotations

import threading
from collections.abc import Callable

_LOOK = 0.5  # seconds between two looks at whether somebody has given up


class Turns:
    """Lets so many work at a time, in the order in which they asked.

    Args:
        at_once: How many.

    Example:
        >>> from mnst.studio.turns import Turns
        >>> turns = Turns()
        >>> turns.take("a", waiting=print, given_up=lambda: False)
        True
        >>> turns.take("b", waiting=print, given_up=lambda: True)
        1
        False
    """

    def __init__(self, at_once: int = 1) -> None:
        self._at_once = at_once
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
            return who in self._line

    def _before(self, who: object) -> int:
        return self._line.index(who) - self._at_once + 1

    def give_back(self, who: object) -> None:
        """Ends a turn, or the wish for one."""
        with self._changed:
            if who in self._line:
                self._line.remove(who)
                self._changed.notify_all()
