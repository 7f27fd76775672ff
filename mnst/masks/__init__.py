"""What is kept of a photo: DeepLab, labels, masks."""

from collections.abc import Sequence
from typing import TypeAlias

Classes: TypeAlias = str | int | Sequence[str | int]
"""A class or several, by name or by the number of its label."""
