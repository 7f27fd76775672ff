"""Files and folders from Hugging Face and Kaggle, by these hubs' own packages.

Each package keeps what it has fetched in a cache of its own, where HF_HOME and KAGGLEHUB_CACHE say;
what lies there need not be fetched again. Who has to sign in does so with the package's own means.
"""

from __future__ import annotations

import contextlib
import importlib
import queue
import re
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from mnst.checks import check_path, shown
from mnst.errors import one_line
from mnst.images import DownloadError, sha256

_HUGGING_FACE, _KAGGLE = "hf://", "kaggle://"
_FORMS = {
    _HUGGING_FACE: "hf://owner/repository[@revision]/path",
    _KAGGLE: "kaggle://owner/model/framework/variation[/version][/path]",
}
_PART = r"[\w.-]+"
_ADDRESS = {
    _HUGGING_FACE: rf"(?P<handle>{_PART}/{_PART})(?:@(?P<revision>{_PART}))?(?:/(?P<path>.*))?",
    _KAGGLE: rf"(?P<handle>{_PART}/{_PART}/{_PART}/{_PART}(?:/\d+)?)(?:/(?P<path>.*))?",
}
SECONDS = 3600  # that a download may take in all
_LONGEST = 200  # letters of what a package says of a failure


@dataclass(frozen=True)
class HubAddress:
    """An address on one of the hubs, taken to pieces.

    Attributes:
        hub: "hf://" or "kaggle://".
        handle: The repository, or the model with its framework, variation and, if given, version.
        revision: A branch, a tag or a commit of the repository.
        path: Of a file within; of a folder, if it ends in "/"; empty for all of it.
        sha256: What the file's has to be, in hex.
    """

    hub: str
    handle: str
    revision: str | None
    path: str
    sha256: str | None


def is_hub_address(text: Any) -> bool:
    """True for texts that begin as addresses on Hugging Face or Kaggle do."""
    return isinstance(text, str) and text.startswith((_HUGGING_FACE, _KAGGLE))


def parse(name: str, text: str) -> HubAddress:
    """Takes an address to pieces; `name` is what to call it in errors.

    Raises:
        ValueError: If it is none.

    Example:
        >>> from mnst.sources.hubs import parse
        >>> parse("weights", "hf://me/styles@v2/vgg19.h5").revision
        'v2'
    """
    hub = _HUGGING_FACE if text.startswith(_HUGGING_FACE) else _KAGGLE
    place, mark, fragment = text[len(hub) :].partition("#")
    found = re.fullmatch(_ADDRESS[hub], place)
    parts = {} if found is None else found.groupdict()
    path = parts.get("path") or ""
    if found is None or ".." in path.split("/") or "\\" in path:
        raise ValueError(f"{name} is {shown(text)}: give {_FORMS[hub]}")
    digest = re.fullmatch("sha256=([0-9a-fA-F]{64})", fragment)
    if mark and digest is None:
        raise ValueError(f"{name} is {shown(text)}: give #sha256= and its 64 digits, or nothing")
    expected = digest[1].lower() if digest else None
    return HubAddress(hub, parts["handle"], parts.get("revision"), path, expected)


def check_place(name: str, value: Any) -> Path | str:
    """Returns a path, given one or its text; or an address on a hub, which has to be well formed.

    Raises:
        ValueError: If the address isn't, or the path is empty.
        TypeError: If it is neither.
    """
    if not is_hub_address(value):
        return check_path(name, value)
    parse(name, value)
    return str(value)


def fetch(text: str, ending: str) -> Path:
    """Returns where a file or a folder of a hub lies, once it is there.

    Args:
        text: Its address.
        ending: Of a folder with one such file, the file is taken.

    Raises:
        DownloadError: If the package is missing, it can't be had, or it is another file by its
            hash.
    """
    address = parse("address", text)
    get = _from_hugging_face if address.hub == _HUGGING_FACE else _from_kaggle
    try:
        # Standard output is for what was asked for; kagglehub writes its progress there.
        with contextlib.redirect_stdout(sys.stderr):
            place = Path(_in_time(lambda: get(address)))
    except DownloadError:
        raise
    except Exception as error:  # the packages, and those beneath them, raise what they please
        raise DownloadError(text, one_line(_first_cause(error))[:_LONGEST]) from None
    files = sorted(place.rglob(f"*{ending}")) if place.is_dir() else []
    place = files[0] if len(files) == 1 else place
    if address.sha256 is not None:
        _check_hash(text, place, address.sha256)
    return place


def _in_time(get: Callable[[], str]) -> str:
    """Gives up what takes too long: kagglehub waits for a silent server as long as it takes."""
    outcome: queue.SimpleQueue[tuple[str, Exception | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            outcome.put((get(), None))
        except Exception as error:
            outcome.put(("", error))

    threading.Thread(target=run, daemon=True).start()
    try:
        found, error = outcome.get(timeout=SECONDS)
    except queue.Empty:
        raise TimeoutError(f"it takes longer than {SECONDS:g} seconds") from None
    if error is not None:
        raise error
    return found


def _first_cause(error: BaseException) -> BaseException:
    """Returns what an error began with; what came after says in general that something failed."""
    inner = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return error if inner is None else _first_cause(inner)


def _check_hash(text: str, place: Path, expected: str) -> None:
    if place.is_dir():
        raise DownloadError(text, "a folder has no SHA-256; give the path of a file in it")
    if sha256(place) != expected:
        raise DownloadError(text, f"{place} is another file, by its hash")


def _from_hugging_face(address: HubAddress) -> str:
    hub = _package("huggingface_hub", _HUGGING_FACE)
    at: dict[str, Any] = {"repo_id": address.handle, "revision": address.revision}
    if address.path and not address.path.endswith("/"):
        return str(hub.hf_hub_download(filename=address.path, **at))
    within = f"{address.path}*" if address.path else None
    return str(Path(hub.snapshot_download(allow_patterns=within, **at), address.path))


def _from_kaggle(address: HubAddress) -> str:
    hub = _package("kagglehub", _KAGGLE)
    folder = not address.path or address.path.endswith("/")
    found = hub.model_download(address.handle, None if folder else address.path)
    return str(Path(found, address.path) if folder else found)


def _package(name: str, hub: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise DownloadError(hub, f"{name} is missing; pip install 'mnst[hubs]'") from None
