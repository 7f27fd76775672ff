"""Axes to plot on. Matplotlib is imported when something is plotted."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def axes(given: Axes | None) -> Axes:
    """Returns the axes that were given, or those of a new figure."""
    if given is not None:
        return given
    from matplotlib import pyplot

    return pyplot.subplots(layout="constrained")[1]


def log_axis(ax: Axes) -> Axes:
    """Makes the y axis logarithmic, with plain numbers: 0.1, not 10^-1 or 1e-01."""
    from matplotlib.ticker import LogFormatter

    class PlainFormatter(LogFormatter):
        def __call__(self, x: float, pos: int | None = None) -> str:
            return f"{x:g}" if super().__call__(x, pos) else ""

    ax.set_yscale("log")
    ax.yaxis.set_major_formatter("{x:g}")
    # Labels between the decades where there are few of those.
    ax.yaxis.set_minor_formatter(PlainFormatter(minor_thresholds=(2, 0.5)))
    return ax
