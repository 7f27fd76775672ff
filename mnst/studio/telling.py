"""What pages are told of things, as JSON holds it; and how it is said in words."""

from __future__ import annotations

import math
from typing import Any

from mnst.engine.planning import duration
from mnst.errors import one_line
from mnst.studio.background import Work
from mnst.studio.pictures import STAGE, THUMBNAIL, Exhibit, Picture
from mnst.studio.store import Entry

_SIDES = ("width", "height")


def of_photo(photo: Picture) -> dict[str, Any]:
    """Tells of a photo."""
    sides = {"width": photo.width, "height": photo.height}
    return {"name": photo.name, **sides, "picture": f"{photo.key}/{STAGE}"}


def of_style(key: str, style: Picture) -> dict[str, Any]:
    """Tells of a style on the table."""
    picture = f"{style.key}/{THUMBNAIL}"
    return {"id": key, "name": style.name, "credit": style.credit, "picture": picture}


def of_exhibit(exhibit: Exhibit) -> dict[str, Any]:
    """Tells of what is on offer; what is far away has no picture."""
    said = {"id": exhibit.key, "name": exhibit.name, "credit": exhibit.credit}
    return {**said, "picture": None if exhibit.far else f"exhibit:{exhibit.key}/{THUMBNAIL}"}


def of_entry(entry: Entry, most: float = math.inf) -> dict[str, Any]:
    """Tells of a painting or a film in the history.

    Args:
        entry: That.
        most: Pixels that the longer side of a painting may have.
    """
    side = max(entry.height, entry.width)
    larger = [
        {"times": times, **{of: round(getattr(entry, of) * size / side) for of in _SIDES}}
        for times, size in (entry.larger(most) if entry.kind == "painting" else {}).items()
    ]
    same = ("id", "name", "kind", "width", "height", "made", "seconds", "text", "suffix")
    return {
        **{name: getattr(entry, name) for name in same},
        "picture": f"entry:{entry.id}/{THUMBNAIL}",
        "larger": larger,
        "complete": entry.complete,
    }


def of_shown(entry: Entry | None) -> dict[str, Any] | None:
    """Tells of a painting that fills the page."""
    if entry is None:
        return None
    sides = {"width": entry.width, "height": entry.height}
    picture = f"entry:{entry.id}/full"
    return {"id": entry.id, "picture": picture, **sides, "like": entry.text, "text": entry.name}


def of_work(work: Work, *, previews: bool, can_stop: bool) -> dict[str, Any]:
    """Tells what the painter is at.

    Args:
        work: That.
        previews: Whether there is a preview.
        can_stop: Whether something was asked for that can be broken off.
    """
    left = None if work.seconds_left is None else max(1, round(work.seconds_left))
    film = "Making the film" if work.done is None else "Learning for the film"
    said = {
        "idle": "The preview is as sharp as it gets" if previews else "",
        "opening": "Getting to know the pictures",
        "live": "The preview is getting sharper",
        "segmenting": "Looking for people",
        "painting": _with_time("Painting", left),
        "film": _with_time(film, left),
    }[work.kind]
    done = None if work.done is None else round(work.done, 3)
    return {
        "kind": work.kind,
        "text": said,
        "done": done,
        "seconds_left": left,
        "can_stop": can_stop,
    }


def _with_time(said: str, left: int | None) -> str:
    return said if left is None else f"{said}: {duration(left)} left"


def in_line(before: int) -> str | None:
    """Says how many are served first."""
    if not before:
        return None
    return "Somebody else is before you" if before == 1 else f"{before} others are before you"


def coarsely(seconds: float) -> int:
    """Returns seconds as one says them: nobody knows them better than by a few.

    Example:
        >>> from mnst.studio.telling import coarsely
        >>> coarsely(3.4), coarsely(43), coarsely(500)
        (3, 45, 510)
    """
    step = 1 if seconds < 10 else 5 if seconds < 120 else 30
    return max(1, step * round(seconds / step))


def in_words(error: BaseException) -> str:
    """Returns an error's message as a sentence begins, unless that is a name.

    Example:
        >>> from mnst.studio.telling import in_words
        >>> in_words(ValueError("this style is gone")), in_words(OSError("a.png: is no picture"))
        ('This style is gone', 'a.png: is no picture')
    """
    said = one_line(error)
    named = ":" in said.partition(" ")[0]
    return said if named else said[:1].upper() + said[1:]
