"""What tells a run from all others: a hash of all that it depends on."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np

from mnst.painting.scene import AsRead


def digest(*parts: Any) -> str:
    """Returns a hash of numbers, texts, arrays, and lists and dicts of them."""
    found = hashlib.sha256()

    def add(array: np.ndarray) -> str:
        found.update(f"{array.dtype}{array.shape}".encode())
        found.update(np.ascontiguousarray(array).data)
        return "array"

    def plain(value: Any) -> Any:
        if isinstance(value, AsRead):
            return [value.pixels, value.alpha]
        return add(value) if isinstance(value, np.ndarray) else str(value)

    for part in parts:
        found.update(json.dumps(part, default=plain, sort_keys=True).encode() + b"\0")
    return found.hexdigest()
