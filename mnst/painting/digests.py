"""What tells one run from all others: a hash of all that it depends on."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np

from mnst.painting.scene import AsRead


def digest(*parts: Any) -> str:
    """Returns a hash of numbers, texts, arrays, pictures as read, and lists and dicts of them.

    Example:
        >>> from mnst.painting.digests import digest
        >>> digest([1, "two"])[:12], digest([1, "three"])[:12]
        ('0684d552f676', '8fcca6b8872a')
    """
    hashed = hashlib.sha256()

    def add(array: np.ndarray) -> str:
        hashed.update(f"{array.dtype}{array.shape}".encode())
        hashed.update(np.ascontiguousarray(array).data)
        return "array"

    def plain(value: Any) -> Any:
        if isinstance(value, AsRead):
            return [value.pixels, value.alpha]
        return add(value) if isinstance(value, np.ndarray) else str(value)

    for part in parts:
        hashed.update(json.dumps(part, default=plain, sort_keys=True).encode() + b"\0")
    return hashed.hexdigest()
