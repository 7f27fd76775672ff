"""What two crossfaders and a gamma picture are worth: `python benchmarks/mixtures.py`.

Prints three tables, for a photo and paintings of your own:

- steps: how long a run takes with a gamma for each layer, and with five zones, relative to one
  gamma;
- gap: a picture that goes from style 1 to style 2, left to right, in eleven windows: how far each
  is from the mixture of its own gamma, relative to the same window of a picture that has this
  gamma everywhere; and the chroma of each window;
- nine: the colours of three paintings with the forms of three, and which painting each result is
  nearest to in shallow and in deep layers.
"""

import argparse
import itertools
import statistics
import time
from pathlib import Path

import numpy as np

import mnst
from mnst.engine.whole import Whole
from mnst.objective import Mix, Seen
from mnst.objective.losses import Places
from mnst.objective.regions import Regions
from mnst.painting.balance import narrowed

WINDOWS = 11
SRGB = (  # to CIE XYZ
    (0.4124, 0.3576, 0.1805),
    (0.2126, 0.7152, 0.0722),
    (0.0193, 0.1192, 0.9505),
)


class Judge:
    """Measures pictures of one size by VGG19, whatever painted them."""

    def __init__(self, photo, styles, size):
        self.recipe = mnst.FINE
        self._evaluator = Whole(mnst.vgg_layers(self.recipe.layers), self.recipe)
        content = mnst.load_image(photo, size=size)
        self.sides = content.shape[1:3]
        self.photo = self._evaluator.statistics(content)
        pictures = (mnst.load_image(style, size=size) for style in styles)
        seen = map(self._evaluator.statistics, pictures)
        self.styles = mnst.style_targets(seen, self.photo, self.recipe)

    def apart(self, picture, gamma, layers=None):
        """Returns E(x; m, C) of the mixture, by window if the gammas are of several."""
        gammas = np.atleast_1d(gamma)
        bands = np.zeros((len(gammas), *self.sides), np.float32)
        for band, columns in zip(
            bands, np.array_split(np.arange(self.sides[1]), len(gammas)), strict=True
        ):
            band[:, columns] = 1
        places = Places.of(Regions(np.ones(self.sides, np.float32), bands))
        image = np.float32(picture)[np.newaxis]
        values, positions = self._evaluator.statistics(image, places=places)["style"]
        term = self.recipe.style if layers is None else narrowed(self.recipe.style, layers)
        found = []
        for k, share in enumerate(gammas):
            seen = Seen({layer: of[k : k + 1] for layer, of in values.items()}, positions)
            shares = share if np.ndim(share) else (share, 1 - share)
            mix = Mix(tuple(shares), (1.0,) * len(shares))
            targets = term.targets(self.photo["style"], self.styles["style"], mix)
            found.append(float(term.losses("style", seen, targets, 1.0).objective))
        return np.array(found)


def chroma(picture):
    """Returns the mean chroma of each window, in CIELAB (D65)."""
    coded = np.asarray(picture) / 255
    linear = np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)
    xyz = linear @ np.array(SRGB).T / np.sum(SRGB, axis=1)
    roots = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz * (29 / 6) ** 2 / 3 + 4 / 29)
    red, blue = 500 * (roots[..., 0] - roots[..., 1]), 200 * (roots[..., 1] - roots[..., 2])
    return [of.mean() for of in np.array_split(np.hypot(red, blue), WINDOWS, axis=1)]


def left_to_right(height, width):
    return np.tile(np.linspace(1, 0, width, dtype=np.float32), (height, 1))


def steps(photo, styles, size, turns):
    """Prints how long a step takes, in turns."""
    transfer = mnst.StyleTransfer(photo, styles, size=size)
    ramp = left_to_right(*transfer.scene.sides)
    gammas = {
        "one gamma": 0.5,
        "by layer": {"colour": 1, "form": 0},
        "five zones": ramp,
        "five zones of colour": {"colour": ramp, "form": 0.5},
    }
    seconds = {name: [] for name in gammas}
    for _, (name, gamma) in itertools.product(range(turns + 1), gammas.items()):
        began = time.perf_counter()
        transfer.run(gamma=gamma, progress=False)
        seconds[name].append(time.perf_counter() - began)
    base = statistics.median(seconds["one gamma"][1:])  # the first has compiled
    for name, each in seconds.items():
        took = statistics.median(each[1:])
        print(f"  {name:<24}{took:8.1f} s a run{took / base:8.2f}", flush=True)


def gap(photo, styles, size):
    """Prints how far windows are from their own mixtures."""
    transfer = mnst.StyleTransfer(photo, styles, size=size)
    judge = Judge(photo, styles, size)
    gammas = left_to_right(1, WINDOWS)[0]
    ramp = left_to_right(*transfer.scene.sides)
    gammas = [float(of.mean()) for of in np.array_split(ramp[0], WINDOWS)]
    changing = transfer.run(gamma=ramp, progress=False).image
    apart, colour = judge.apart(changing, gammas), chroma(changing)
    for k, gamma in enumerate(gammas):
        even = transfer.run(gamma=gamma, progress=False).image
        there = judge.apart(even, gammas)[k]
        told = f"{apart[k]:.3f} / {there:.3f} = {apart[k] / there:.2f}"
        print(f"  gamma {gamma:.2f}   {told}   chroma {colour[k]:.1f}, {chroma(even)[k]:.1f}")
    middle, ends = colour[WINDOWS // 2], (colour[0] + colour[-1]) / 2
    print(f"  chroma in the middle / mean of the ends: {middle / ends:.2f}", flush=True)


def nine(photo, styles, size, folder):
    """Prints which painting's colours and forms each of nine pictures is nearest to."""
    transfer = mnst.StyleTransfer(photo, styles, size=size)
    judge = Judge(photo, styles, size)
    groups, alone = mnst.FINE.groups, np.eye(len(styles))
    for colour, form in itertools.product(range(len(styles)), repeat=2):
        gamma = {"colour": alone[colour], "form": alone[form]}
        picture = transfer.run(gamma=gamma, progress=False).image
        told = []
        for (group, layers), asked in zip(groups.items(), (colour, form), strict=True):
            apart = [float(judge.apart(picture, [of], layers)[0]) for of in alone]
            right = "as asked" if int(np.argmin(apart)) == asked else "NOT AS ASKED"
            told.append(f"{group} {', '.join(f'{value:.3f}' for value in apart)} ({right})")
        print(f"  colour {colour + 1}, form {form + 1}: {'; '.join(told)}", flush=True)
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
            mnst.save_image(folder / f"colour-{colour + 1}-form-{form + 1}.png", picture)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("photo")
    parser.add_argument("styles", nargs=3)
    parser.add_argument("--size", type=int, default=384)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--only", choices=["steps", "gap", "nine"])
    parser.add_argument("--folder", type=Path, help="for the nine pictures")
    options = parser.parse_args()
    two = options.styles[:2]
    for name, table in {
        "steps": lambda: steps(options.photo, two, options.size, options.turns),
        "gap": lambda: gap(options.photo, two, options.size),
        "nine": lambda: nine(options.photo, options.styles, options.size, options.folder),
    }.items():
        if options.only in (None, name):
            print(name, flush=True)
            table()


if __name__ == "__main__":
    main()
