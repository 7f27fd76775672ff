import sys

import numpy as np
import pytest
from scenes import PHOTO, RECIPE, STYLES, options

import mnst
from mnst import figures
from mnst.masks import segmentation
from mnst.masks.segmentation import PASCAL_VOC, Segmentation


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


@pytest.fixture
def person(monkeypatch):
    """Makes the left half of every photo a person, whoever asks."""

    def segment(image, **_):
        labels = np.zeros(image.shape[:2], np.int32)
        labels[:, : image.shape[1] // 2] = PASCAL_VOC.index("person")
        return Segmentation(image, labels, PASCAL_VOC, "stand-in")

    monkeypatch.delenv("MNST_DEEPLAB", raising=False)
    for place in (figures, segmentation):
        monkeypatch.setattr(place, "segment", segment)


def test_the_paper_s_localized_figures(scene, person, tmp_path):
    photo, styles, options = scene
    made = figures.localized(photo, styles, **options)
    middle = np.s_[:, 13:]
    for result, by in ((made.composite, "composite"), (made.guided, "guided")):
        assert result.settings["gamma"] == [0.2, 0.8]
        assert result.settings["localized"]["by"] == by
        np.testing.assert_array_equal(result.image[:, :11], photo[:, :11])
    assert np.asarray(made.mask_picture())[0, [0, -1]].tolist() == [[255] * 3, [0] * 3]
    np.testing.assert_array_equal(np.asarray(made.kept())[:, :11], photo[:, :11])
    assert np.all(np.asarray(made.kept())[middle] == 127)
    np.testing.assert_array_equal(np.asarray(made.result()), made.composite.image)
    claims = made.claims()
    assert "person 50.0%" in claims[0].here
    assert "100.0% of the pixels inside" in claims[1].here
    assert all(claim.holds for claim in claims[:2])
    changed = np.any(made.composite.image != photo, axis=2)[middle].mean()
    assert f"{changed:.1%} of the pixels outside" in claims[2].here
    assert [path.stem for path in made.save(tmp_path)] == [
        "paper_7_mask",
        "paper_8_kept",
        "paper_9_localized",
        "paper_9_guided",
    ]


def test_localized_figures_are_the_paper_s_ratio():
    from mnst.recipes import PAPER

    assert PAPER.alpha / PAPER.beta == pytest.approx(1e-2)


def test_localized_figures_need_what_finds_people(scene, monkeypatch):
    photo, styles, options = scene
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ImportError, match=r"pip install 'mnst\[people\]'"):
        figures.localized(photo, styles, **options)
