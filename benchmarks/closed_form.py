"""Where the closed form of sigma holds: `python benchmarks/closed_form.py`.

Prints |log(RI_1 / RI_2)| at gamma = 0.5 with sigma in closed form, for runs that depart from what
it supposes: more weight on the content, fewer steps, a start from noise.
"""

import argparse

from matplotlib import cbook

import mnst
from mnst.painting.calibration import imbalance
from mnst.paintings import dots, glass, ink, swirls


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=160)
    options = parser.parse_args()
    photo = cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
    article = mnst.ARTICLE
    departures = {
        "the article's recipe, 100 steps": {"recipe": article},
        **{f"alpha x {x:g}": {"recipe": article.replace(alpha=article.alpha * x)}
           for x in (1e10, 1e12, 1e13, 1e14)},
        **{f"{steps} steps": {"recipe": article, "steps": steps} for steps in (10, 25, 50, 300)},
        **{f"from noise, {steps} steps": {"recipe": article, "init": "noise", "steps": steps}
           for steps in (100, 300)},
        **{f"FINE, strength {strength:g}": {"recipe": mnst.FINE, "strength": strength}
           for strength in (0.2, 0.4, 0.6, 0.8, 1)},
        "FINE at one size": {"recipe": mnst.FINE.replace(pyramid=None)},
    }  # fmt: skip
    for name, styles in {
        "swirls, glass": [swirls(), glass()],
        "glass, ink": [glass(), ink()],
        "dots, swirls": [dots(), swirls()],
    }.items():
        print(name)
        for departure, changes in departures.items():
            result = mnst.stylize(
                photo, styles, size=options.size, sigma="auto", progress=False, **changes
            )
            improved = ", ".join(f"{value:.3g}" for value in result.relative_improvement)
            apart = imbalance(result.relative_improvement)
            first, second = result.start_losses
            told = f"RI {improved}; L_1(c) / L_2(c) = {first / second:.3g}"
            print(f"  {departure:<32}{apart:.3f}  ({told})", flush=True)


if __name__ == "__main__":
    main()
