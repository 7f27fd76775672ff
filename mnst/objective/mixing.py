"""The crossfader: pure functions on a few numbers, from gamma and sigma to shares and progress."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, SupportsFloat

import numpy as np
from numpy.typing import ArrayLike

from mnst.checks import check_number, did_you_mean, shown

Shares = tuple[float, ...]
"""The share of each style."""

# Shares written as decimals, such as (0.33, 0.33, 0.34), may miss 1 by their rounding.
_SUM_TOLERANCE = 1e-6

SMALLEST_SHARE = 0.02
"""No style's share becomes smaller in calibration, so that it stays a style of the mixture."""

_MAX_TURNS = 10_000


def style_shares(
    gamma: float | Sequence[float] | None, styles: int, *, name: str = "gamma"
) -> Shares:
    """Returns the share g_k of every style.

    Args:
        gamma: The crossfader. With two styles a number in 0..1, the share of style 1, while
            style 2 has 1 - gamma (article, fig. 2; paper, eq. 7). With any number of styles a
            sequence of shares, none negative, that sum to 1. None is equal shares.
        styles: How many styles there are, 1 or more.
        name: What to call gamma in errors.

    Returns:
        One float per style; they sum to 1.

    Raises:
        ValueError: If there is no style, or gamma is out of range or does not fit the styles.

    Example:
        >>> from mnst.objective.mixing import style_shares
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
        return _two_shares(gamma, styles, name)
    shares = _floats(name, gamma)
    if len(shares) != styles:
        raise ValueError(f"{name} has {len(shares)} shares for {styles} styles: give one for each")
    if any(not 0 <= share <= 1 for share in shares):
        raise ValueError(f"{name} is {_listed(shares)}: give shares between 0 and 1")
    if abs(sum(shares) - 1) > _SUM_TOLERANCE:
        raise ValueError(
            f"{name} is {_listed(shares)}, in sum {sum(shares):g}: shares must sum to 1"
        )
    return shares


def _two_shares(gamma: float, styles: int, name: str) -> Shares:
    gamma = check_number(name, gamma, lambda share: 0 <= share <= 1, "between 0 and 1")
    if styles == 1 and gamma == 1:
        return (1.0,)
    if styles != 2:
        raise ValueError(
            f"{name} is one number, {gamma:g}, for {styles} style{'s' * (styles > 1)}: "
            f"one number is for two styles; give a share for each"
        )
    return (gamma, 1 - gamma)


def by_layer(
    gamma: Any,
    groups: Mapping[str, Sequence[str]],
    further: Iterable[str] = (),
    *,
    name: str = "gamma",
) -> dict[str, Any]:
    """Returns the gamma of each layer, given one for all, or some by the names of layers or groups.

    Args:
        gamma: Anything but a mapping is for all layers. In a mapping, a layer's own name goes
            before its group's; layers that are not named get None, which is equal shares.
        groups: The layers of the style, by the names of groups; see `Recipe.groups`.
        further: Layers that are in no group.
        name: What to call gamma in errors.

    Raises:
        ValueError: If there is no such group or layer.

    Example:
        >>> from mnst.objective.mixing import by_layer
        >>> groups = {"colour": ["shallow"], "form": ["deep", "deeper"]}
        >>> by_layer({"colour": 0.2, "deep": 0.8}, groups)
        {'shallow': 0.2, 'deep': 0.8, 'deeper': None}
    """
    layers = dict.fromkeys(further, "")
    layers |= {layer: group for group, of_group in groups.items() for layer in of_group}
    if not isinstance(gamma, Mapping):
        return dict.fromkeys(layers, gamma)
    known = [*groups, *layers]
    for key in gamma:
        if key not in known:
            raise ValueError(
                f"{name} names {shown(key)}: give {', '.join(groups)}, or a layer of the style, "
                f"{', '.join(layers)}{did_you_mean(str(key), known)}"
            )
    return {layer: gamma.get(layer, gamma.get(group)) for layer, group in layers.items()}


def in_short(each: Mapping[str, Any], groups: Mapping[str, Sequence[str]]) -> Any:
    """Returns what layers have: one for all, if it is the same; else by group, where it is in it.

    Example:
        >>> from mnst.objective.mixing import in_short
        >>> groups = {"colour": ["a", "b"], "form": ["c", "d"]}
        >>> in_short({"a": 1, "b": 1, "c": 2, "d": 3}, groups)
        {'colour': 1, 'c': 2, 'd': 3}
        >>> in_short(dict.fromkeys("abcd", 1), groups)
        1
    """

    def alike(values: Sequence[Any]) -> bool:
        return bool(values) and all(value == values[0] for value in values)

    if alike([*each.values()]):
        return next(iter(each.values()))
    short = dict(each)
    for group, layers in groups.items():
        if alike([each[layer] for layer in layers]):
            # In the place of its first layer.
            short = {
                group if layer == layers[0] else layer: of
                for layer, of in short.items()
                if layer not in layers[1:]
            }
    return short


def told(shares: Shares | Mapping[str, Shares], groups: Mapping[str, Sequence[str]]) -> str:
    """Says shares in words: those of all layers, of groups, or, where these differ, of layers.

    Example:
        >>> from mnst.objective.mixing import told
        >>> groups = {"colour": ["shallow"], "form": ["deep"]}
        >>> told((0.5, 0.5), groups)
        '0.5, 0.5'
        >>> told({"shallow": (0.2, 0.8), "deep": (1.0, 0.0)}, groups)
        'colour 0.2, 0.8; form 1, 0'
    """
    short = in_short(shares, groups) if isinstance(shares, Mapping) else shares
    if not isinstance(short, Mapping):
        return _listed3(short)
    return "; ".join(f"{name} {_listed3(each)}" for name, each in short.items())


def _listed3(shares: Shares) -> str:
    return ", ".join(f"{share:.3g}" for share in shares)


def style_sigmas(sigma: Sequence[float] | None, styles: int) -> tuple[float, ...]:
    """Returns the calibration weight sigma_k of every style (article, fig. 7).

    Args:
        sigma: One number above 0 per style, or None for no calibration: all 1.
        styles: How many styles there are.

    Raises:
        ValueError: If a sigma is not above 0, or there is not one per style.

    Example:
        >>> from mnst.objective.mixing import style_sigmas
        >>> style_sigmas([1, 1.9], 2)
        (1.0, 1.9)
    """
    if sigma is None:
        return (1.0,) * styles
    if not isinstance(sigma, Iterable):
        raise ValueError(f"sigma is {shown(sigma)}: give a number for each style, as in 1, 1.9")
    sigmas = _floats("sigma", sigma)
    if len(sigmas) != styles:
        raise ValueError(f"sigma has {len(sigmas)} numbers for {styles} styles: give one for each")
    if any(not 0 < value < math.inf for value in sigmas):
        raise ValueError(f"sigma is {_listed(sigmas)}: give numbers above 0")
    return sigmas


def sigma_by_layer(
    sigma: Any, styles: int, groups: Mapping[str, Sequence[str]], further: Iterable[str] = ()
) -> Shares | dict[str, Shares]:
    """Returns `style_sigmas` for all layers; or those of each layer, where a mapping names them.

    Args:
        sigma: As `style_sigmas` takes it; or such ones by the names of layers or groups.
        styles: How many styles there are.
        groups: See `by_layer`.
        further: See `by_layer`.

    Raises:
        ValueError: If a sigma is out of range, or there is no such group or layer.
    """
    if not isinstance(sigma, Mapping):
        return style_sigmas(sigma, styles)
    each = by_layer(sigma, groups, further, name="sigma")
    return {layer: style_sigmas(of, styles) for layer, of in each.items()}


def relative_improvement(start: Sequence[float], final: Sequence[float]) -> tuple[float, ...]:
    """Returns RI_k = L_style_k(c) / L_style_k(x_final) (article, fig. 5); above 1 is progress.

    The paper's equations 8 and 9 define the inverse under the same name: that is `loss_ratio`.

    Args:
        start: The style losses of the content image c, one per style.
        final: The style losses of the finished picture.

    Returns:
        One number per style; inf where the final loss is 0, nan where both are 0.

    Raises:
        ValueError: If these aren't numbers, as many of one as of the other.

    Example:
        >>> import mnst
        >>> mnst.relative_improvement([8.0, 6.0], [2.0, 3.0])
        (4.0, 2.0)
    """
    return tuple(_ratio(a, b) for a, b in _pairs(start, final))


def loss_ratio(start: Sequence[float], final: Sequence[float]) -> tuple[float, ...]:
    """Returns r_k = L_style_k(x_final) / L_style_k(c) (paper, eq. 8 and 9); below 1 is progress.

    Args:
        start: The style losses of the content image c, one per style.
        final: The style losses of the finished picture.

    Returns:
        One number per style: the inverse of `relative_improvement`.

    Raises:
        ValueError: If these aren't numbers, as many of one as of the other.

    Example:
        >>> import mnst
        >>> mnst.loss_ratio([8.0, 6.0], [2.0, 3.0])
        (0.25, 0.5)
    """
    return tuple(_ratio(b, a) for a, b in _pairs(start, final))


def _pairs(start: Sequence[float], final: Sequence[float]) -> list[tuple[float, float]]:
    before, after = _floats("start", start), _floats("final", final)
    if len(before) != len(after):
        raise ValueError(
            f"start has {len(before)} losses and final {len(after)}: give one of each for a style"
        )
    return list(zip(before, after, strict=True))


def _ratio(numerator: float, denominator: float) -> float:
    if denominator == 0:
        return math.nan if numerator == 0 else math.inf
    return float(numerator) / float(denominator)


def _floats(name: str, values: Iterable[SupportsFloat]) -> tuple[float, ...]:
    try:
        numbers = list(values)
        if not any(isinstance(number, (bool, str, bytes)) for number in numbers):
            return tuple(map(float, numbers))
    except (OverflowError, TypeError, ValueError):
        pass
    raise ValueError(f"{name} is {shown(values)}: give a number for each style")


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def mixed_style_losses(shares: ArrayLike, distances: ArrayLike) -> np.ndarray:
    """Returns L_style_k of a picture whose Gram matrices are the weighted mean of the styles'.

    With v = shares / sum(shares) the mean is A = sum_k v_k A_k, and |A - A_k|^2 follows from the
    distances between the styles alone:

        L_k = sum_j v_j D_jk - 1/2 sum_ij v_i v_j D_ij

    For two styles that is L_1 = v_2^2 D and L_2 = v_1^2 D. Where each loss L_k is in units of its
    own style, all of L_k is measured by the D of these units.

    Args:
        shares: g_k * sigma_k, not negative, one per style.
        distances: D, [K, K]: the style loss of style j's Gram matrices against style k's; or
            [K, K, K], a D for each k.

    Returns:
        float64 [K].
    """
    v = np.asarray(shares, np.float64) / np.sum(shares)
    between = np.asarray(distances, np.float64)
    own = between if between.ndim == 2 else np.einsum("kkj->kj", between)
    losses: np.ndarray = own @ v - (between @ v) @ v / 2
    return losses


def predicted_improvement(
    shares: Sequence[float], start: Sequence[float], distances: ArrayLike
) -> tuple[float, ...]:
    """Returns the RI_k that a run approaches, were it to reach the mean of the styles.

    A real run stops short of it: the content holds it back, and so does the number of steps. The
    ratio of two RI_k is met far better than each of them, except near gamma = 0 and 1, where
    the prediction goes to infinity.

    Args:
        shares: g_k * sigma_k, one per style.
        start: L_style_k(c), the style losses of the content image.
        distances: Between the styles, [K, K] or [K, K, K].

    Returns:
        One number per style; inf for a style that has all the share.
    """
    final = np.maximum(mixed_style_losses(shares, distances), 0.0)
    return relative_improvement(tuple(start), tuple(final.tolist()))


def crossing(
    start: Sequence[float], sigma: Sequence[float], distances: ArrayLike | None = None
) -> float:
    """Returns the gamma at which two styles are predicted to improve equally.

    RI_1 / RI_2 = (L_1(c) / L_2(c)) * (gamma sigma_1 / ((1 - gamma) sigma_2))^2 is 1 there, where
    the distance between the styles is the same in both losses; else it is divided by their ratio.

    Args:
        start: L_style_k(c), the two style losses of the content image.
        sigma: The two calibration weights.
        distances: Between the styles, [2, 2] or [2, 2, 2]; None is the same in both losses.

    Example:
        >>> from mnst.objective.mixing import crossing
        >>> round(crossing([3.6, 1.0], [1, 1]), 3)  # the article found 0.34
        0.345
        >>> round(crossing([3.6, 1.0], [1, 3.6]), 3)  # and 0.64 with the ratio unrooted
        0.655
    """
    between = np.ones((2, 2, 2)) if distances is None else np.asarray(distances, np.float64)
    first, second = (between[0, 1],) * 2 if between.ndim == 2 else between[:, 0, 1]
    return float(1 / (1 + math.sqrt(start[0] / first / (start[1] / second)) * sigma[0] / sigma[1]))


def closed_form_sigma(start: Sequence[float], distances: ArrayLike) -> tuple[float, ...]:
    """Returns the sigma with which equal shares make equal relative improvement, without a run.

    The weighted mean of the styles' Gram matrices shall be equally near to all of them, each
    distance in units of its own start loss. For two styles that is

        sigma_2 / sigma_1 = sqrt((L_1(c) / D_1) / (L_2(c) / D_2)),

    D_k being the distance between the styles in units of the k-th loss: with Gram matrices it is
    the same for both, and leaves sqrt(L_1(c) / L_2(c)), the square root that the article found by
    trying. For more, the shares v of the nearest such
    point are found by raising the share of every style that is too far by the square root of how
    much; for two styles a single turn arrives.

    Args:
        start: L_style_k(c), the style losses of the content image, above 0.
        distances: Between the styles, [K, K] or [K, K, K], symmetric, 0 on the diagonal.

    Returns:
        One number per style, the first one 1. Where some style is nearer than the others even
        without any share (it lies among them), the styles can't be made equal; that one then gets
        `SMALLEST_SHARE`, and the others are.

    Raises:
        ValueError: If a style's loss at the start is 0: nothing could improve.

    Example:
        >>> from mnst.objective.mixing import closed_form_sigma
        >>> first, second = closed_form_sigma([3.6, 1.0], [[0, 5], [5, 0]])
        >>> first, round(second, 3)  # the article found 1.9
        (1.0, 1.897)
    """
    losses = np.asarray(start, np.float64)
    if not np.all(losses > 0):
        raise ValueError("a style's loss is 0 at the start: the photo is that style already")
    v = np.full(len(losses), 1 / len(losses))
    for _ in range(_MAX_TURNS):
        nearness = mixed_style_losses(v, distances) / losses
        if np.all(nearness <= 0):  # the styles are one and the same: any share will do
            break
        nearness = np.maximum(nearness, 0) / nearness.max()
        turned = v * np.sqrt(nearness)
        turned = np.maximum(turned / turned.sum(), SMALLEST_SHARE)
        turned /= turned.sum()
        settled = np.allclose(turned, v, rtol=1e-12, atol=0)
        v = turned
        if settled:
            break
    return tuple((v / v[0]).tolist())
