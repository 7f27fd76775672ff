"""Messages between a page and its studio: an object in JSON, and the bytes of pictures.

A message is the length of a text, four bytes with the lowest first; the text, JSON with the object
and the sizes of the parts; and the parts, one after the other. What a page sends is believed in
nothing: all of it is checked here, before anybody acts on it.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any

_WORD = 4  # bytes of the length
_LONGEST = 2**18  # bytes of the text; pictures are parts
_MOST_PARTS = 32
_DEEPEST = 8


class MessageError(ValueError):
    """A message that no page of ours sends."""


def packed(message: Mapping[str, Any], parts: Sequence[bytes] = ()) -> bytes:
    """Returns a message as bytes.

    Example:
        >>> from mnst.studio.messages import packed, unpacked
        >>> unpacked(packed({"do": "photo", "name": "a.jpg"}, [b"..."]))
        ({'do': 'photo', 'name': 'a.jpg'}, [b'...'])
    """
    text = json.dumps({"message": message, "sizes": [len(part) for part in parts]}).encode()
    return b"".join([len(text).to_bytes(_WORD, "little"), text, *parts])


def unpacked(data: bytes) -> tuple[dict[str, Any], list[bytes]]:
    """Returns the object and the parts of a message.

    Raises:
        MessageError: If it isn't one.
    """
    end = _WORD + int.from_bytes(data[:_WORD], "little")
    if len(data) < _WORD or not _WORD < end <= min(len(data), _WORD + _LONGEST):
        raise MessageError("a text of a wrong length")
    try:
        read = json.loads(str(data[_WORD:end], "utf-8"), parse_constant=_no_json)
    except (ValueError, RecursionError):
        raise MessageError("a text that isn't JSON") from None
    if not isinstance(read, dict) or read.keys() != {"message", "sizes"}:
        raise MessageError("another object than a message")
    sizes = read["sizes"]
    if not isinstance(sizes, list) or len(sizes) > _MOST_PARTS or not all(map(_is_size, sizes)):
        raise MessageError("sizes that are none")
    bounds = list(itertools.accumulate(sizes, initial=end))
    if bounds[-1] != len(data):
        raise MessageError("sizes that don't divide the message")
    parts = [bytes(data[low:high]) for low, high in itertools.pairwise(bounds)]
    return checked(read["message"]), parts


def checked(message: Any) -> dict[str, Any]:
    """Returns a message that says what to do; a notebook's are read already.

    Raises:
        MessageError: If it doesn't.
    """
    if not isinstance(message, dict) or not isinstance(message.get("do"), str):
        raise MessageError("an object that doesn't say what to do")
    if _deeper(message, _DEEPEST):
        raise MessageError("an object that is too deep")
    return message


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _no_json(name: str) -> None:
    raise ValueError(f"{name} isn't JSON")


def _deeper(value: Any, depth: int) -> bool:
    """Whether lists and objects lie within each other more than so deep."""
    level = [value]
    for _ in range(depth):
        level = [inner for outer in level for inner in _inner(outer)]
    return bool(level)


def _inner(value: Any) -> list[Any]:
    values = value.values() if isinstance(value, dict) else value
    return list(values) if isinstance(value, (dict, list)) else []
