"""What the article and the paper say, beside what comes out here: `python benchmarks/claims.py`.

Formulas are compared with NumPy in float64, and the article's numbers with the closed form. The
rest are runs, of three photos in two styles each, which are kept in a folder, so that it may be
broken off. `--page` writes the table into a page of Markdown, between two marks. DeepLab is needed
for what the paper says of people, and `--paintings FOLDER` adds paintings to the pairs of styles.
"""

import argparse
import itertools
import json
import math
from pathlib import Path

import numpy as np
import skimage.data
from matplotlib import cbook
from PIL import Image, ImageDraw

import mnst
from mnst import figures
from mnst.backend import keep_memory
from mnst.figures import Claim
from mnst.images import FORMATS
from mnst.objective.mixing import crossing
from mnst.paintings import dots, glass, ink, swirls

BEGIN, END = "<!-- written by benchmarks/claims.py -->", "<!-- the end of it -->"
EXACT = (0.0, 1e-4)  # of relative errors, in float32
HOPPER = cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
# Around Grace Hopper, by hand, in pixels of her photo.
OUTLINE = [
    *[(11, 600), (18, 528), (25, 453), (36, 412), (51, 385), (76, 370), (132, 355), (168, 342)],
    *[(190, 322), (203, 314), (197, 300), (183, 289), (165, 279), (161, 252), (156, 221)],
    *[(154, 196), (146, 184), (148, 131), (152, 106), (164, 95), (175, 83), (180, 65), (196, 49)],
    *[(218, 40), (219, 33), (239, 24), (262, 22), (284, 26), (300, 35), (304, 41), (325, 48)],
    *[(343, 63), (351, 86), (363, 87), (371, 93), (372, 131), (371, 176), (377, 184), (376, 211)],
    *[(367, 241), (363, 267), (356, 289), (340, 308), (331, 313), (350, 335), (386, 350)],
    *[(432, 367), (472, 377), (493, 395), (505, 428), (512, 448), (512, 600)],
]


def error(here, exact) -> float:
    exact = np.asarray(exact, np.float64)
    return float(np.max(np.abs(np.asarray(here) - exact)) / np.max(np.abs(exact)))


def formulas() -> list[Claim]:
    """What the code computes for features of noise, and what NumPy does from the texts."""
    noise = np.random.default_rng(0)
    f, p = noise.normal(size=(2, 1, 6, 7, 5)).astype(np.float32)
    columns, others = (np.float64(of).reshape(-1, 5).T for of in (f, p))  # N x M, as in eq. 1
    grams = [columns @ columns.T, others @ others.T]
    squares = np.sum((grams[0] - grams[1]) ** 2)
    n, m = columns.shape
    g, a = (mnst.gram_matrix(of) for of in (f, p))
    compared = {
        ("content loss", "paper, eq. 2"): (
            mnst.content_loss(f, p, reduction="half_sum"),
            [np.sum((columns - others) ** 2) / 2],
        ),
        ("Gram matrix", "paper, eq. 3"): (g[0], grams[0]),
        ("a layer's style loss", "paper, eq. 4"): (
            mnst.style_loss(g, a, reduction="gatys", positions=m),
            [squares / (4 * n**2 * m**2)],
        ),
        ("a layer's content loss", "article, the setup"): (
            mnst.content_loss(f, p),
            [np.mean((columns - others) ** 2)],
        ),
        ("a layer's style loss", "article, the setup"): (mnst.style_loss(g, a), [squares / n**2]),
    }
    return [
        Claim(name, source, "the formula", "relative error", error(*both), EXACT)
        for (name, source), both in compared.items()
    ]


def totals(run: mnst.Result, recipe: mnst.Recipe, source: str, name: str) -> Claim:
    """The total loss that a run says, and the one that its own parts give."""
    losses, shares = run.history[-1].losses, run.settings["gamma"]
    of_styles = sum(
        share * sigma * losses[f"style_{k}"]
        for k, (share, sigma) in enumerate(zip(shares, run.settings["sigma"], strict=True), 1)
    )
    exact = recipe.alpha * losses["content"] + recipe.beta * of_styles
    off = error(losses["total"], exact)
    return Claim(name, source, "the formula", "relative error", off, EXACT)


def arithmetic() -> list[Claim]:
    """The article's four numbers, of which the first gives the others."""
    told = [
        ("balanced without sigma", "article, fig. 6", 0.34, crossing([3.6, 1], [1, 1]), 0.01),
        (
            "balanced with the ratio as sigma: it overshoots",
            "article, above fig. 7",
            0.64,
            crossing([3.6, 1], [1, 3.6]),
            0.02,
        ),
        ("sigma that balances 0.5", "article, fig. 9", 1.9, math.sqrt(3.6), 0.05),
    ]
    return [
        Claim(name, source, f"{there:g}", "from 3.6 alone", here, (there - off, there + off))
        for name, source, there, here, off in told
    ]


class Runs:
    """What all runs have in common, and where they are kept."""

    def __init__(self, given: argparse.Namespace, size: int) -> None:
        self.size, self.folder = size, given.folder
        self.common = {"backbone": given.backbone, "size": size, "progress": False}
        self.options = {**self.common, "steps": given.steps}

    def sweep(self, photo, styles, name: str, **options) -> mnst.Sweep:
        given = {"recipe": "article", **self.options, **options}
        return mnst.sweep(photo, styles, folder=self.folder / name, **given)

    def one(self, photo, styles, name: str, **options) -> mnst.Result:
        return self.sweep(photo, styles, name, **options)[0].result


def at(runs: mnst.Sweep, gamma: float) -> mnst.Result:
    """Returns the run of a gamma."""
    return next(run.result for run in runs if run.gamma == gamma)


def apart(one: mnst.Result, other: mnst.Result) -> float:
    """Returns the mean difference of two pictures' pixels, in levels of 255."""
    return float(np.mean(np.abs(np.float64(one.image) - np.float64(other.image))))


def overshoot(made: figures.ArticleFigures, runs: Runs, photo, styles) -> list[Claim]:
    """What the article tried first: the ratio of improvements as sigma_2."""
    half = at(made.plain, 0.5)
    ratio = half.relative_improvement[0] / half.relative_improvement[1]
    tried = runs.sweep(photo, styles, "overshoot", gamma=figures.GAMMAS, sigma=[1, ratio])
    crossings = [figures.crossing(of) for of in (made.plain, tried)]
    side = math.copysign(1, 0.5 - crossings[0])
    odds = [math.log(gamma / (1 - gamma)) for gamma in crossings]
    return [
        Claim(
            "the ratio itself as sigma overshoots",
            "article, above fig. 7",
            "0.64, which is 0.14 beyond",
            f"RI_1 = RI_2 at {crossings[1]:.3f}, beyond 0.5 by",
            side * (crossings[1] - 0.5),
            (0.03, math.inf),
        ),
        Claim(
            "so the square root of the ratio is what balances",
            "article, above fig. 7",
            "1.9, from 0.34 and 0.64",
            "how far the ratio moves the odds of the crossing, over what would balance",
            2 * (odds[1] - odds[0]) / math.log(ratio),
            (1.8, 2.2),
        ),
    ]


def ends(made: figures.ArticleFigures, runs: Runs, photo, styles) -> list[Claim]:
    """At its ends, the crossfader is plain transfer."""
    claims = []
    for gamma, style in ((0, styles[1]), (1, styles[0])):
        mixed = at(made.plain, gamma)
        plain = runs.one(photo, [style], "plain")
        most = np.max(np.abs(np.int32(mixed.image) - np.int32(plain.image)))
        said = f"gamma = {gamma} is the transfer of one style"
        measure = "the largest difference of a pixel, of 255"
        claims.append(Claim(said, "article, fig. 2", "the formula", measure, float(most), (0, 1)))
    return claims


def ablations(made: figures.ArticleFigures, runs: Runs, photo, styles) -> list[Claim]:
    """What the content loss and the weights of the layers do in the article's setup."""
    half = at(made.plain, 0.5)
    free = runs.one(photo, styles, "free", recipe="article,alpha=0")
    even = mnst.ARTICLE.replace(style_layers=dict.fromkeys(mnst.ARTICLE.style.layer_names, 1.0))
    equal = runs.one(photo, styles, "equal", recipe=even)
    deep = [deep_share(recipe, photo, styles[0], runs) for recipe in (mnst.ARTICLE, even)]
    return [
        Claim(
            "the content loss keeps the picture near the photo",
            "article, above fig. 2",
            "said",
            "without it, pixels change by so many levels of 255",
            apart(half, free),
            (1.0, math.inf),
        ),
        Claim(
            "the layers' weights lower the impact of higher layers",
            "article, the setup",
            "said",
            "the share of blocks 4 and 5 in the first style loss, over that with equal weights",
            deep[0] / deep[1],
            (-math.inf, 0.8),
        ),
        Claim(
            "which shows in the picture",
            "article, the setup",
            "said",
            "against equal weights, pixels change by so many levels of 255",
            apart(half, equal),
            (2.0, math.inf),
        ),
    ]


def deep_share(recipe: mnst.Recipe, photo, style, runs: Runs) -> float:
    """Returns the share of blocks 4 and 5 in the style loss of the photo."""
    extractor = mnst.vgg_layers([*recipe.style.layer_names], backbone=runs.common["backbone"])
    seen, wanted = (extractor(mnst.load_image(of, size=runs.size)) for of in (photo, style))
    losses = {}
    for layer, weight in recipe.style.layer_weights:
        here, there = (int(np.prod(of[layer].shape[1:3])) for of in (seen, wanted))
        aim = mnst.gram_matrix(wanted[layer]) * (here / there)
        losses[layer] = weight * float(mnst.style_loss(mnst.gram_matrix(seen[layer]), aim)[0])
    return sum(losses[layer] for layer in losses if layer[5] in "45") / sum(losses.values())


def pairs(runs: Runs, photo, paintings: dict) -> Claim:
    """Whether styles that differ more give pictures that differ more."""
    painted = [runs.one(photo, [style], "pairs") for style in paintings.values()]
    told = mnst.calibrate(photo, list(paintings.values()), recipe="article", **runs.common)
    every = list(itertools.combinations(range(len(painted)), 2))
    between = [told.distances[i, j] for i, j in every]
    differing = [apart(painted[i], painted[j]) for i, j in every]
    ranks = [np.argsort(np.argsort(of)) for of in (between, differing)]
    return Claim(
        "styles that differ make mixtures of which each has its own part",
        "article, conclusion",
        "said",
        f"rank correlation of styles' and pictures' differences, {len(every)} pairs",
        float(np.corrcoef(*ranks)[0, 1]),
        (0.5, math.inf),
    )


def of_article(runs: Runs, paintings: dict) -> list[Claim]:
    """The article's figures for three photos, and what it says beside them for the first."""
    # The first is about as unbalanced as the article's own.
    scenes = [
        (skimage.data.chelsea(), [glass(), ink()]),
        (HOPPER, [swirls(), glass()]),
        (skimage.data.astronaut(), [dots(), swirls()]),
    ]
    claims: list[Claim] = []
    for k, (photo, styles) in enumerate(scenes, 1):
        gammas = figures.GAMMAS if k == 1 else (0, 0.2, 0.4, 0.5, 0.6, 0.8, 1)
        options = {"gammas": gammas, "folder": runs.folder / f"article{k}", **runs.options}
        made = figures.article(photo, styles, recipe="article", **options)
        claims += [named(claim, f"pair {k}") for claim in made.claims()]
        if k == 1:
            for more in (overshoot, ends, ablations):
                claims += more(made, runs, photo, styles)
            half = at(made.plain, 0.5)
            claims += [
                totals(half, mnst.ARTICLE, "article, fig. 2; paper, eq. 7", "total loss"),
                totals(at(made.calibrated, 0.3), mnst.ARTICLE, "article, fig. 7", "with sigma"),
                improvements(half),
            ]
    return [*claims, pairs(runs, HOPPER, paintings)]


def improvements(run: mnst.Result) -> Claim:
    exact = [of / run.history[-1].losses[f"style_{k}"] for k, of in enumerate(run.start_losses, 1)]
    off = max(error(run.relative_improvement, exact), error(1 / np.array(run.loss_ratio), exact))
    source = "article, fig. 5; paper, eqs. 8 and 9"
    return Claim("relative improvement", source, "the formula", "relative error", off, EXACT)


def named(claim: Claim, name: str) -> Claim:
    return Claim(**{**vars(claim), "claim": f"{claim.claim} ({name})"})


def of_paper(runs: Runs) -> list[Claim]:
    """The paper's figures 2 to 6, from noise, and what it leaves open."""
    styles = [swirls(), glass()]
    options = {**runs.options, "steps": None}
    options["gammas"] = figures.GAMMAS[::2]
    made = figures.paper(HOPPER, styles, folder=runs.folder / "paper", **options)
    smaller = {**options, "size": runs.size // 2, "gammas": [0, 1], "folder": runs.folder / "half"}
    half = figures.paper(HOPPER, styles, alpha_beta=[1e-2, 10], **smaller)
    adam = mnst.PAPER.replace(optimizer=mnst.ARTICLE.optimizer, steps=100)
    slow = runs.one(HOPPER, styles[:1], "adam", recipe=adam, steps=None)
    settled = made.chosen().history[-1].losses["total"]
    here, there = (of.claims()[4].here for of in (made, half))
    return [
        *made.claims(),
        Claim(
            "the same ratio keeps more of the photo in a larger picture",
            "follows from eqs. 2 and 4",
            "not said",
            f"edges in common with the photo at {runs.size} pixels, minus those at half of it",
            here - there,
            (0.0, math.inf),
        ),
        Claim(
            "Adam's 100 steps from noise, the article's, are not enough",
            "not in the paper",
            "not said",
            "the total loss that they leave, over L-BFGS's after 120",
            slow.history[-1].losses["total"] / settled,
            (1.5, math.inf),
        ),
    ]


def of_people(runs: Runs) -> list[Claim]:
    """The paper's figures 7 to 9, and DeepLab's mask beside one by hand."""
    options = {**runs.options, "steps": None}
    styles = [swirls(), glass()]
    made = figures.localized(HOPPER, styles, folder=runs.folder / "people", **options)
    by_hand = Image.new("1", (512, 600))
    ImageDraw.Draw(by_hand).polygon(OUTLINE, fill=1)
    one, other = np.asarray(by_hand), made.mask > 0.5
    return [
        *made.claims(),
        Claim(
            "DeepLab does an excellent job",
            "paper, section 4.3",
            "excellent",
            "intersection over union of its mask and one by hand",
            float(np.sum(one & other) / np.sum(one | other)),
            (0.9, math.inf),
        ),
    ]


def table(claims: list[Claim]) -> str:
    rows = [
        "| | claim | source | there | measured | here | agrees if |",
        "|---|---|---|---|---|---|---|",
    ]
    for claim in claims:
        mark = "yes" if claim.holds else "**no**"
        cells = (claim.claim, claim.source, claim.there, claim.measure)
        rows.append(f"| {mark} | {' | '.join(cells)} | {claim.here:.3g} | {claim.tolerance} |")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=256, help="of the article's runs, in pixels")
    parser.add_argument("--paper-size", type=int, default=256, help="of the paper's")
    parser.add_argument("--steps", type=int, default=100, help="of the article's runs")
    parser.add_argument("--backbone", default="vgg19")
    parser.add_argument("--folder", type=Path, default=Path("claims"), help="where runs are kept")
    parser.add_argument("--paintings", type=Path, help="a folder of more styles for the pairs")
    parser.add_argument("--no-people", action="store_true", help="without DeepLab")
    parser.add_argument("--output", type=Path, default=Path("claims.json"))
    parser.add_argument("--page", type=Path, help="a page to write the table into")
    given = parser.parse_args()
    keep_memory()
    runs, of_papers = Runs(given, given.size), Runs(given, given.paper_size)
    paintings = {of.__name__: of() for of in (swirls, glass, dots, ink)}
    if given.paintings:
        every = sorted(given.paintings.iterdir())
        paintings |= {path.stem: path for path in every if path.suffix.lower() in FORMATS}
    claims = [*formulas(), *arithmetic(), *of_article(runs, paintings), *of_paper(of_papers)]
    claims += [] if given.no_people else of_people(of_papers)
    for claim in claims:
        print(claim)
    given.output.write_text(json.dumps([vars(claim) for claim in claims], indent=1))
    if given.page:
        before, _, rest = given.page.read_text().partition(BEGIN)
        _, _, after = rest.partition(END)
        sizes = f"The article's runs have {given.size} pixels, the paper's {given.paper_size}."
        given.page.write_text(f"{before}{BEGIN}\n\n{sizes}\n\n{table(claims)}\n\n{END}{after}")


if __name__ == "__main__":
    main()
