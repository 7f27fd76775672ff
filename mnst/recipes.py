"""What a run minimises, and how: the article's recipe, the paper's, the tutorial's, and our own."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from mnst.checks import check_choice, check_number, check_whole, did_you_mean, settle, shown
from mnst.networks import BACKBONES
from mnst.objective import PICTURE, TERMS, Content, Gram, Moments, Term
from mnst.optimizers import LBFGS, OPTIMIZERS, Adam, Optimizer
from mnst.pyramid import Pyramid

# Short names of what is changed most, in the article's and the tutorial's words.
_SHORT = {
    "alpha": ("content", "weight"),
    "beta": ("style", "weight"),
    "content_layers": ("content", "layers"),
    "style_layers": ("style", "layers"),
    "smallest": ("pyramid", "smallest"),
    "fall": ("pyramid", "fall"),
}


# Further terms that can be asked for by their weight, as in "article,total_variation=1e12".
_NEED_A_WEIGHT_ALONE = [
    name
    for name, term in TERMS.items()
    if all(field.default is not dataclasses.MISSING for field in dataclasses.fields(term))
]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a run minimises, and how.

    `L = alpha * L_content + beta * sum_k gamma_k * sigma_k * L_style_k` (article, fig. 7), plus
    further terms; `L_content` and `L_style_k` are weighted sums over layers.

    All parts are values: one that comes with mnst, or an object of your own. They must be
    hashable, as frozen dataclasses are, since the compiled step of one run serves the next.

    Attributes:
        name: What it is called in results and on the command line.
        content: The term that holds the picture to the photo; its weight is alpha.
        style: The term that draws it to the styles; its weight is beta.
        terms: Further terms, such as `TotalVariation(weight=1e12)`.
        optimizer: What changes the picture; its name will do for one as it comes.
        surrogate: A small network, such as "vgg19-lite", that takes the steps towards what the
            backbone asks for; "none" is without one.
        correct_every: With a surrogate: the backbone looks at the picture after every so many
            steps.
        pyramid: The sizes that a run goes through, coarse to fine; None is the picture's own alone.
        margin: How many pixels are painted beyond each border and cut off, so that the picture has
            no frame; see `mnst.engine.margins`. 0 is none, as in what is reproduced here.
        strengths: alpha at strengths from 0, mostly the photo, to 1, mostly the painting, evenly
            spaced; falling. Empty for a recipe whose alpha has no such range.
        init: What the picture starts as: "content" or "noise" (uniform white noise).
        steps: How many steps a run takes, over all sizes.

    Raises:
        ValueError: If a value is out of its range, or two terms have one name.
        TypeError: If a part is of another kind, or can't be hashed.

    Example:
        >>> import mnst
        >>> from mnst.objective import TotalVariation
        >>> calm = mnst.ARTICLE.replace(steps=300, terms=[TotalVariation(weight=1e12)])
        >>> calm.steps, list(calm.objective)
        (300, ['content', 'style', 'total_variation'])
    """

    name: str
    content: Term
    style: Term
    terms: tuple[Term, ...] = ()
    optimizer: Optimizer = field(default_factory=Adam)
    surrogate: str = "none"
    correct_every: int = 20
    pyramid: Pyramid | None = None
    margin: int = 0
    strengths: tuple[float, ...] = ()
    init: Literal["content", "noise"] = "content"
    steps: int = 100

    def __post_init__(self) -> None:
        self._check_kinds()
        settle(self, terms=tuple(self.terms))
        if isinstance(self.optimizer, str):
            check_choice("optimizer", self.optimizer, OPTIMIZERS)
            settle(self, optimizer=OPTIMIZERS[self.optimizer]())
        if isinstance(self.surrogate, str):
            check_choice("surrogate", self.surrogate, ("none", *BACKBONES))
        check_choice("init", self.init, ("content", "noise"))
        for name in ("correct_every", "steps"):
            settle(self, **{name: check_whole(name, getattr(self, name))})
        settle(self, margin=check_whole("margin", self.margin, 0))
        settle(self, strengths=_check_strengths(self.strengths))
        self._check_names()
        self._check_parts()

    def _check_kinds(self) -> None:
        """Whether each field is of its kind at all."""
        kinds: dict[str, tuple[bool, str]] = {
            "name": (isinstance(self.name, str), "a text"),
            "content": (isinstance(self.content, Term), "a Term"),
            "style": (isinstance(self.style, Term), "a Term"),
            "terms": (
                isinstance(self.terms, (list, tuple))
                and all(isinstance(term, Term) for term in self.terms),
                "a list of Terms",
            ),
            "optimizer": (
                isinstance(self.optimizer, str) or hasattr(self.optimizer, "start"),
                f"one of {', '.join(OPTIMIZERS)}, or an Optimizer",
            ),
            "pyramid": (
                self.pyramid is None or isinstance(self.pyramid, Pyramid),
                "a Pyramid, or None",
            ),
            "surrogate": (
                isinstance(self.surrogate, str) or hasattr(self.surrogate, "find_weights"),
                f"one of none, {', '.join(BACKBONES)}, or a Backbone",
            ),
        }
        for part, (holds, kind) in kinds.items():
            if not holds:
                raise TypeError(f"{part} is {shown(getattr(self, part))}: give {kind}")

    def _check_names(self) -> None:
        """Every loss in a record needs a name of its own."""
        if len(self.objective) != 2 + len(self.terms):
            names = ", ".join(("content", "style", *(term.name for term in self.terms)))
            raise ValueError(f"the terms are {names}: give each a name of its own")
        for term in self.terms:
            if term.name in ("total", "objective", "picture"):
                raise ValueError(
                    f"a term is called {term.name!r}, as something else of a run is: give another"
                )

    def _check_parts(self) -> None:
        """What each part has to be able to, beside the others."""
        if type(self.style).losses is Term.losses:
            raise ValueError(
                f"style is {self.style.name}, which has one loss for all styles: define `losses`, "
                f"which names one for each"
            )
        for part in (*self.objective.values(), self.optimizer, self.surrogate):
            try:
                hash(part)
            except TypeError:
                raise TypeError(
                    f"{type(part).__name__} can't be hashed: make it a frozen dataclass"
                ) from None
        for name, term in self.objective.items():
            if self.surrogate != "none" and not term.can_be_corrected:
                raise ValueError(
                    f"{name} has no `corrected`, and so can't be used with a surrogate: define it, "
                    f"or give surrogate='none'"
                )

    @property
    def objective(self) -> dict[str, Term]:
        """All terms, by the names that they have in records."""
        return {
            "content": self.content,
            "style": self.style,
            **{term.name: term for term in self.terms},
        }

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of all layers of the network that the terms see, each once."""
        seen = [
            layer for term in (self.style, self.content, *self.terms) for layer in term.layer_names
        ]
        return tuple(dict.fromkeys(layer for layer in seen if layer != PICTURE))

    @property
    def mixed_layers(self) -> tuple[str, ...]:
        """The layers in which styles are mixed: all that terms see which look at styles."""
        looking = [
            term
            for term in self.objective.values()
            if type(term).style_target is not Term.style_target
        ]
        return tuple(dict.fromkeys(layer for term in looking for layer in term.layer_names))

    @property
    def groups(self) -> dict[str, tuple[str, ...]]:
        """The style's layers as the two crossfaders have them, by the names that gamma takes.

        "colour" are the shallower half of them, rounded down: what they see is the palette, and
        how it is laid on. "form" are the others: strokes and what they make up.
        """
        layers = self.style.layer_names
        half = len(layers) // 2
        return {"colour": layers[:half], "form": layers[half:]}

    @property
    def alpha(self) -> float:
        """Weight of the content term."""
        return self.content.weight

    @property
    def beta(self) -> float:
        """Weight of the style term."""
        return self.style.weight

    @property
    def strength(self) -> float | None:
        """How much of the painting there is, from 0 to 1; None if alpha is none of `strengths`."""
        if not self.strengths or self.alpha <= 0:
            return None
        low, high = np.log(self.strengths[-1]) - 1e-9, np.log(self.strengths[0]) + 1e-9
        if not low <= math.log(self.alpha) <= high:
            return None
        places = np.linspace(1, 0, len(self.strengths))
        return float(np.interp(math.log(self.alpha), np.log(self.strengths[::-1]), places))

    def alpha_at(self, strength: float) -> float:
        """Returns the alpha of a strength; between those of `strengths`, geometrically.

        Raises:
            ValueError: If the recipe has no strengths, or it is not in 0..1.
        """
        if not self.strengths:
            raise ValueError(
                f"recipe {self.name!r} has no strength: give another recipe, such as 'fine', or "
                f"change alpha"
            )
        check_number("strength", strength, lambda value: 0 <= value <= 1, "between 0 and 1")
        places = np.linspace(0, 1, len(self.strengths))
        return math.exp(np.interp(float(strength), places, np.log(self.strengths)))

    def replace(self, **changes: Any) -> Recipe:
        """Returns a copy with some values changed.

        Args:
            **changes: New values, by name: of fields; alpha, beta, content_layers and style_layers;
                strength, which is another scale for alpha; smallest and fall of the pyramid, which
                there then is; of the optimiser's fields, such as learning_rate; or the weight of a
                further term, such as total_variation, which is added if it isn't there.

        Raises:
            TypeError: If there is no such name.
            ValueError: If a value is out of its range.
        """
        own = {name: changes.pop(name) for name in tuple(changes) if name in _fields(self)}
        recipe = dataclasses.replace(self, **own)
        for name, value in changes.items():
            recipe = dataclasses.replace(recipe, **recipe._changed_part(name, value))
        return recipe

    def _changed_part(self, name: str, value: Any) -> dict[str, Any]:
        """Returns the field that a value inside of a part belongs to, with the part changed."""
        if name == "strength":
            alpha = self.alpha_at(value)
            return {"content": _with(self.content, "weight", alpha, name)}
        part, field = _SHORT.get(name, ("optimizer", name))
        if part == "pyramid":
            return {part: _with(self.pyramid or Pyramid(), field, value, name)}
        if field in _fields(getattr(self, part)):
            return {part: _with(getattr(self, part), field, value, name)}
        own = [term.name for term in self.terms]
        if name in own:
            changed = (
                _with(term, "weight", value, name) if term.name == name else term
                for term in self.terms
            )
            return {"terms": tuple(changed)}
        if name in _NEED_A_WEIGHT_ALONE:
            return {"terms": (*self.terms, _with(TERMS[name](), "weight", value, name))}
        known = [
            *_fields(self),
            *_SHORT,
            "strength",
            *_fields(self.optimizer),
            *own,
            *_NEED_A_WEIGHT_ALONE,
        ]
        raise TypeError(
            f"a recipe has no {name!r}{did_you_mean(name, known)}; it has {', '.join(known)}"
        )

    def periodic(self) -> Recipe:
        """Returns the recipe for a seamless picture: with the terms' `periodic`, and no margin."""
        return dataclasses.replace(
            self,
            content=self.content.periodic(),
            style=self.style.periodic(),
            terms=tuple(term.periodic() for term in self.terms),
            margin=0,
        )

    def without_run_values(self) -> Recipe:
        """Returns the recipe without what is given to every run: name, weights, init and steps.

        Two recipes that are equal without them share a compiled step.
        """
        content, style, *terms = (
            dataclasses.replace(term, weight=1.0) for term in self.objective.values()
        )
        return dataclasses.replace(
            self,
            name="",
            content=content,
            style=style,
            terms=tuple(terms),
            strengths=(),
            init="content",
            steps=1,
        )

    def as_dict(self) -> dict[str, Any]:
        """Returns the recipe as plain values that JSON can hold; `from_dict` reads them."""
        optimizer = {"name": self.optimizer.name}
        optimizer |= {name: getattr(self.optimizer, name) for name in _fields(self.optimizer)}
        values = {name: getattr(self, name) for name in _fields(self)}
        values |= {
            "content": self.content.as_dict(),
            "style": self.style.as_dict(),
            "terms": [term.as_dict() for term in self.terms],
            "optimizer": optimizer,
            "surrogate": getattr(self.surrogate, "name", self.surrogate),
            "pyramid": None if self.pyramid is None else dataclasses.asdict(self.pyramid),
        }
        # Values of anybody's parts may be anything that can be hashed.
        plain: dict[str, Any] = json.loads(json.dumps(values, default=str))
        return plain

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recipe:
        """Returns the recipe that `as_dict` gave, made of parts that come with mnst.

        Raises:
            ValueError: If it has a part that does not come with mnst, or isn't what `as_dict` gave.
        """
        try:
            return cls._from_dict(values)
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(
                f"values is {shown(values)}: give what as_dict gave ({error})"
            ) from None

    @classmethod
    def _from_dict(cls, values: Mapping[str, Any]) -> Recipe:
        def read(kinds: Mapping[str, Any], part: Mapping[str, Any]) -> Any:
            rest = {field: value for field, value in part.items() if field != "name"}
            return kinds[check_choice("name", part["name"], kinds)](**rest)

        return cls(
            **{
                **values,
                "content": read(TERMS, values["content"]),
                "style": read(TERMS, values["style"]),
                "terms": tuple(read(TERMS, term) for term in values["terms"]),
                "optimizer": read(OPTIMIZERS, values["optimizer"]),
                "pyramid": None if values["pyramid"] is None else Pyramid(**values["pyramid"]),
            }
        )


def _check_strengths(strengths: Any) -> tuple[float, ...]:
    """Returns alphas as a tuple of floats, if they are such as strengths are.

    Raises:
        ValueError: If they aren't.
    """
    wrong = f"strengths is {shown(strengths)}: give two or more alphas above 0 that fall, or none"
    if isinstance(strengths, (str, bytes)):  # whose letters could be read as numbers
        raise ValueError(wrong)
    try:
        alphas = tuple(map(float, strengths))
    except (TypeError, ValueError):
        raise ValueError(wrong) from None
    falls = all(later < alpha for alpha, later in pairwise(alphas))
    if alphas and not (len(alphas) > 1 and falls and alphas[-1] > 0 and alphas[0] < math.inf):
        raise ValueError(wrong)
    return alphas


def _fields(part: Any) -> tuple[str, ...]:
    """Returns the names of a part's fields; none, if it is no dataclass."""
    return tuple(f.name for f in dataclasses.fields(part)) if dataclasses.is_dataclass(part) else ()


def _with(part: Any, field: str, value: Any, name: str) -> Any:
    """Returns a part with a field changed; if it refuses, it is by the name that was given."""
    try:
        return dataclasses.replace(part, **{field: value})
    except ValueError as error:
        raise ValueError(name + str(error).removeprefix(field)) from None


_EQUAL = {f"block{block}_conv1": 0.2 for block in range(1, 6)}

ARTICLE: Recipe = Recipe(
    name="article",
    content=Content(layers={"block5_conv2": 1.0}, weight=0.002),
    style=Gram(
        layers={
            "block1_conv1": 1.0,
            "block2_conv1": 1.0,
            "block3_conv1": 0.2,
            "block4_conv1": 0.3,
            "block5_conv1": 0.01,
        },
        weight=0.02,
    ),
    optimizer=Adam(learning_rate=12.0, decay_steps=100, decay_rate=0.6),
    steps=100,
)
"""The article's setup ("The Setup")."""

PAPER: Recipe = Recipe(
    name="paper",
    # The paper gives the ratio alone (section 4.1). A common factor of the two changes nothing.
    content=Content(layers={"block4_conv2": 1.0}, weight=0.01, reduction="half_sum"),
    style=Gram(layers=_EQUAL, weight=1.0, reduction="gatys"),
    # From noise Adam is far from the end after hundreds of steps, and what it leaves undone is the
    # photo. The picture that the paper shows is that of losses which have settled.
    optimizer=LBFGS(learning_rate=20.0),
    init="noise",
    steps=120,
)
"""The paper's equations 2 to 5, from white noise, by L-BFGS, as Gatys had it."""

TUTORIAL: Recipe = Recipe(
    name="tutorial",
    content=Content(layers={"block5_conv2": 1.0}, weight=1e4),
    style=Gram(layers=_EQUAL, weight=1e-2, kind="mean"),
    # The tutorial optimises pixels in 0..1. On 0..255 a step is 255 times as long, and gradients,
    # and with them epsilon, are 255 times smaller; Adam then takes the very same path.
    optimizer=Adam(learning_rate=0.02 * 255, decay_rate=1.0, beta_1=0.99, epsilon=0.1 / 255),
    steps=1000,
)
"""TensorFlow's style transfer tutorial, without its total variation loss."""

FAST: Recipe = ARTICLE.replace(
    name="fast",
    optimizer=LBFGS(learning_rate=4.0),
    surrogate="vgg19-lite",
    correct_every=20,
    margin=8,
    steps=60,
)
"""The article's losses in less time: L-BFGS, and a small network that VGG19 corrects."""

FINE: Recipe = Recipe(
    name="fine",
    content=Content(layers={"block4_conv2": 1.0}, weight=10.0, normalized=True),
    # Shallow layers come much nearer to their targets than deep ones: weighted so, all count.
    style=Moments(
        layers={
            "block1_conv1": 30.0,
            "block2_conv1": 20.0,
            "block3_conv1": 10.0,
            "block4_conv1": 2.0,
            "block5_conv1": 0.5,
        },
    ),
    optimizer=LBFGS(learning_rate=4.0),
    surrogate="vgg19-lite",
    correct_every=10,
    pyramid=Pyramid(smallest=96, fall=0.6),
    margin=8,
    strengths=(1000.0, 200.0, 25.0, 2.5, 0.03),
    steps=120,
)
"""The best pictures: means and covariances apart, without units, and coarse to fine; the default.

Its losses, sizes and weights are our own; docs/howto/fine.md says what was tried, and how it
compares.
"""

DRAFT: Recipe = FINE.replace(name="draft", correct_every=20, steps=50)
"""`FINE` in a few seconds: for looking around."""

RECIPES = {recipe.name: recipe for recipe in (FINE, DRAFT, FAST, ARTICLE, PAPER, TUTORIAL)}
"""The recipes by name, as the command line knows them."""


def get_recipe(recipe: Recipe | str | Mapping[str, Any]) -> Recipe:
    """Returns a recipe, given itself, its name, or what settings have of it.

    Args:
        recipe: A `Recipe`, or a name with optional changes, by the names that `Recipe.replace`
            takes: "article", "paper,alpha=0.1", "article,steps=300,learning_rate=8",
            "fine,strength=0.3,total_variation=0.1". Or a dict from `Recipe.as_dict`.

    Raises:
        ValueError: If the name or a field is unknown, or a value is out of its range.
        TypeError: If it is none of these.

    Example:
        >>> from mnst.recipes import get_recipe
        >>> get_recipe("article,steps=300").steps
        300
    """
    if isinstance(recipe, Recipe):
        return recipe
    if isinstance(recipe, Mapping):
        try:
            return Recipe.from_dict(recipe)
        except ValueError as error:
            raise ValueError(f"recipe: {error}") from None
    if not isinstance(recipe, str):
        raise TypeError(f"recipe is {shown(recipe)}: give a Recipe or one's name")
    name, *changes = recipe.split(",")
    if name not in RECIPES:
        raise ValueError(
            f"recipe is {shown(name)}: give one of {', '.join(RECIPES)}, or a Recipe"
            f"{did_you_mean(name, RECIPES)}"
        )
    base = RECIPES[name]
    for change in changes:
        base = base.replace(**_parse_change(base, change))
    return base


def _parse_change(base: Recipe, change: str) -> dict[str, Any]:
    """Reads "alpha=0.1" as the type that the value has; layers are changed from Python."""
    field, _, text = change.partition("=")
    parts = (base, base.optimizer)
    known = {name: getattr(part, name) for part in parts for name in _fields(part)}
    known |= {
        "alpha": 0.0,
        "beta": 0.0,
        "optimizer": "",
        **dataclasses.asdict(Pyramid()),
        **({"strength": 0.0} if base.strengths else {}),
        **dict.fromkeys(_NEED_A_WEIGHT_ALONE, 0.0),
    }
    kinds = {
        name: type(value)
        for name, value in known.items()
        if isinstance(value, (int, float, str)) and name != "name"
    }
    if field not in kinds:
        raise ValueError(
            f"recipe has {shown(change)}: give FIELD=VALUE, FIELD one of {', '.join(kinds)}"
            f"{did_you_mean(field, kinds)}"
        )
    try:
        return {field: kinds[field](text)}
    except ValueError:
        kind = "a whole number" if kinds[field] is int else "a number"
        raise ValueError(f"recipe has {shown(change)}: {field} takes {kind}") from None
