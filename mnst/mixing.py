"""The crossfader: pure functions on a few numbers, from gamma and sigma to shares and progress."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import SupportsFloat

# Shares written as decimals, such as (0.33, 0.33, 0.34), may miss 1 by their rounding.
_SUM_TOLERANCE = 1e-6


def style_shares(gamma: float | Sequence[float] | None, styles: int) -> tuple[float, ...]:
    """Returns the share g_k of every style.

    Args:
        gamma: The crossfader. With two styles a number in 0..1, the share of style 1, while
            style 2 has 1 - gamma (article, fig. 2; paper, eq. 7). With any number of styles a
            sequence of shares, none negative, that sum to 1. None is equal shares.
        styles: How many styles there are, 1 or more.

    Returns:
        One float per style; they sum to 1.

    Raises:
        ValueError: If there is no style, or gamma is out of range or does not fit the styles.

    Example:
        >>> from mnst.mixing import style_shares
        >>> style_shares(0.25, 2)
        (0.25, 0.75)
        >>> style_shares(None, 4)
        (0.25, 0.25, 0.25, 0.25)
    """
    if styles < 1:
        raise ValueError("no style was given: give at least one style image")
    if gamma is None:
        return (1 / styles,) * styles
    if not isinstance(gamma, Iterable):
        return _two_shares(float(gamma), styles)
    shares = _floats("gamma", gamma)
    if len(shares) != styles:
        raise ValueError(f"gamma has {len(shares)} shares for {styles} styles: give one for each")
    if any(not 0 <= share <= 1 for share in shares):
        raise ValueError(f"gamma is {_listed(shares)}: give shares between 0 and 1")
    if abs(sum(shares) - 1) > _SUM_TOLERANCE:
        raise ValueError(
            f"gamma is {_listed(shares)}, in sum {sum(shares):g}: shares must sum to 1"
        )
    return shares


def _two_shares(gamma: float, styles: int) -> tuple[float, ...]:
    if not 0 <= gamma <= 1:
        raise ValueError(f"gamma is {gamma:g}: give a number between 0 and 1")
    if styles == 1 and gamma == 1:
        return (1.0,)
    if styles != 2:
        raise ValueError(
            f"gamma is one number, {gamma:g}, for {styles} style{'s' * (styles > 1)}: "
            f"one number is for two styles; give a share for each"
        )
    return (gamma, 1 - gamma)


def style_sigmas(sigma: Sequence[float] | None, styles: int) -> tuple[float, ...]:
    """Returns the calibration weight sigma_k of every style (article, fig. 7).

    Args:
        sigma: One number above 0 per style, or None for no calibration: all 1.
        styles: How many styles there are.

    Raises:
        ValueError: If a sigma is not above 0, or there is not one per style.

    Example:
        >>> from mnst.mixing import style_sigmas
        >>> style_sigmas([1, 1.9], 2)
        (1.0, 1.9)
    """
    if sigma is None:
        return (1.0,) * styles
    if not isinstance(sigma, Iterable):
        raise ValueError(f"sigma is one number, {sigma}: give one for each style, as in 1, 1.9")
    sigmas = _floats("sigma", sigma)
    if len(sigmas) != styles:
        raise ValueError(f"sigma has {len(sigmas)} numbers for {styles} styles: give one for each")
    if any(not 0 < value < math.inf for value in sigmas):
        raise ValueError(f"sigma is {_listed(sigmas)}: give numbers above 0")
    return sigmas


def relative_improvement(start: Sequence[float], final: Sequence[float]) -> tuple[float, ...]:
    """Returns RI_k = L_style_k(c) / L_style_k(x_final) (article, fig. 5); above 1 is progress.

    The paper's equations 8 and 9 define the inverse under the same name: that is `loss_ratio`.

    Args:
        start: The style losses of the content image c, one per style.
        final: The style losses of the finished picture.

    Returns:
        One number per style; inf where the final loss is 0, nan where both are 0.

    Example:
        >>> import mnst
        >>> mnst.relative_improvement([8.0, 6.0], [2.0, 3.0])
        (4.0, 2.0)
    """
    return tuple(_ratio(a, b) for a, b in zip(start, final, strict=True))


def loss_ratio(start: Sequence[float], final: Sequence[float]) -> tuple[float, ...]:
    """Returns r_k = L_style_k(x_final) / L_style_k(c) (paper, eq. 8 and 9); below 1 is progress.

    Args:
        start: The style losses of the content image c, one per style.
        final: The style losses of the finished picture.

    Returns:
        One number per style: the inverse of `relative_improvement`.

    Example:
        >>> import mnst
        >>> mnst.loss_ratio([8.0, 6.0], [2.0, 3.0])
        (0.25, 0.5)
    """
    return tuple(_ratio(b, a) for a, b in zip(start, final, strict=True))


def _ratio(numerator: float, denominator: float) -> float:
    if denominator == 0:
        return math.nan if numerator == 0 else math.inf
    return float(numerator) / float(denominator)


def _floats(name: str, values: Iterable[SupportsFloat]) -> tuple[float, ...]:
    try:
        return tuple(float(value) for value in values)
    except (TypeError, ValueError):
        raise ValueError(f"{name} is {values!r}: give a number for each style") from None


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)
