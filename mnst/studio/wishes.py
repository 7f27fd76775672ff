"""What is wished for: where the controls stand, and what `stylize` makes of that."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mnst.checks import check_list, check_number, shown
from mnst.objective.mixing import style_shares
from mnst.recipes import DRAFT, FINE, Recipe

MOST_STYLES = 4

_FINEST, _BROADEST = 0.5, 2.0


@dataclass(frozen=True)
class Wish:
    """Where the controls stand.

    Attributes:
        form: The share of each style in the strokes, in sum 1.
        colour: The share of each style in the palette, in sum 1.
        strength: From 0, mostly the photo, to 1; None where the recipe has none.
        stroke: How broad strokes are, 1 as the recipe has them; see `style_size`.
        keep_people: Whether people stay as they are.
        keep_colours: Whether the photo's colours stay.
    """

    form: tuple[float, ...] = ()
    colour: tuple[float, ...] = ()
    strength: float | None = None
    stroke: float = 1.0
    keep_people: bool = False
    keep_colours: bool = False

    @property
    def gamma(self) -> Any:
        """The shares as `stylize` takes them."""
        if self.form == self.colour:
            return list(self.form)
        return {"colour": list(self.colour), "form": list(self.form)}

    @property
    def of_scene(self) -> dict[str, Any]:
        """What photo and styles have to be opened with, but for who is in the photo."""
        return {
            "style_size": None if self.stroke == 1 else self.stroke,
            "colours": "photo" if self.keep_colours else None,
        }

    @property
    def options(self) -> dict[str, Any]:
        """What `stylize` takes to paint it."""
        keep = "person" if self.keep_people else None
        return {**self.of_scene, "gamma": self.gamma, "strength": self.strength, "keep": keep}

    def changed(self, changes: Mapping[str, Any]) -> Wish:
        """Returns a wish with other controls; what is unknown or out of range is an error.

        Raises:
            ValueError: If it is.
        """
        read = {name: self._read(name, value) for name, value in changes.items()}
        return dataclasses.replace(self, **read)

    def _read(self, name: str, value: Any) -> Any:
        if name in ("form", "colour"):
            return style_shares(check_list(name, value, "shares"), len(self.form), name=name)
        if name == "strength" and self.strength is not None:
            return check_number(name, value, lambda v: 0 <= v <= 1, "from 0 to 1")
        if name == "stroke":
            return check_number(name, value, lambda v: _FINEST <= v <= _BROADEST, "from 0.5 to 2")
        if name in ("keep_people", "keep_colours") and isinstance(value, bool):
            return value
        raise ValueError(f"no control {shown(name)} can be {shown(value)}")

    def of_styles(self, kept: Sequence[int], added: int = 0) -> Wish:
        """Returns a wish for other styles.

        Args:
            kept: The numbers that those which stay had, in their new order.
            added: How many come after them: each gets as much as it would of equal shares.
        """
        return dataclasses.replace(
            self, form=_kept(self.form, kept, added), colour=_kept(self.colour, kept, added)
        )

    def in_words(self, styles: Sequence[str]) -> str:
        """Says it, given the styles' names."""
        said = [_mixed(self.form, styles)]
        if self.colour != self.form:
            said = [f"forms of {said[0]}", f"colours of {_mixed(self.colour, styles)}"]
        if self.strength is not None:
            said.append(f"strength {_percent(self.strength)}")
        if self.stroke != 1:
            said.append("finer strokes" if self.stroke < 1 else "broader strokes")
        if self.keep_people:
            said.append("people left as they are")
        if self.keep_colours:
            said.append("the photo's colours")
        return ", ".join(said)

    def as_dict(self) -> dict[str, Any]:
        """Returns it as JSON holds it."""
        shares = {"form": list(self.form), "colour": list(self.colour)}
        return {**dataclasses.asdict(self), **shares}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], styles: int, strength: float | None) -> Wish:
        """Returns the wish that `as_dict` gave; what can't be read is as it is at first.

        Args:
            values: From a file, where anything may stand.
            styles: How many styles there are.
            strength: That of the recipe.
        """
        wish = cls(strength=strength).of_styles((), styles)
        for name, value in values.items():
            try:
                wish = wish.changed({name: value})
            except ValueError:
                continue
        return wish


def _kept(shares: tuple[float, ...], kept: Sequence[int], added: int) -> tuple[float, ...]:
    """Returns the shares of those that stay and of those that come, in sum 1."""
    stay = [shares[k] for k in kept]
    count = len(stay) + added
    if not count:
        return ()
    part = len(stay) / count  # of those that stay
    total = sum(stay)
    before = [share / total * part if total else part / len(stay) for share in stay]
    return tuple(before + [1 / count] * added)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _mixed(shares: Sequence[float], styles: Sequence[str]) -> str:
    """Says a mixture; who has no share of it is not named."""
    named = [(name, share) for name, share in zip(styles, shares, strict=True) if share >= 0.005]
    if len(named) == 1:
        return named[0][0]
    return ", ".join(f"{name} {_percent(share)}" for name, share in named)


@dataclass(frozen=True)
class Quality:
    """How well a painting is painted.

    Attributes:
        name: What a page calls it.
        label: What people call it.
        recipe: What it is painted by.
        size: Its longest side, in pixels.
    """

    name: str
    label: str
    recipe: Recipe
    size: int

    def work(self, height: int, width: int) -> float:
        """Returns how much a photo of these sides takes to paint, in pixels times steps."""
        scale = min(1.0, self.size / max(height, width))
        sides = round(height * scale), round(width * scale)
        pyramid, steps = self.recipe.pyramid, self.recipe.steps
        sizes = (sides,) if pyramid is None else pyramid.sizes(*sides)
        each = (steps,) if pyramid is None else pyramid.steps(len(sizes), steps)
        return float(sum(count * h * w for count, (h, w) in zip(each, sizes, strict=True)))


def qualities(recipe: Recipe, size: int) -> dict[str, Quality]:
    """Returns what one can choose from, by name.

    Args:
        recipe: Of "fine" and "large". A draft is painted by DRAFT, where that is FINE in a hurry.
        size: The longest side of "fine", in pixels; a draft has half of it, "large" twice as much.
    """
    hasty = DRAFT if recipe == FINE else recipe
    each = (
        Quality("draft", "Draft", hasty, max(64, size // 2)),
        Quality("fine", "Fine", recipe, size),
        Quality("large", "Large", recipe, 2 * size),
    )
    return {quality.name: quality for quality in each}
