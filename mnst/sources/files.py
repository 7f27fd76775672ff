"""Files from http(s) addresses into places of their own, with a bar, and with their hash."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from pathlib import Path

from tqdm import tqdm

from mnst import images
from mnst.errors import one_line
from mnst.sources.releases import Release

_LARGEST = 2**31  # bytes of a download
_SECONDS = 3600  # that it may take in all


def download(release: Release, address: str, path: Path, *, timeout: float) -> Path:
    """Downloads a release's file to a path, whole or not at all, and returns the path.

    Args:
        release: Says what the file has to be.
        address: Where it is.
        path: Where to; its folder is made.
        timeout: Seconds of silence after which it is given up.

    Raises:
        DownloadError: If it doesn't come, or another file does.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with images.replacing(path) as file, _bar(address) as bar:
            images.download_into(
                file, address, limit=_LARGEST, seconds=_SECONDS, timeout=timeout, arrived=bar
            )
            file.flush()
            release.check(address, functools.partial(images.file_digest, file.name))
    except images.DownloadError:
        raise
    except (OSError, ValueError) as error:
        raise images.DownloadError(address, one_line(error)) from None
    return path


@contextlib.contextmanager
def _bar(address: str) -> Iterator[Callable[[int, int | None], None]]:
    """Shows a download on standard error; gives what to call with the bytes that have come."""
    with tqdm(desc=address, unit="B", unit_scale=True, unit_divisor=1024) as bar:

        def arrived(count: int, expected: int | None) -> None:
            bar.total = expected
            bar.update(count - bar.n)

        yield arrived
