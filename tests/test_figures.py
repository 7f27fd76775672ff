import numpy as np
import pytest
from scenes import PHOTO, RECIPE, STYLES, options

import mnst
from mnst import figures


@pytest.fixture(scope="module")
def scene(random_weights):
    return PHOTO, STYLES, options(random_weights, steps=6)


@pytest.fixture(scope="module")
def article(scene):
    photo, styles, options = scene
    return figures.article(photo, styles, gammas=[0, 0.25, 0.5, 0.75, 1], refine=1, **options)


def test_the_article_s_curves_hold_both_sweeps_and_the_prediction(article):
    left, right = article.curves().axes
    for axes, runs in ((left, article.plain), (right, article.calibrated)):
        improved = [run.result.relative_improvement[0] for run in runs]
        np.testing.assert_allclose(axes.get_lines()[0].get_ydata(), improved)
    assert left.get_title() == "sigma 1, 1"
    predicted = left.get_lines()[4].get_ydata()
    gammas = left.get_lines()[4].get_xdata()
    at_half = np.interp(0.5, gammas, predicted)
    told = article.calibration.predict(0.5, sigma=(1, 1))[0]
    assert at_half == pytest.approx(told, rel=0.01)


def test_the_article_s_claims_are_measured(article):
    claims = article.claims()
    first, second = article.calibrated[2].result.relative_improvement
    balanced = next(claim for claim in claims if "equally at gamma = 0.5" in claim.claim)
    assert f"{abs(np.log(first / second)):.3f}" in balanced.here
    assert balanced.holds == (abs(np.log(first / second)) <= 0.05)
    assert str(balanced).startswith("[x]" if balanced.holds else "[ ]")


def test_the_crossing_is_where_the_measured_curves_cross(article):
    ratios = [np.divide(*run.result.relative_improvement) for run in article.plain]
    crossing = figures._crossing(article.plain)
    below = [run.gamma for run, ratio in zip(article.plain, ratios, strict=True) if ratio < 1]
    above = [run.gamma for run, ratio in zip(article.plain, ratios, strict=True) if ratio > 1]
    assert max(below) <= crossing <= min(above)


def test_figures_are_written(article, tmp_path):
    paths = article.save(tmp_path)
    assert {path.stem for path in paths} == {
        "article_3_inputs",
        "article_4_results",
        "article_6_8_curves",
        "article_9_results",
        "article_closed_form",
    }
    assert all(path.stat().st_size > 0 for path in paths)


def test_the_closed_form_explains_the_article_s_numbers():
    labels = [text.get_text() for text in figures.closed_form().axes[0].get_legend().get_texts()]
    assert "1 at gamma = 0.345 (article: 0.34)" in labels[0]
    assert "1 at gamma = 0.655 (article: 0.64)" in labels[1]
    assert "sigma_2 = 1.9: 1 at gamma = 0.500" in labels[2]


def test_the_paper_s_figures(scene, tmp_path):
    photo, styles, options = scene
    recipe = mnst.PAPER.replace(
        content_layers=RECIPE.content_layers, style_layers=RECIPE.style_layers
    )
    paper = figures.paper(
        photo,
        styles,
        gammas=[0, 0.5, 1],
        alpha_beta=[1e-4, 1e-2, 1],
        **{**options, "recipe": recipe},
    )
    assert paper.chosen() is paper.ratios[1].result
    assert [run.result.settings["gamma"] for run in paper.ratios] == [[1.0]] * 3
    ratios = [run.result.loss_ratio[0] for run in paper.gammas]
    np.testing.assert_allclose(paper.curves().axes[0].get_lines()[0].get_ydata(), ratios)
    assert len(paper.claims()) == 3
    assert len(paper.save(tmp_path)) == 5
