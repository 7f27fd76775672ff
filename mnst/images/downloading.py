"""Pictures from http(s) addresses."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.parse
import urllib.request

from mnst import __version__

LIMIT = 256 * 2**20  # bytes
TIMEOUT = 30  # seconds without a byte


def is_address(text: str) -> bool:
    """True for http(s) addresses, which TensorFlow Hub's and Kaggle's handles are, too."""
    return text.lower().startswith(("http://", "https://"))


def download(address: str) -> bytes:
    """Returns what an address holds, or raises what stands against it, in a line."""
    quoted = urllib.parse.quote(address, safe="%/:=&?~#+!$,;'@()*[]")  # letters beyond ASCII
    try:
        request = urllib.request.Request(quoted, headers={"User-Agent": f"mnst/{__version__}"})
        with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
            data: bytes = response.read(LIMIT + 1)
            missing = response.length  # what the server announced and did not send
    except (OSError, http.client.HTTPException, ValueError) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()
        reason = getattr(error, "reason", None) or str(error) or type(error).__name__
        code = f"{error.code} " if isinstance(error, urllib.error.HTTPError) else ""
        raise OSError(f"{address}: can't be downloaded ({code}{reason})") from None
    if len(data) > LIMIT:
        raise ValueError(f"{address}: larger than {LIMIT >> 20} MiB; give a smaller file")
    if missing:
        raise OSError(f"{address}: broken off, {missing} bytes are missing; try again")
    return data
