import pickle

import numpy as np
import pytest

import mnst
from mnst.recipes import RECIPES, get_recipe


def test_the_article_is_as_written():
    """ "The Setup" of the article, number by number."""
    recipe = mnst.ARTICLE
    assert dict(recipe.content_layers) == {"block5_conv2": 1.0}
    assert dict(recipe.style_layers) == {
        "block1_conv1": 1.0,
        "block2_conv1": 1.0,
        "block3_conv1": 0.2,
        "block4_conv1": 0.3,
        "block5_conv1": 0.01,
    }
    assert (recipe.alpha, recipe.beta) == (0.002, 0.02)
    assert (recipe.learning_rate, recipe.decay_steps, recipe.decay_rate) == (12.0, 100, 0.6)
    assert (recipe.gram, recipe.style_reduction, recipe.content_reduction) == ("sum",) + (
        "mean",
    ) * 2
    assert (recipe.init, recipe.steps) == ("content", 100)


def test_the_paper_is_as_written():
    recipe = mnst.PAPER
    assert dict(recipe.content_layers) == {"block4_conv2": 1.0}
    assert {weight for _, weight in recipe.style_layers} == {1 / 5}
    assert recipe.alpha / recipe.beta == pytest.approx(1e-2)
    assert (recipe.gram, recipe.style_reduction, recipe.content_reduction) == (
        "sum",
        "gatys",
        "half_sum",
    )


def test_the_tutorials_step_on_255_is_its_step_on_unit_pixels():
    """Adam on x in 0..1, and with the recipe's numbers on 255 x, takes the same path."""
    recipe = mnst.TUTORIAL
    unit = _adam(0.5, lambda x: 2 * (x - 0.1), 0.02, 0.99, recipe.beta_2, 0.1)
    byte = _adam(
        127.5,
        lambda x: 2 * (x / 255 - 0.1) / 255,
        recipe.learning_rate,
        recipe.beta_1,
        recipe.beta_2,
        recipe.epsilon,
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
    assert mnst.Recipe(**recipe.as_dict()) == recipe
    assert pickle.loads(pickle.dumps(recipe)) == recipe
    assert hash(recipe) == hash(mnst.Recipe(**recipe.as_dict()))


def test_layers_are_named_once():
    recipe = mnst.ARTICLE.replace(content_layers={"block1_conv1": 1, "block5_conv2": 1})
    assert recipe.layers.count("block1_conv1") == 1
    assert "block5_conv2" in recipe.layers


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"alpha": -1}, "alpha is -1"),
        ({"beta": float("nan")}, "beta is nan"),
        ({"learning_rate": 0}, "learning_rate is 0"),
        ({"decay_rate": 1.5}, r"decay_rate is 1.5: give a number, in \(0, 1\]"),
        ({"beta_1": 1}, "beta_1 is 1"),
        ({"steps": 0}, "steps is 0: give a whole number"),
        ({"steps": 2.5}, "steps is 2.5"),
        ({"steps": True}, "steps is True"),
        ({"style_layers": {}}, "style_layers is empty"),
        ({"style_layers": {"block1_conv1": -1}}, "block1_conv1"),
        ({"gram": "max"}, "one of sum, mean"),
        ({"style_reduction": "max"}, "one of mean, gatys"),
        ({"content_reduction": "max"}, "one of mean, half_sum"),
        ({"init": "photo"}, "one of content, noise"),
    ],
)
def test_a_value_out_of_range_is_named(change, said):
    with pytest.raises(ValueError, match=said):
        mnst.ARTICLE.replace(**change)


def test_an_unknown_field_is_named():
    with pytest.raises(TypeError, match="no 'gama'; it has name, content_layers"):
        mnst.ARTICLE.replace(gama=1)


def test_a_recipe_by_name_with_changes():
    assert get_recipe("paper") == mnst.PAPER
    assert get_recipe("article,alpha=0.5,steps=7") == mnst.ARTICLE.replace(alpha=0.5, steps=7)
    assert get_recipe(mnst.TUTORIAL) is mnst.TUTORIAL


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gatys", "one of article, paper, tutorial"),
        ("article,alpha", "alpha takes a number"),
        ("article,alpha=x", "alpha takes a number"),
        ("article,steps=1.5", "steps takes a whole number"),
        ("article,color=1", "FIELD one of name, "),
        ("article,alpha=-1", "alpha is -1"),
    ],
)
def test_a_name_that_does_not_parse_is_named(text, said):
    with pytest.raises(ValueError, match=said):
        get_recipe(text)


def test_something_else_is_no_recipe():
    with pytest.raises(TypeError, match="dict"):
        get_recipe({"name": "article"})
