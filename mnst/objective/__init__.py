"""What a picture is measured against: the terms of the loss, and how styles are mixed in them.

To add a term, write a file like those of the built-in ones, and list it here.
"""

from mnst.objective.content import Content
from mnst.objective.gram import Gram
from mnst.objective.moments import Moments
from mnst.objective.terms import PICTURE, Losses, Mix, Seen, Term
from mnst.objective.total_variation import TotalVariation

TERMS: dict[str, type[Term]] = {
    term.name: term for term in (Content, Gram, Moments, TotalVariation)
}
"""The terms that come with mnst, by name."""

__all__ = [
    "PICTURE",
    "TERMS",
    "Content",
    "Gram",
    "Losses",
    "Mix",
    "Moments",
    "Seen",
    "Term",
    "TotalVariation",
]
