"""What a page may say to its kernel, checked before Jupyter's own code reads it.

A message is a count, so many offsets, and the parts that lie between them: a channel, four objects
in JSON, and buffers. Jupyter's reader believes all of it; a count alone, in 12 bytes, has it make
billions of numbers.
"""

from __future__ import annotations

import itertools
import json
import struct
from typing import Any

PROTOCOL = "v1.kernel.websocket.jupyter.org"
"""The only protocol that is spoken; Jupyter's older one has no offsets that could be checked."""

# All that widgets send. None of them runs code: nobody but the server has a kernel do that.
_KINDS = {"comm_info_request", "comm_open", "comm_msg", "comm_close", "kernel_info_request"}
_TARGET = "jupyter.widget.control"  # asks for the widgets there are; no page makes widgets
_HEADER = ("msg_id", "msg_type", "session", "username", "date", "version")

_WORD = 8  # bytes of the count and of an offset
_FEWEST = 5  # a channel, header, parent header, metadata, content
_MOST = _FEWEST + 256  # every file of an upload is a buffer
_LONGEST = 2**20  # bytes of an object; pictures are buffers
_DEEPEST = 32


class MessageError(ValueError):
    """A message that no page of ours sends; `code` is that with which a websocket closes."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


def check(message: str | bytes) -> None:
    """Raises `MessageError` for all but well-formed messages of widgets."""
    if isinstance(message, str):
        raise MessageError(1003, "text; give bytes")
    channel, *parts = _parts(message)
    header, _, _, content = map(_object, parts[: _FEWEST - 1])
    if bytes(channel) != b"shell":
        raise MessageError(1008, "another channel; give shell")
    if not all(isinstance(header.get(name), str) for name in _HEADER):
        raise MessageError(1007, "a header that lacks something")
    if header["msg_type"] not in _KINDS:
        raise MessageError(1008, "a kind of message that widgets don't send")
    if header["msg_type"] == "comm_open" and content.get("target_name") != _TARGET:
        raise MessageError(1008, "a comm that pages don't open")


def _parts(message: bytes) -> list[memoryview]:
    """Returns what lies between the offsets; nothing is copied."""
    count = int.from_bytes(message[:_WORD], "little")
    start = _WORD * (count + 1)
    if not _FEWEST < count <= _MOST + 1 or start > len(message):
        raise MessageError(1002, "a wrong count of offsets")
    offsets = struct.unpack_from(f"<{count}Q", message, _WORD)
    ordered = all(low <= high for low, high in itertools.pairwise(offsets))
    if offsets[0] != start or offsets[-1] != len(message) or not ordered:
        raise MessageError(1002, "offsets that don't divide the message")
    return [memoryview(message)[low:high] for low, high in itertools.pairwise(offsets)]


def _object(part: memoryview) -> dict[str, Any]:
    """Reads an object in JSON that is neither long nor deep."""
    if len(part) > _LONGEST:
        raise MessageError(1009, f"an object of more than {_LONGEST} bytes")
    try:
        found = json.loads(str(part, "utf-8"), parse_constant=_no_json)
    except (ValueError, RecursionError):
        raise MessageError(1007, "a part that isn't JSON") from None
    if not isinstance(found, dict) or _deeper(found, _DEEPEST):
        raise MessageError(1007, "a part that isn't a plain object")
    return found


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
