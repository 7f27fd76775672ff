"""Hyper-parameters of a run, as frozen dataclasses: the article's, the paper's, the tutorial's."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

LayerWeights = tuple[tuple[str, float], ...]
ContentReduction = Literal["mean", "half_sum"]
StyleReduction = Literal["mean", "gatys"]
GramKind = Literal["sum", "mean"]

_EQUAL = tuple((f"block{block}_conv1", 0.2) for block in range(1, 6))


@dataclass(frozen=True)
class Recipe:
    """What a run minimises, and how.

    `L = alpha * L_content + beta * sum_k gamma_k * sigma_k * L_style_k` (article, fig. 7), with
    `L_content` and `L_style_k` weighted sums over layers.

    Attributes:
        name: What it is called in results and on the command line.
        content_layers: Weight of each VGG19 layer in the content loss. A mapping or a sequence of
            pairs; kept as a tuple of pairs, so that a recipe can be hashed.
        style_layers: The same for the style loss.
        content_reduction: "mean" of (F - P)^2 (article, tutorial), or "half_sum", 1/2 sum of it
            (paper, eq. 2).
        style_reduction: "mean" over the N x N entries of (G - A)^2 (article, tutorial), or
            "gatys", 1/(4 N^2 M^2) sum of it (paper, eq. 4).
        gram: "sum" over the positions (article, paper eq. 3), or "mean" (tutorial).
        alpha: Weight of the content loss.
        beta: Weight of the style loss.
        optimizer: "adam" (article, tutorial), or "lbfgs"; see `mnst.optimizers`.
        surrogate: "vgg19-lite" lets the small network take the steps towards what VGG19 asks for;
            "none" is without one.
        correct_every: With a surrogate: VGG19 looks at the picture after every so many steps.
        learning_rate: Adam's initial step, in units of pixel values 0..255; of L-BFGS the mean
            change that the first step makes.
        decay_steps: The learning rate is multiplied by `decay_rate` once every so many steps,
            smoothly.
        decay_rate: In (0, 1]; 1 is a constant rate.
        beta_1: Adam's decay of the first moment.
        beta_2: Adam's decay of the second moment.
        epsilon: Adam's epsilon, in units of the gradient with respect to 0..255 pixels.
        init: What the picture starts as: "content" or "noise" (uniform white noise).
        steps: How many steps a run takes.

    Raises:
        ValueError: If a value is out of its range.

    Example:
        >>> import mnst
        >>> mnst.ARTICLE.replace(steps=300, alpha=0.01).steps
        300
    """

    name: str
    content_layers: LayerWeights
    style_layers: LayerWeights
    content_reduction: ContentReduction = "mean"
    style_reduction: StyleReduction = "mean"
    gram: GramKind = "sum"
    alpha: float = 0.002
    beta: float = 0.02
    optimizer: Literal["adam", "lbfgs"] = "adam"
    surrogate: Literal["none", "vgg19-lite"] = "none"
    correct_every: int = 20
    learning_rate: float = 12.0
    decay_steps: int = 100
    decay_rate: float = 0.6
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7
    init: Literal["content", "noise"] = "content"
    steps: int = 100

    def __post_init__(self) -> None:
        for field in ("content_layers", "style_layers"):
            object.__setattr__(self, field, _layer_weights(field, getattr(self, field)))
        _check_choice("content_reduction", self.content_reduction, get_args(ContentReduction))
        _check_choice("style_reduction", self.style_reduction, get_args(StyleReduction))
        _check_choice("gram", self.gram, get_args(GramKind))
        _check_choice("optimizer", self.optimizer, ("adam", "lbfgs"))
        _check_choice("surrogate", self.surrogate, ("none", "vgg19-lite"))
        _check_choice("init", self.init, ("content", "noise"))
        for field in ("alpha", "beta"):
            _check(field, getattr(self, field), lambda v: v >= 0, "0 or more")
        for field in ("learning_rate", "decay_steps", "epsilon"):
            _check(field, getattr(self, field), lambda v: v > 0, "more than 0")
        _check("decay_rate", self.decay_rate, lambda v: 0 < v <= 1, "in (0, 1]")
        for field in ("beta_1", "beta_2"):
            _check(field, getattr(self, field), lambda v: 0 <= v < 1, "in [0, 1)")
        for field in ("correct_every", "steps"):
            count = getattr(self, field)
            if isinstance(count, bool) or not isinstance(count, int) or count < 1:
                raise ValueError(f"{field} is {count!r}: give a whole number, 1 or more")

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of all layers that the losses look at, each once."""
        return tuple(dict((*self.style_layers, *self.content_layers)))

    def replace(self, **changes: Any) -> Recipe:
        """Returns a copy with some fields changed.

        Args:
            **changes: New values of fields, by name.

        Raises:
            TypeError: If there is no such field.
            ValueError: If a value is out of its range.
        """
        unknown = sorted(changes.keys() - {field.name for field in dataclasses.fields(self)})
        if unknown:
            fields = ", ".join(field.name for field in dataclasses.fields(self))
            raise TypeError(f"a recipe has no {unknown[0]!r}; it has {fields}")
        return dataclasses.replace(self, **changes)

    def shares_a_trainer_with(self, other: Recipe) -> bool:
        """True if the two differ at most in name, alpha, beta, init and steps.

        Those are given to every run; the rest is built into the compiled step.
        """
        return self.of_trainer() == other.of_trainer()

    def of_trainer(self) -> Recipe:
        """Returns the recipe without what is given to every run."""
        return self.replace(name="", alpha=1.0, beta=1.0, init="content", steps=1)

    def as_dict(self) -> dict[str, Any]:
        """Returns the recipe as plain values that JSON can hold; `Recipe(**d)` gives it back."""
        values = dataclasses.asdict(self)
        for field in ("content_layers", "style_layers"):
            values[field] = dict(values[field])
        return values


def _layer_weights(
    field: str, value: Mapping[str, float] | Iterable[tuple[str, float]]
) -> LayerWeights:
    pairs = value.items() if isinstance(value, Mapping) else value
    weights = {str(layer): float(weight) for layer, weight in pairs}
    if not weights:
        raise ValueError(f"{field} is empty: name at least one layer, as in {{'block1_conv1': 1}}")
    for layer, weight in weights.items():
        _check(f"{field}[{layer!r}]", weight, lambda v: v >= 0, "0 or more")
    return tuple(weights.items())


def _check(field: str, value: Any, holds: Any, should: str) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or not holds(value):
        raise ValueError(f"{field} is {value!r}: give a number, {should}")


def _check_choice(field: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{field} is {value!r}: give one of {', '.join(choices)}")


ARTICLE = Recipe(
    name="article",
    content_layers=(("block5_conv2", 1.0),),
    style_layers=(
        ("block1_conv1", 1.0),
        ("block2_conv1", 1.0),
        ("block3_conv1", 0.2),
        ("block4_conv1", 0.3),
        ("block5_conv1", 0.01),
    ),
)
"""The article's setup ("The Setup"); the default."""

PAPER = Recipe(
    name="paper",
    content_layers=(("block4_conv2", 1.0),),
    style_layers=_EQUAL,
    content_reduction="half_sum",
    style_reduction="gatys",
    # The paper gives the ratio alone (section 4.1). Adam does not see a common factor of the two.
    alpha=0.01,
    beta=1.0,
    init="noise",
)
"""The paper's equations 2 to 5, from white noise, with the article's optimiser."""

TUTORIAL = Recipe(
    name="tutorial",
    content_layers=(("block5_conv2", 1.0),),
    style_layers=_EQUAL,
    gram="mean",
    alpha=1e4,
    beta=1e-2,
    # The tutorial optimises pixels in 0..1. On 0..255 a step is 255 times as long, and gradients,
    # and with them epsilon, are 255 times smaller; Adam then takes the very same path.
    learning_rate=0.02 * 255,
    decay_rate=1.0,
    beta_1=0.99,
    epsilon=0.1 / 255,
    steps=1000,
)
"""TensorFlow's style transfer tutorial, without its total variation loss."""

FAST = ARTICLE.replace(
    name="fast",
    optimizer="lbfgs",
    surrogate="vgg19-lite",
    learning_rate=4.0,
    steps=60,
)
"""The article's losses, sooner: L-BFGS, and a small network that VGG19 corrects."""

RECIPES = {recipe.name: recipe for recipe in (ARTICLE, PAPER, TUTORIAL, FAST)}
"""The recipes by name, as the command line knows them."""


def get_recipe(recipe: Recipe | str) -> Recipe:
    """Returns a recipe, given itself or its name.

    Args:
        recipe: A `Recipe`, or a name with optional changes: "article", "paper,alpha=0.1",
            "article,steps=300,learning_rate=8".

    Raises:
        ValueError: If the name or a field is unknown, or a value is out of its range.
        TypeError: If it is neither a recipe nor a string.

    Example:
        >>> from mnst.recipes import get_recipe
        >>> get_recipe("article,steps=300").steps
        300
    """
    if isinstance(recipe, Recipe):
        return recipe
    if not isinstance(recipe, str):
        raise TypeError(f"recipe is {type(recipe).__name__}: give a Recipe or one's name")
    name, *changes = recipe.split(",")
    if name not in RECIPES:
        raise ValueError(f"recipe is {name!r}: give one of {', '.join(RECIPES)}, or a Recipe")
    base = RECIPES[name]
    return base.replace(**dict(_parse_change(base, change) for change in changes))


def _parse_change(base: Recipe, change: str) -> tuple[str, Any]:
    """Reads "alpha=0.1" as the type that the field has; layers are changed from Python."""
    field, _, text = change.partition("=")
    kinds = {
        name: type(value)
        for name, value in vars(base).items()
        if isinstance(value, (int, float, str))
    }
    if field not in kinds:
        raise ValueError(
            f"recipe has {change!r}: give FIELD=VALUE, FIELD one of {', '.join(kinds)}"
        )
    try:
        return field, kinds[field](text)
    except ValueError:
        kind = "a whole number" if kinds[field] is int else "a number"
        raise ValueError(f"recipe has {change!r}: {field} takes {kind}") from None
