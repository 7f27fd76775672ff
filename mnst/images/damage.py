"""Damage that Pillow passes over: rows that a file says it has, and doesn't hold."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import struct
import threading
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, _imaging

_PIECE = 2**16  # bytes to look at in one go
_ADAM7 = ((0, 8, 0, 8), (4, 8, 0, 8), (0, 4, 4, 8), (2, 4, 0, 4), (0, 2, 2, 4), (1, 2, 0, 2))
"""Where the first six passes of an interlaced PNG begin and how far they go: x, x, y, y."""

_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of a PNG, by its type of colour


class DamageError(Exception):
    """Some of the picture isn't there."""


def check_before_decoding(image: Image.Image, file: BinaryIO) -> None:
    """Raises what is wrong by a JPEG's length alone: libjpeg makes up what it lacks, in grey.

    Raises:
        DamageError: If it has less than a bit for a block of 8 x 8 pixels, which has two or more.
    """
    place = file.tell()
    length = file.seek(0, 2)
    file.seek(place)
    if image.format in ("JPEG", "MPO") and 8 * length < image.width * image.height / 64:
        raise DamageError(f"{length} bytes are too few for {image.width} x {image.height} pixels")


def check_decoded(image: Image.Image, file: BinaryIO) -> None:
    """Raises what is wrong with a PNG whose data ends early, but ends as it should.

    Pillow leaves the missing rows black. So it needs a look only where the last one is.

    Raises:
        DamageError: If rows are missing.
    """
    if image.format != "PNG":
        return
    file.seek(0)
    width, height, depth, colour, _, _, interlaced = struct.unpack(">II5B", file.read(29)[16:])
    last = image.crop((0, image.height - 1, image.width, image.height))
    if np.asarray(last).any() and not interlaced:
        return
    passes = [(0, 1, 0, 1)] if not interlaced else [*_ADAM7, (0, 1, 1, 2)]
    expected = 0
    for left, across, top, down in passes:
        columns, rows = -(-(width - left) // across), -(-(height - top) // down)
        if columns > 0:
            expected += max(rows, 0) * (1 + -(-columns * depth * _CHANNELS[colour] // 8))
    found = _inflated(file, expected)
    if found < expected:
        raise DamageError(f"{expected - found} of {expected} bytes of its pixels are missing")


def _inflated(file: BinaryIO, enough: int) -> int:
    """Returns how many bytes a PNG's pixels take, filters and all, counting up to `enough`."""
    file.seek(8)
    stream, count = zlib.decompressobj(), 0
    with contextlib.suppress(zlib.error):
        while len(head := file.read(8)) == 8 and count < enough and not stream.eof:
            length, kind = struct.unpack(">I4s", head)
            if kind != b"IDAT":
                file.seek(length + 4, 1)
                continue
            while length and (data := file.read(min(length, _PIECE))):
                length -= len(data)
                while data and not stream.eof:
                    count += len(stream.decompress(data, 16 * _PIECE))
                    data = stream.unconsumed_tail
            file.seek(4, 1)
    return count


_complaints = threading.local()


@contextlib.contextmanager
def libtiff_heard() -> Iterator[None]:
    """Raises what libtiff has to say of a TIFF while it is decoded.

    Of damaged fax data it only says so, on standard error, and goes on with the next row.

    Raises:
        DamageError: If it said something.
    """
    _listen_to_libtiff()
    heard: list[str] = []
    _complaints.heard = heard
    try:
        yield
    finally:
        del _complaints.heard
    if heard:
        raise DamageError(heard[0])


@functools.cache
def _listen_to_libtiff() -> Any:
    """Sets libtiff's handler of errors, which writes to standard error, to one that keeps them.

    It calls the handler in the thread that decodes. Where Pillow hides the libtiff that it was
    built with, nothing is changed. The handler is returned, since it has to live on.
    """

    def keep(module: bytes | None, message: bytes | None, _: int) -> None:
        # What the message's %s and %u stand for would take C to find out.
        words = (message or b"").decode(errors="replace").partition("%")[0].split()
        heard = getattr(_complaints, "heard", [])
        heard.append(f"{(module or b'libtiff').decode(errors='replace')}: {' '.join(words)}")

    kind = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p)
    handler = kind(keep)
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler(handler)
    return handler
