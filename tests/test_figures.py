"""The figures are made of the runs that they should be, and each claim can hold and fail.

The claims are tested on made-up runs, whose losses are such that the outcome is known by hand.
"""

import inspect
import math

import numpy as np
import pytest
from PIL import Image
from scenes import PHOTO, RECIPE, STYLES, options

import mnst
from mnst import figures
from mnst.masks import segmentation
from mnst.masks.models import PASCAL_VOC
from mnst.masks.segmentation import Segmentation
from mnst.painting.calibration import CalibrationRun
from mnst.sweeping.outcome import SweepRun

PERSON = PASCAL_VOC.index("person")


# Made-up runs


def made_up(gamma, *, start=(1.0, 1.0), final=(1.0, 1.0), content=1.0, image=PHOTO):
    losses = {"content": content, "style_1": final[0], "style_2": final[1], "total": 1.0}
    return mnst.Result(
        image=image,
        history=(mnst.StepRecord(step=3, losses=losses, learning_rate=1.0, seconds=1.0, size=1),),
        start_losses=start,
        settings={"gamma": [gamma, 1 - gamma], "sigma": [1.0, 1.0]},
    )


def over_gamma(log_ratios, start, greys):
    """Runs whose log(RI_1 / RI_2) is what is given for each gamma; RI_2 is 1.

    Their pictures are grey, at 0, 0.5, and 1 as is given, and between in proportion.
    """
    return mnst.Sweep(
        tuple(
            SweepRun(
                photo=0,
                gamma=gamma,
                recipe=mnst.ARTICLE,
                outcome=made_up(
                    gamma,
                    start=start,
                    final=(start[0] / math.exp(value), start[1]),
                    image=np.full((2, 2, 3), np.interp(gamma, (0, 0.5, 1), greys), np.uint8),
                ),
            )
            for gamma, value in sorted(log_ratios.items())
        )
    )


ENDS = {0.0: -9, 1.0: 9}


def article_of(
    *,
    start=(4.0, 1.0),
    plain=None,
    calibrated=None,
    imbalances=(0.1,),
    greys=(10, 90, 110),
    balanced_greys=(10, 50, 100),
):
    """The article's figures, such that all claims hold unless something is changed.

    `plain` and `calibrated` are log(RI_1 / RI_2) by gamma, but for 0 and 1; greys are the pictures.
    """
    plain = plain or {0.25: -1, 0.5: 1.4, 0.75: 3}
    calibrated = calibrated or {0.25: -2, 0.5: 0.01, 0.75: 1.9}
    calibration = mnst.Calibration(
        sigma=(1.0, 2.0),
        method="closed-form",
        start_losses=start,
        distances=np.array([[0.0, 2.0], [2.0, 0.0]]),
        runs=tuple(CalibrationRun((1.0, 2.0), (math.exp(im), 1.0), 3, 1.0) for im in imbalances),
        tolerance=0.05,
        converged=True,
    )
    return figures.ArticleFigures(
        inputs=Image.fromarray(PHOTO),
        calibration=calibration,
        plain=over_gamma(plain | ENDS, start, greys),
        calibrated=over_gamma(calibrated | ENDS, start, balanced_greys),
    )


def test_gammas_without_a_half_are_read_off_between_their_neighbours():
    claims = article_of(calibrated={0.25: -2, 0.75: 1.94}).claims()
    assert claims[6].here == pytest.approx(-0.03)
    assert failing(claims) == [9]  # which needs the picture


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"gammas": [0.5]}, "gammas is .*: give a list of two numbers or more"),
        ({"gammas": [0, 2]}, r"gammas\[1\] is 2: give a number, between 0 and 1"),
        ({"refine": -1}, "refine is -1"),
        ({"folder": ""}, "folder is '': give a path"),
        ({"folder": __file__}, "folder is .*: .* is no folder"),
    ],
)
@pytest.mark.parametrize("make", [figures.article, figures.paper, figures.localized])
def test_bad_options_are_named_before_the_first_run(tripwire, monkeypatch, make, changed, said):
    monkeypatch.delenv("MNST_DEEPLAB", raising=False)
    if changed.keys() <= inspect.signature(make).parameters.keys():
        with pytest.raises((ValueError, OSError), match=said):
            make(PHOTO, STYLES, **changed)


def failing(claims):
    return [place for place, claim in enumerate(claims) if not claim.holds]


# The article's claims


# By hand: 7 of 12 parts of the way from log ratio -1 at 0.25 to 1.4 at 0.5 it is 0; the closed form
# says 1 / (1 + sqrt(4 / 1)).
CROSSING = 0.25 + 0.25 * 1 / 2.4
ARTICLE_S = [
    4,
    math.exp(1.4) / 4,
    0.5 - CROSSING,
    CROSSING - 1 / 3,
    20 / 80,
    0.1,
    0.01,
    0.1 / 2,
    0.4 * 1.89,
    40 / 50,
]


def test_the_article_s_claims_hold_where_they_should():
    claims = article_of().claims()
    assert failing(claims) == []
    assert [claim.here for claim in claims] == pytest.approx(ARTICLE_S)
    assert all(str(claim).startswith("[x] ") for claim in claims)


@pytest.mark.parametrize(
    ("changed", "places", "here"),
    [
        (
            {"start": (1.0, 1.05), "plain": {0.25: -2.4, 0.5: -0.04, 0.75: 2.3}},
            [0, 2],  # equal losses do not cross elsewhere
            1.05,
        ),
        # A quarter of the start losses' ratio more than that; the crossing stays.
        ({"plain": {0.25: -1.2, 0.5: 1.68, 0.75: 3}}, [1], math.exp(1.68) / 4),
        # The start losses' ratio is 1.2: 1 / (1 + 1.0954) = 0.4772.
        (
            {"start": (1.2, 1.0), "plain": {0.25: -1, 0.5: 0.05, 0.75: 1}},
            [2],
            0.5 - 0.25 * (1 + 1 / 1.05),
        ),
        # 1 / (1 + sqrt(6)) = 0.29, where the runs say 0.34.
        (
            {"start": (6.0, 1.0), "plain": {0.25: -1, 0.5: 1.8, 0.75: 3}},
            [3],
            0.25 + 0.25 / 2.8 - 1 / (1 + math.sqrt(6)),
        ),
        ({"greys": (10, 50, 85)}, [4], 35 / 40),
        ({"imbalances": (0.2, 0.01)}, [5], 0.2),
        ({"imbalances": ()}, [5], math.nan),
        ({"calibrated": {0.25: -2, 0.5: -0.06, 0.75: 1.9}}, [6], -0.06),
        ({"calibrated": {0.25: -2, 0.5: 0.01, 0.75: 1.4}}, [7], 0.6 / 2),
        (
            {"calibrated": {0.1: -2, 0.25: -2.1, 0.5: 0, 0.75: 2.1, 0.9: 2.2}},
            [8],
            -0.1 * 0.1 / 0.15,
        ),
        ({"balanced_greys": (10, 50, 81)}, [9], 31 / 40),
        ({"balanced_greys": (10, 10, 10)}, [9], math.nan),
    ],
    ids=[
        "equal start losses",
        "another improvement than their ratio",
        "crossing at a half",
        "crossing elsewhere than told",
        "pictures change evenly",
        "closed form missed",
        "nothing tried",
        "not equal at a half",
        "not symmetric",
        "not rising",
        "one style dominates",
        "all pictures the same",
    ],
)
def test_each_of_the_article_s_claims_fails_by_itself(changed, places, here):
    claims = article_of(**changed).claims()
    assert failing(claims) == places
    assert claims[places[0]].here == pytest.approx(here, nan_ok=True)
    assert str(claims[places[0]]).startswith("[ ] ")


def test_a_claim_says_what_agrees_with_it():
    def said(here, within):
        return str(figures.Claim("true", "fig. 1", "2", "number", here, within))

    assert said(2.0, (1.5, 2.5)) == "[x] true (fig. 1: 2): number 2, from 1.5 to 2.5"
    assert said(3.0, (-math.inf, 2.5)) == "[ ] true (fig. 1: 2): number 3, not at most 2.5"
    assert said(3.0, (2.5, math.inf)) == "[x] true (fig. 1: 2): number 3, at least 2.5"
    assert said(1.0, (1.0, 1.0)) == "[x] true (fig. 1: 2): number 1, 1"
    assert said(math.nan, (-math.inf, 2.5)).startswith("[ ]")


# The article's figures


def test_the_article_s_curves_hold_both_sweeps_and_the_prediction():
    left, right = article_of().curves().axes
    for axes, log_ratios in ((left, (-9, -1, 1.4, 3, 9)), (right, (-9, -2, 0.01, 1.9, 9))):
        first, second, ratio = axes.get_lines()[:3]
        np.testing.assert_allclose(first.get_xdata(), [0, 0.25, 0.5, 0.75, 1])
        np.testing.assert_allclose(first.get_ydata(), np.exp(log_ratios))
        np.testing.assert_allclose(second.get_ydata(), 1)
        np.testing.assert_allclose(ratio.get_ydata(), np.exp(log_ratios))
    assert left.get_title() == "sigma 1, 1"
    *predicted, crossing = left.get_lines()[4:]
    # Half-way between styles of distance 2, each loss is 0.5^2 * 2; they were 4 and 1.
    np.testing.assert_allclose([at_half(line) for line in predicted], [8, 2, 4], rtol=1e-6)
    np.testing.assert_allclose(crossing.get_xdata(), CROSSING)


def at_half(line):
    return np.interp(0.5, line.get_xdata(), line.get_ydata())


@pytest.fixture(scope="module")
def scene(random_weights):
    return PHOTO, STYLES, options(random_weights, steps=6)


@pytest.fixture(scope="module")
def article(scene):
    photo, styles, options = scene
    return figures.article(photo, styles, gammas=[0, 0.25, 0.5, 0.75, 1], refine=1, **options)


def test_the_article_s_runs_are_without_sigma_and_with_it(article, scene):
    photo, styles, options = scene
    sigma = mnst.calibrate(photo, styles, refine=1, **options).sigma
    assert sigma[1] != 1
    for runs, expected in ((article.plain, (1, 1)), (article.calibrated, sigma)):
        assert [run.gamma for run in runs] == [0, 0.25, 0.5, 0.75, 1]
        assert [tuple(run.result.settings["sigma"]) for run in runs] == [expected] * 5
    alone = mnst.stylize(photo, styles, gamma=0.25, sigma=sigma, **options)
    np.testing.assert_array_equal(article.calibrated[1].result.image, alone.image)


def test_the_article_s_figures_are_written(article, tmp_path):
    paths = article.save(tmp_path)
    assert [path.name for path in paths] == [
        "article_3_inputs.png",
        "article_4_results.png",
        "article_6_8_curves.png",
        "article_9_results.png",
        "article_closed_form.png",
    ]
    written = [read(path) for path in paths]
    np.testing.assert_array_equal(written[0], article.inputs)
    np.testing.assert_array_equal(written[1], article.plain.grid(columns=3))
    np.testing.assert_array_equal(written[3], article.calibrated.grid(columns=3))
    assert all(np.ptp(written[place]) > 0 for place in (2, 4))


def read(path):
    with Image.open(path) as image:
        return np.asarray(image)


def test_the_closed_form_explains_the_article_s_numbers():
    (axes,) = figures.closed_form().axes
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert "1 at gamma = 0.345 (article: 0.34)" in labels[0]
    assert "1 at gamma = 0.655 (article: 0.64)" in labels[1]
    assert "sigma_2 = 1.9: 1 at gamma = 0.500" in labels[2]
    curves = [line for line in axes.get_lines() if len(line.get_xdata()) > 2]
    np.testing.assert_allclose([at_half(line) for line in curves], [3.6, 1 / 3.6, 1], rtol=1e-6)


# The paper's


def edges(share):
    """A picture whose edges and those of `EDGES` have a correlation of that much.

    Each of its squares has 8 pixels, and a noise within it that does not count.
    """
    across = np.tile([0, 0, 200, 200], (4, 1))
    down = across.T
    mixed = share * across + math.sqrt(1 - share**2) * down
    noise = np.tile([[90, -90], [-90, 90]], (16, 16)) * (1 - share)
    return np.repeat((np.kron(mixed, np.ones((8, 8))) + noise)[..., None], 3, axis=2)


EDGES = edges(1.0)


def paper_of(
    content=(9, 5, 2),
    style=(0.1, 0.2, 0.8),
    shown=(0.1, 0.6, 0.9),
    first=(0.9, 0.5, 0.1),
    second=(0.1, 0.4, 0.8),
    ratios=(1e-4, 1e-2, 1),
):
    """The paper's figures, such that all claims hold unless something is changed."""
    over_ratios = tuple(
        SweepRun(
            photo=0,
            gamma=None,
            recipe=mnst.PAPER.replace(alpha=ratio),
            outcome=made_up(1.0, content=kept, final=(matched, 1.0), image=edges(seen)),
        )
        for ratio, kept, matched, seen in zip(ratios, content, style, shown, strict=True)
    )
    gammas = tuple(
        SweepRun(photo=0, gamma=gamma, recipe=mnst.PAPER, outcome=made_up(gamma, final=final))
        for gamma, final in zip((0, 0.5, 1), zip(first, second, strict=True), strict=True)
    )
    return figures.PaperFigures(
        inputs=Image.fromarray(PHOTO),
        photo=EDGES,
        ratios=mnst.Sweep(over_ratios),
        gammas=mnst.Sweep(gammas),
    )


def test_the_paper_s_claims_hold_where_they_should():
    claims = paper_of().claims()
    assert failing(claims) == []
    way = math.log(2) / math.log(10)
    ratio = max((0.5 / 0.4) / (0.9 / 0.1), (0.1 / 0.8) / (0.5 / 0.4))
    expected = [5 / 9, 2, 0.1, 0.9, 0.6, way, ratio]
    assert [claim.here for claim in claims] == pytest.approx(expected)


def test_the_order_of_the_ratios_is_no_matter():
    assert (
        failing(
            paper_of((2, 5, 9), (0.8, 0.2, 0.1), (0.9, 0.6, 0.1), ratios=(1, 0.01, 1e-4)).claims()
        )
        == []
    )


def test_a_style_that_is_matched_equally_well_at_first_is_no_objection():
    assert failing(paper_of(style=(0.1, 0.0995, 0.4)).claims()) == []


@pytest.mark.parametrize(
    ("changed", "place"),
    [
        ({"content": (9, 5, 6)}, 0),
        ({"content": (9, 9.1, 6)}, 0),
        ({"style": (0.1, 0.09, 0.4)}, 1),
        ({"shown": (0.4, 0.6, 0.9)}, 2),
        ({"shown": (0.1, 0.6, 0.7)}, 3),
        ({"shown": (0.1, 0.3, 0.9)}, 4),
        ({"style": (0.1, 0.4, 0.8)}, 5),
        ({"first": (0.9, 0.91, 0.1), "second": (0.1, 0.1, 0.8)}, 6),
    ],
)
def test_each_of_the_paper_s_claims_fails_by_itself(changed, place):
    assert failing(paper_of(**changed).claims()) == [place]


def test_the_chosen_result_is_that_of_the_nearest_order_of_magnitude():
    """Of 1e-3 and 5e-2, a tenth and five times the paper's 1e-2."""
    paper = paper_of(ratios=(1e-4, 1e-3, 5e-2))
    assert paper.chosen() is paper.ratios[2].result


@pytest.mark.slow
def test_the_paper_s_runs_and_figures(scene, tmp_path):
    photo, styles, options = scene
    recipe = mnst.PAPER.replace(
        content_layers=RECIPE.content.layers, style_layers=RECIPE.style.layers
    )
    given = {**options, "recipe": recipe}
    paper = figures.paper(photo, styles, gammas=[0, 0.5, 1], alpha_beta=[1e-4, 1e-2, 1], **given)
    assert [run.gamma for run in paper.gammas] == [0, 0.5, 1]
    assert [len(run.result.start_losses) for run in paper.ratios] == [1, 1, 1]
    used = [mnst.Recipe.from_dict(run.result.settings["recipe"]) for run in paper.ratios]
    assert [one.alpha / one.beta for one in used] == pytest.approx([1e-4, 1e-2, 1])
    assert paper.chosen() is paper.ratios[1].result
    ratios = [run.result.loss_ratio[0] for run in paper.gammas]
    np.testing.assert_allclose(paper.curves().axes[0].get_lines()[0].get_ydata(), ratios)
    paths = paper.save(tmp_path)
    assert [path.name for path in paths] == [
        "paper_2_inputs.png",
        "paper_3_alpha_beta.png",
        "paper_4_chosen.png",
        "paper_5_results.png",
        "paper_6_curves.png",
    ]
    np.testing.assert_array_equal(read(paths[1]), paper.ratios.grid(columns=3))
    np.testing.assert_array_equal(read(paths[2]), paper.ratios[1].result.image)
    np.testing.assert_array_equal(read(paths[3]), paper.gammas.grid(columns=2))


# The paper's localized transfer


def localized_of(*, painted=50, repainted=0, person=True):
    """Ten by ten pixels, whose left half is kept; so many of both halves are not the photo's."""
    content = np.zeros((10, 10, 3), np.uint8)
    mask = np.zeros((10, 10), np.float32)
    mask[:, :5] = person
    halves = [np.arange(50) < changed for changed in (repainted, painted)]
    changed = np.hstack([half.reshape(10, 5) for half in halves])
    image = np.where(changed[..., None], np.uint8(200), content)
    found = Segmentation(content, np.int32(PERSON * mask), PASCAL_VOC, "stand-in")
    result = made_up(0.2, image=image)
    return figures.LocalizedFigures(
        found=found, mask=mask, content=content, composite=result, guided=made_up(0.2)
    )


def test_the_claims_about_people_hold_where_they_should():
    claims = localized_of(painted=48).claims()
    assert failing(claims) == []
    assert [claim.here for claim in claims] == pytest.approx([0.5, 1.0, 0.96])


@pytest.mark.parametrize(
    ("changed", "places", "here"),
    [
        # Without a person there is no inside, of which the second claim could be true.
        ({"person": False, "repainted": 50}, [0, 1], [0, math.nan]),
        ({"repainted": 1}, [1], [0.98]),
        ({"painted": 47}, [2], [0.94]),
    ],
)
def test_each_of_the_claims_about_people_fails_by_itself(changed, places, here):
    claims = localized_of(**changed).claims()
    assert failing(claims) == places
    assert [claims[place].here for place in places] == pytest.approx(here, nan_ok=True)


@pytest.fixture
def person(monkeypatch):
    """Makes the left half of every photo a person, whoever asks."""

    def segment(image, **_):
        labels = np.zeros(image.shape[:2], np.int32)
        labels[:, : image.shape[1] // 2] = PERSON
        return Segmentation(image, labels, PASCAL_VOC, "stand-in")

    monkeypatch.delenv("MNST_DEEPLAB", raising=False)
    for place in (inspect.getmodule(figures.localized), segmentation):
        monkeypatch.setattr(place, "segment", segment)


@pytest.mark.slow
def test_the_paper_s_localized_figures(scene, person, tmp_path):
    photo, styles, options = scene
    made = figures.localized(photo, styles, **options)
    middle = np.s_[:, 13:]
    for result in (made.composite, made.guided):
        np.testing.assert_array_equal(result.image[:, :11], photo[:, :11])
        assert np.any(result.image != photo, axis=2)[middle].mean() > 0.9
    assert np.asarray(made.mask_picture())[0, [0, -1]].tolist() == [[255] * 3, [0] * 3]
    np.testing.assert_array_equal(np.asarray(made.kept())[:, :11], photo[:, :11])
    assert np.all(np.asarray(made.kept())[middle] == 127)
    np.testing.assert_array_equal(np.asarray(made.result()), made.composite.image)
    assert [path.stem for path in made.save(tmp_path)] == [
        "paper_7_mask",
        "paper_8_kept",
        "paper_9_localized",
        "paper_9_guided",
    ]
    np.testing.assert_array_equal(read(tmp_path / "paper_9_guided.png"), made.guided.image)


@pytest.mark.slow
def test_localized_runs_are_made_as_in_the_paper(scene, person):
    """At alpha / beta = 1e-2 and gamma 0.2, from noise, with the paper's layers, in both ways."""
    photo, styles, options = scene
    given = {name: value for name, value in options.items() if name != "recipe"}
    made = figures.localized(photo, styles, **{**given, "steps": 1})
    for result, way in ((made.composite, "composite"), (made.guided, "guided")):
        recipe = mnst.Recipe.from_dict(result.settings["recipe"])
        assert recipe.alpha / recipe.beta == pytest.approx(0.01)
        assert recipe.content.layer_names == ("block4_conv2",)
        assert recipe.style.layer_names == tuple(f"block{k}_conv1" for k in range(1, 6))
        assert result.settings["init"] == "noise"
        assert result.settings["gamma"] == [0.2, 0.8]
        assert result.settings["localized"]["by"] == way
        assert result.settings["localized"]["kept"] == pytest.approx(0.5)


def test_localized_figures_keep_what_they_are_told(scene, person):
    photo, styles, options = scene
    given = {**options, "steps": 1}
    made = figures.localized(photo, styles, keep="background", gamma=0.7, **given)
    for result in (made.composite, made.guided):
        np.testing.assert_array_equal(result.image[:, 13:], photo[:, 13:])
        assert result.settings["gamma"] == pytest.approx([0.7, 0.3])


# The further example


def test_the_example_is_calibrated_without_a_run(scene):
    photo, styles, options = scene
    result = figures.example(photo, styles, **options)
    first, second = result.start_losses
    assert result.settings["gamma"] == [0.4, 0.6]
    sigma = np.divide(*result.settings["sigma"])
    assert sigma == pytest.approx(math.sqrt(second / first))
