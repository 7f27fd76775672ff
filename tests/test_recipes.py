import json
import pickle

import numpy as np
import pytest

import mnst
from mnst.objective import Content, Gram, TotalVariation
from mnst.recipes import RECIPES, get_recipe


def test_the_article_is_as_written():
    """ "The Setup" of the article, number by number."""
    recipe = mnst.ARTICLE
    assert dict(recipe.content.layer_weights) == {"block5_conv2": 1.0}
    assert dict(recipe.style.layer_weights) == {
        "block1_conv1": 1.0,
        "block2_conv1": 1.0,
        "block3_conv1": 0.2,
        "block4_conv1": 0.3,
        "block5_conv1": 0.01,
    }
    assert (recipe.alpha, recipe.beta) == (0.002, 0.02)
    adam = recipe.optimizer
    assert (adam.learning_rate, adam.decay_steps, adam.decay_rate) == (12.0, 100, 0.6)
    assert (adam.name, adam.frequency_floor) == ("adam", 0)
    assert (recipe.style.kind, recipe.style.reduction, recipe.content.reduction) == (
        "sum",
        "mean",
        "mean",
    )
    assert (recipe.init, recipe.steps) == ("content", 100)
    assert (recipe.terms, recipe.surrogate) == ((), "none")


def test_the_paper_is_as_written():
    recipe = mnst.PAPER
    assert dict(recipe.content.layer_weights) == {"block4_conv2": 1.0}
    assert {weight for _, weight in recipe.style.layer_weights} == {1 / 5}
    assert recipe.alpha / recipe.beta == pytest.approx(1e-2)
    assert (recipe.style.kind, recipe.style.reduction, recipe.content.reduction) == (
        "sum",
        "gatys",
        "half_sum",
    )


def test_the_tutorials_step_on_255_is_its_step_on_unit_pixels():
    """Adam on x in 0..1, and with the recipe's numbers on 255 x, takes the same path."""
    adam = mnst.TUTORIAL.optimizer
    unit = _adam(0.5, lambda x: 2 * (x - 0.1), 0.02, 0.99, adam.beta_2, 0.1)
    byte = _adam(
        127.5,
        lambda x: 2 * (x / 255 - 0.1) / 255,
        adam.learning_rate,
        adam.beta_1,
        adam.beta_2,
        adam.epsilon,
    )
    np.testing.assert_allclose(byte / 255, unit, rtol=1e-12)


def _adam(x, gradient, rate, beta_1, beta_2, epsilon):
    m = v = 0.0
    for step in range(1, 21):
        g = gradient(x)
        m = beta_1 * m + (1 - beta_1) * g
        v = beta_2 * v + (1 - beta_2) * g * g
        rate_now = rate * np.sqrt(1 - beta_2**step) / (1 - beta_1**step)
        x -= rate_now * m / (np.sqrt(v) + epsilon)
    return x


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_a_recipe_survives_its_dict_and_a_pickle(recipe):
    read = mnst.Recipe.from_dict(json.loads(json.dumps(recipe.as_dict())))
    assert read == recipe
    assert pickle.loads(pickle.dumps(recipe)) == recipe
    assert hash(recipe) == hash(read)


def test_layers_are_named_once():
    recipe = mnst.ARTICLE.replace(content_layers={"block1_conv1": 1, "block5_conv2": 1})
    assert recipe.layers.count("block1_conv1") == 1
    assert "block5_conv2" in recipe.layers


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"alpha": -1}, "^alpha is -1: give a number, 0 or more$"),
        ({"beta": float("nan")}, "beta is nan"),
        ({"learning_rate": 0}, "learning_rate is 0"),
        ({"decay_rate": 1.5}, r"decay_rate is 1.5: give a number, in \(0, 1\]"),
        ({"beta_1": 1}, "beta_1 is 1"),
        ({"steps": 0}, "steps is 0: give a whole number"),
        ({"steps": 2.5}, "steps is 2.5"),
        ({"steps": True}, "steps is True"),
        ({"style_layers": {}}, "style_layers is empty"),
        ({"style_layers": {"block1_conv1": -1}}, r"^style_layers\['block1_conv1'\] is -1:"),
        ({"total_variation": -1}, "^total_variation is -1: give a number, 0 or more$"),
        ({"init": "photo"}, "one of content, noise"),
        ({"optimizer": "sgd"}, "optimizer is 'sgd': give one of adam, lbfgs"),
        ({"surrogate": "vgg11"}, "surrogate is 'vgg11': give one of none, "),
        ({"correct_every": 0}, "correct_every is 0: give a whole number, 1 or more"),
    ],
)
def test_a_value_out_of_range_is_named(change, said):
    with pytest.raises(ValueError, match=said):
        mnst.ARTICLE.replace(**change)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda layers: Gram(layers=layers, kind="max"), "kind is 'max': .* sum, mean"),
        (lambda layers: Gram(layers=layers, reduction="max"), "reduction is .* mean, gatys"),
        (lambda layers: Gram(layers={}), "layers is empty: name at least one layer"),
        (lambda layers: Content(layers=layers, reduction="max"), "reduction is .* mean, half_sum"),
        (lambda layers: Content(layers=layers, weight=-1), "weight is -1: .* 0 or more"),
    ],
)
def test_a_value_of_a_term_that_is_out_of_range_is_named(make, said):
    with pytest.raises(ValueError, match=said):
        make({"block1_conv1": 1})


def test_an_unknown_field_is_named():
    with pytest.raises(TypeError, match=r"no 'gama'; .*it has name, content, style, .*, alpha"):
        mnst.ARTICLE.replace(gama=1)
    with pytest.raises(TypeError, match=r"no 'learnin_rate'; did you mean 'learning_rate'\?"):
        mnst.ARTICLE.replace(learnin_rate=1)
    with pytest.raises(TypeError, match="no 'decay_rate'; "):  # which L-BFGS has not
        mnst.FAST.replace(decay_rate=0.5)


def test_parts_are_changed_by_the_names_of_their_values():
    changed = mnst.ARTICLE.replace(
        alpha=1,
        beta=2,
        content_layers={"block1_conv1": 3},
        style_layers=[("block2_conv1", 4)],
        learning_rate=5,
        steps=6,
    )
    assert (changed.alpha, changed.beta, changed.steps) == (1, 2, 6)
    assert changed.content == Content(layers={"block1_conv1": 3}, weight=1)
    assert changed.style == Gram(layers={"block2_conv1": 4}, weight=2)
    assert changed.optimizer == mnst.optimizers.Adam(learning_rate=5, decay_rate=0.6)
    assert changed.layers == ("block2_conv1", "block1_conv1")
    # Those of a part that is given at the same time, too.
    quasi_newton = mnst.ARTICLE.replace(pairs=5, optimizer="lbfgs")
    assert quasi_newton.optimizer == mnst.optimizers.LBFGS(pairs=5)


def test_a_change_keeps_the_order_of_the_terms():
    """In which they are added up."""

    class Other(TotalVariation):
        name = "other"

    both = mnst.ARTICLE.replace(terms=[TotalVariation(weight=1), Other(weight=2)])
    changed = both.replace(total_variation=3)
    assert [(term.name, term.weight) for term in changed.terms] == [
        ("total_variation", 3),
        ("other", 2),
    ]
    assert changed.replace(total_variation=1) == both
    assert [term.weight for term in both.replace(other=4).terms] == [1, 4]
    with pytest.raises(TypeError, match=r"no 'othr'; did you mean 'other'\?"):
        both.replace(othr=4)


def test_two_terms_have_two_names():
    with pytest.raises(ValueError, match="terms are content, style, total_variation, total_var"):
        mnst.ARTICLE.replace(terms=[TotalVariation(), TotalVariation(reduction="sum")])


def test_a_recipe_by_name_with_changes():
    assert get_recipe("paper") == mnst.PAPER
    assert get_recipe("article,alpha=0.5,steps=7") == mnst.ARTICLE.replace(alpha=0.5, steps=7)
    assert get_recipe(mnst.TUTORIAL) is mnst.TUTORIAL
    assert get_recipe("article,optimizer=lbfgs,pairs=4") == mnst.ARTICLE.replace(
        optimizer=mnst.optimizers.LBFGS(pairs=4)
    )
    assert get_recipe("article,frequency_floor=0.01").optimizer.frequency_floor == 0.01


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gatys", "one of fine, draft, fast, article, paper"),
        ("article,alpha", "alpha takes a number"),
        ("article,alpha=x", "alpha takes a number"),
        ("article,steps=1.5", "steps takes a whole number"),
        ("article,color=1", "FIELD one of optimizer, surrogate, .*, total_variation$"),
        ("articel", r"did you mean 'article'\?"),
        ("article,total_variation=much", "total_variation takes a number"),
        ("article,alpha=-1", "alpha is -1"),
    ],
)
def test_a_name_that_does_not_parse_is_named(text, said):
    with pytest.raises(ValueError, match=said):
        get_recipe(text)


def test_something_else_is_no_recipe():
    with pytest.raises(TypeError, match=r"recipe is \['article'\]: give a Recipe"):
        get_recipe(["article"])
    with pytest.raises(ValueError, match="give what as_dict gave"):
        get_recipe({"name": "article"})


def test_what_settings_have_of_a_recipe_is_one():
    assert get_recipe(mnst.FINE.as_dict()) == mnst.FINE
