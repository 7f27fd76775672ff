"""The controls of a live picture: one crossfader for each group of layers, and the strength."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from mnst.checks import check_number, check_whole, shown
from mnst.objective.mixing import Shares, by_layer, in_short, style_shares, style_sigmas
from mnst.painting.gammas import along, plain, stations_on
from mnst.recipes import Recipe

_PLAIN = 120  # how many positions are drawn before crossfaders part and strength moves


class Position(NamedTuple):
    """Where the controls stand.

    Attributes:
        shares: Of each crossfader the share of each style, by the names that gamma takes.
        strength: From 0 to 1; None where the recipe has none.
    """

    shares: dict[str, Shares]
    strength: float | None

    @property
    def gamma(self) -> Shares | dict[str, Shares]:
        """The same shares as `stylize` takes them: of all crossfaders alike, or by name."""
        first, *others = self.shares.values()
        return self.shares if any(other != first for other in others) else first


@dataclass(frozen=True)
class Controls:
    """What can be moved.

    Attributes:
        crossfaders: Their names.
        sigma: The calibration of each style, the same everywhere.
        strength: Where it stands by itself; None where the recipe has none.
    """

    crossfaders: tuple[str, ...]
    sigma: tuple[float, ...]
    strength: float | None

    @classmethod
    def of(cls, recipe: Recipe, sigma: tuple[float, ...]) -> Controls:
        """Returns those of a recipe."""
        crossfaders = tuple(name for name, layers in recipe.groups.items() if layers)
        return cls(crossfaders, sigma, recipe.strength)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Controls:
        """Returns those that `dataclasses.asdict` gave.

        Raises:
            ValueError: If they can't be.
        """
        crossfaders, strength = tuple(map(str, values["crossfaders"])), values["strength"]
        if not crossfaders:
            raise ValueError("there is no crossfader")
        sigma = style_sigmas(values["sigma"], len(values["sigma"]))
        return cls(crossfaders, sigma, None if strength is None else float(strength))

    @property
    def styles(self) -> int:
        """How many styles there are."""
        return len(self.sigma)

    def position(self, gamma: Any = None, strength: Any = None, name: str = "gamma") -> Position:
        """Returns the position that a gamma and a strength ask for.

        Args:
            gamma: As in `stylize`, but for layers and pictures.
            strength: From 0 to 1; None is the recipe's own.
            name: What to call gamma in errors.

        Raises:
            ValueError: If it is out of range, or none that a live picture has.
        """
        groups = {crossfader: [crossfader] for crossfader in self.crossfaders}
        each = by_layer(gamma, groups, name=name)
        if strength is not None and self.strength is None:
            raise ValueError(f"strength is {shown(strength)}, but the recipe has none: leave it")
        if strength is None:
            strength = self.strength
        else:
            strength = check_number("strength", strength, lambda v: 0 <= v <= 1, "from 0 to 1")
        return Position({of: self._shares(shares, name) for of, shares in each.items()}, strength)

    def _shares(self, gamma: Any, name: str) -> Shares:
        if isinstance(gamma, (str, Mapping)) or hasattr(gamma, "getbands") or np.ndim(gamma) > 1:
            raise ValueError(
                f"{name} is {shown(gamma)}: give numbers; a gamma that is a picture is not painted "
                f"live"
            )
        return style_shares(gamma, self.styles, name=name)

    def way(
        self, path: Any = None, frames: int = 51, strength: Any = None
    ) -> list[tuple[Any, Position]]:
        """Returns where a crossfade leads: of each frame gamma, as `stylize` takes it, and all.

        Args:
            path: As in `mnst.crossfade`, but for layers and pictures.
            frames: How many frames there are.
            strength: As in `position`.

        Raises:
            ValueError: If one of them is out of range, or there are fewer than two styles.
        """
        stations = stations_on(path, self.styles, check_whole("frames", frames, 2))
        read = [self.position(gamma, strength, name).shares for name, gamma in stations.items()]
        shares = [{name: np.array(of) for name, of in each.items()} for each in read]
        gammas = [in_short(plain(gamma), {}) for gamma in along(shares, frames)]
        return [(gamma, self.position(gamma, strength)) for gamma in gammas]

    @property
    def of_network(self) -> dict[str, Any]:
        """What a network has to know of them."""
        return {
            "crossfaders": len(self.crossfaders),
            "styles": self.styles,
            "has_strength": self.strength is not None,
        }

    def vector(self, position: Position) -> np.ndarray:
        """Returns a position as a network takes it, float32 [P]; see `LiveNetwork`.

        Weights are g_k sigma_k in sum 1: what a network learns is as linear in them as it gets.
        """
        weights = np.array([position.shares[name] for name in self.crossfaders]) * self.sigma
        weights /= weights.sum(axis=1, keepdims=True)
        strength = [] if position.strength is None else [2 * position.strength - 1]
        return np.concatenate([weights.ravel(), strength]).astype(np.float32)

    def drawn(self, number: int, random: np.random.Generator) -> Position:
        """Returns a position to learn from.

        At first all crossfaders stand alike, and strength as it does by itself: who has had few
        steps needs most what is seen first. Later that is so in half of them.

        Args:
            number: How many were drawn before.
            random: What draws.
        """
        apart, strength = (random.uniform(size=2) < [0.35, 0.3]) & (number >= _PLAIN)
        if apart:
            each = {name: self._drawn_shares(random) for name in self.crossfaders}
        else:
            each = dict.fromkeys(self.crossfaders, self._shares_in_turn(number, random))
        if self.strength is None or not strength:
            return Position(each, self.strength)
        return Position(each, float(random.uniform()))

    def _drawn_shares(self, random: np.random.Generator) -> Shares:
        """Draws shares of one style to all of them, each number of styles as often."""
        count = random.integers(1, self.styles, endpoint=True)
        return self._mixed(random.choice(self.styles, count, replace=False), random)

    def _shares_in_turn(self, number: int, random: np.random.Generator) -> Shares:
        """Draws the same, but of one style, of two and so on in turn, and the ends in turn.

        The ends are furthest from all else. Left to chance, one of them may not be met for so long
        that what was learnt of it is lost.
        """
        turn, others = divmod(number, self.styles)
        if not others:
            return self._mixed(np.array([turn % self.styles]), random)
        return self._mixed(random.choice(self.styles, 1 + others, replace=False), random)

    def _mixed(self, chosen: np.ndarray, random: np.random.Generator) -> Shares:
        shares = np.zeros(self.styles)
        shares[chosen] = random.dirichlet(np.ones(len(chosen)))
        return tuple(shares.tolist())

    @property
    def landmarks(self) -> tuple[Position, ...]:
        """Where to look how far it is: all of each style, their middle, and colour without form."""
        corners = [tuple(row) for row in np.eye(self.styles).tolist()]
        middle = (1 / self.styles,) * self.styles
        alike = [dict.fromkeys(self.crossfaders, shares) for shares in (*corners, middle)]
        if self.styles > 1:
            alike.append({name: corners[k % 2] for k, name in enumerate(self.crossfaders)})
        places = [Position(shares, self.strength) for shares in alike]
        if self.strength is not None:
            places += [Position(dict.fromkeys(self.crossfaders, middle), s) for s in (0.2, 0.9)]
        return tuple(places)
