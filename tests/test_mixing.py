import math

import numpy as np
import pytest

from mnst.objective.mixing import loss_ratio, relative_improvement, style_shares, style_sigmas


@pytest.mark.parametrize(
    ("gamma", "styles", "shares"),
    [
        (0.4, 2, (0.4, 0.6)),
        (1, 2, (1, 0)),
        (0, 2, (0, 1)),
        (np.float32(0.25), 2, (0.25, 0.75)),
        ([0.5, 0.3, 0.2], 3, (0.5, 0.3, 0.2)),
        (np.array([0.5, 0.5]), 2, (0.5, 0.5)),
        (None, 4, (0.25,) * 4),
        (None, 1, (1,)),
        (1.0, 1, (1,)),
        ([0.333, 0.333, 0.334], 3, (0.333, 0.333, 0.334)),
    ],
)
def test_gamma_becomes_a_share_per_style(gamma, styles, shares):
    assert style_shares(gamma, styles) == pytest.approx(shares)


@pytest.mark.parametrize(
    ("gamma", "styles", "said"),
    [
        (1.5, 2, "between 0 and 1"),
        (-0.1, 2, "between 0 and 1"),
        (math.nan, 2, "between 0 and 1"),
        ([1.2, -0.2], 2, "between 0 and 1"),
        ([math.nan, 0.5], 2, "between 0 and 1"),
        ([0.5, 0.4], 2, "sum to 1"),
        ([0.5, 0.5], 3, "2 shares for 3 styles"),
        (0.5, 3, "for two styles"),
        (0.5, 1, "for two styles"),
        ("ab", 2, "a number for each"),
        (None, 0, "at least one style"),
    ],
)
def test_a_gamma_out_of_range_is_named(gamma, styles, said):
    with pytest.raises(ValueError, match=said) as raised:
        style_shares(gamma, styles)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("sigma", "said"),
    [
        ([1, 0], "above 0"),
        ([1, -2], "above 0"),
        ([1, math.inf], "above 0"),
        ([1, math.nan], "above 0"),
        ([1], "1 numbers for 2 styles"),
        (1.9, "sigma is 1.9: give a number for each style"),
    ],
)
def test_a_sigma_out_of_range_is_named(sigma, said):
    with pytest.raises(ValueError, match=said):
        style_sigmas(sigma, 2)


def test_sigma_defaults_to_one_for_each():
    assert style_sigmas(None, 3) == (1, 1, 1)
    assert style_sigmas([1, 1.9], 2) == (1, 1.9)


def test_improvement_and_ratio_are_inverse():
    start, final = [8.0, 6.0, 1.0], [2.0, 12.0, 1.0]
    assert relative_improvement(start, final) == (4, 0.5, 1)
    assert loss_ratio(start, final) == (0.25, 2, 1)


def test_a_loss_of_zero_has_no_finite_improvement():
    assert relative_improvement([1.0], [0.0]) == (math.inf,)
    assert math.isnan(relative_improvement([0.0], [0.0])[0])


def test_improvement_needs_as_many_losses_before_as_after():
    with pytest.raises(ValueError, match="start has 2 losses and final 1: give one of each"):
        relative_improvement([1.0, 2.0], [1.0])
