"""The figures of the article and of the paper, and what they claim, beside what comes out here.

`article()`, `paper()` and `localized()` make the runs; what they return draws the figures and
states the claims in numbers. The originals' photographs are not ours to ship, so the pictures are
others.
"""

from mnst.figures._article import (
    ARTICLE_RATIO,
    ArticleFigures,
    article,
    closed_form,
    crossing,
    example,
)
from mnst.figures._common import GAMMAS, Claim
from mnst.figures._paper import ALPHA_BETA, LocalizedFigures, PaperFigures, localized, paper

__all__ = [
    "ALPHA_BETA",
    "ARTICLE_RATIO",
    "GAMMAS",
    "ArticleFigures",
    "Claim",
    "LocalizedFigures",
    "PaperFigures",
    "article",
    "closed_form",
    "crossing",
    "example",
    "localized",
    "paper",
]
