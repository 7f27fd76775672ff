"""What is said of what a user gives: numbers of any type, odd values in a line, proportions."""

import decimal
import fractions
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mnst
from mnst import checks

quick = settings(deadline=None, derandomize=True, max_examples=300)


@pytest.mark.parametrize("kind", [int, float, np.int64, np.uint8, np.float32, fractions.Fraction])
def test_numbers_of_every_type_are_numbers(kind):
    for found in (checks.check_whole("n", kind(3)), mnst.ARTICLE.replace(steps=kind(3)).steps):
        assert (found, type(found)) == (3, int)
    found = checks.check_number("x", kind(3), lambda value: value > 2, "above 2")
    assert (found, type(found)) == (3.0, float)


def test_a_recipe_of_numpys_numbers_is_kept_whole():
    recipe = mnst.ARTICLE.replace(steps=np.int64(7), alpha=np.float32(0.5), decay_steps=np.uint8(9))
    assert mnst.Recipe.from_dict(recipe.as_dict()) == recipe
    assert recipe == mnst.ARTICLE.replace(steps=7, alpha=0.5, decay_steps=9)


@pytest.mark.parametrize(
    "value",
    [True, np.True_, None, "3", 3.5, math.nan, math.inf, 3j, decimal.Decimal(3), np.array(3), [3]],
)
def test_what_is_no_whole_number_is_named(value):
    with pytest.raises(ValueError, match=r"^steps is .*: give a whole number, 1 or more$"):
        checks.check_whole("steps", value)


@pytest.mark.parametrize(
    "value",
    [
        "x" * 10**6,
        pytest.param(10**10_000, id="digits"),
        np.zeros((99, 99)),
        [["long"] * 99] * 99,
        object(),
        "a\nb",
    ],
)
def test_any_value_is_shown_in_a_line(value):
    shown = checks.shown(value)
    assert len(shown) < 1000
    assert len(shown.splitlines()) == 1


# The sides that a picture may have once it is reduced

SIDES = st.integers(1, 8000)
ROUNDINGS = (round, math.floor, math.ceil)


def reduced(height, width, size, rounded=round):
    scale = min(1, size / max(height, width))
    return tuple(max(1, rounded(side * scale)) for side in (height, width))


@quick
@given(SIDES, SIDES, st.integers(1, 4000), st.integers(1, 4000), st.sampled_from(ROUNDINGS))
def test_a_picture_reduced_by_anybody_fits_itself_in_any_other_size(
    height, width, size, other, rounded
):
    one, two = reduced(height, width, size, rounded), reduced(height, width, other)
    checks.check_proportions("mask", one, two)
    checks.check_proportions("mask", two, one)
    checks.check_proportions("mask", reduced(*two, size), (height, width))  # and once more


@quick
@given(st.integers(32, 8000), st.integers(32, 8000), st.floats(1.2, 20), st.booleans())
def test_other_proportions_are_refused(height, width, stretched, upright):
    sides = (round(height * stretched), width) if upright else (height, round(width * stretched))
    said = f"^mask is {sides[1]} x {sides[0]} pixels, but the picture is {width} x {height}; give"
    with pytest.raises(ValueError, match=said):
        checks.check_proportions("mask", sides, (height, width))


def test_a_photos_mask_fits_it_in_the_size_it_is_painted_in():
    """Of 6048 x 4000 pixels, which 256 x 169 and 2048 x 1354 are the nearest to."""
    checks.check_proportions("mask", (169, 256), (1354, 2048))


def test_arrays_of_other_proportions_are_refused_by_what_takes_them():
    with pytest.raises(
        ValueError, match=r"^mask \(ndarray of .*\) is 40 x 40 pixels, but .* 48 x 40"
    ):
        mnst.load_mask(np.zeros((40, 40)), 40, 48)
