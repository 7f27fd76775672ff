"""What a live picture is worth: `python benchmarks/live.py --photos FOLDER --paintings FOLDER`.

For each pair of paintings, at five gammas and sigma="auto", beside 60 steps of L-BFGS for each:

- objective: the total loss after 20 and 120 seconds of learning, relative to L-BFGS's, the mean
  over gamma;
- style, content: by layers that no recipe optimises, at both ends, relative to L-BFGS's; see
  `measures.py`;
- balance: |log(RI_1 / RI_2)| at gamma 0.5;
- jump: the largest change between neighbours of 51 positions, relative to the median;
- warm: how many steps a full painting takes from the live picture to its own final loss, of how
  many;
- ms: to paint in the size that was learnt, and in twice that.

Writes the pictures, the optimiser's below the network's, for each pair.
"""

import argparse
import functools
import itertools
import math
import statistics
import time
from pathlib import Path

import measures
import numpy as np

import mnst
from mnst.backend import tf
from mnst.images import to_uint8

PAIRS = (
    "kodim21:starry_night_vivid:composition_vii",
    "kodim23:woman_with_a_hat:wave",
    "kodim05:shipwreck:starry_night",
    "kodim15:woman_with_a_hat:composition_vii",
    "kodim08:wave:starry_night_vivid",
    "kodim19:composition_vii:shipwreck",
)
GAMMAS = (0, 0.25, 0.5, 0.75, 1)
STEPS = 60
COLUMNS = ("at 20 s", "at 120 s", "style", "content", "balance", "jump", "warm", "ms", "ms, twice")


def total(transfer, picture, gamma):
    """The loss of a picture, as the optimiser begins with it."""
    begun = transfer.run(init=picture, gamma=gamma, sigma="auto", steps=1, progress=False)
    return begun.history[0].losses["total"]


def milliseconds(paint):
    paint()
    times = []
    for _ in range(9):
        began = time.perf_counter()
        paint()
        times.append(1000 * (time.perf_counter() - began))
    return statistics.median(times)


@functools.cache
def network():
    return tf.function(mnst.vgg_layers(measures.LAYERS), reduce_retracing=True)


def look(picture):
    """What VGG19 sees of a picture, uint8 [H, W, 3]."""
    seen = network()(tf.constant(picture[np.newaxis], tf.float32))
    return {layer: features.numpy()[0] for layer, features in seen.items()}


def judged(ours, theirs, style, photo, size):
    """The distances of one picture from style and photo, relative to those of another."""
    painting, content = (
        measures.look_at_scales(look, to_uint8(mnst.load_image(each, size=size)))
        for each in (style, photo)
    )
    manner, structure = measures.manner(painting), measures.structure(content[0])
    found = []
    for picture in (ours, theirs):
        seen = measures.look_at_scales(look, picture)
        found.append(
            (
                measures.style_distance(measures.manner(seen), manner),
                measures.content_distance(measures.structure(seen[0]), structure),
            )
        )
    return np.divide(*found)


def changes(live):
    """How much the picture changes between neighbours of 51 positions."""
    frames = [np.float32(frame) for frame in live.crossfade(frames=51).frames]
    return [np.abs(a - b).mean() for a, b in itertools.pairwise(frames)]


def measured(photo, styles, size, marks):
    """Returns a row of numbers, and the pictures of the optimiser and of the network."""
    live = mnst.live(photo, styles, size=size, sigma="auto", seconds=marks[0], progress=False)
    live.wait()
    early = [live.paint(gamma) for gamma in GAMMAS]
    live.learn(seconds=marks[1] - marks[0])
    live.wait()
    transfer = live.transfer
    late = [live.paint(gamma) for gamma in GAMMAS]
    by_steps = [
        transfer.run(gamma=gamma, sigma="auto", steps=STEPS, progress=False) for gamma in GAMMAS
    ]
    reference = [run.history[-1].losses["total"] for run in by_steps]

    def relative(pictures):
        losses = (
            total(transfer, each, gamma) for each, gamma in zip(pictures, GAMMAS, strict=True)
        )
        return np.mean([loss / of for loss, of in zip(losses, reference, strict=True)])

    ends = [(late[-1], by_steps[-1].image, styles[0]), (late[0], by_steps[0].image, styles[1])]
    apart = np.mean([judged(*end, photo, size) for end in ends], axis=0)
    improved = mnst.relative_improvement(transfer.start_losses, transfer.style_losses(late[2]))
    moved = changes(live)
    full = transfer.run(gamma=0.5, sigma="auto", progress=False).history
    warm = transfer.run(gamma=0.5, sigma="auto", init=late[2], progress=False).history
    needed = next(
        (each.step for each in warm if each.losses["total"] <= full[-1].losses["total"]), math.nan
    )
    row = [
        relative(early),
        relative(late),
        *apart,
        abs(math.log(improved[0] / improved[1])),
        max(moved) / statistics.median(moved),
        f"{needed} of {full[-1].step}",
        milliseconds(lambda: live.paint(0.3)),
        milliseconds(lambda: live.paint(0.3, size=2 * size)),
    ]
    return row, [run.image for run in by_steps], late


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--paintings", type=Path, required=True)
    parser.add_argument("--pairs", nargs="+", default=PAIRS, metavar="PHOTO:STYLE:STYLE")
    parser.add_argument("--size", type=int, default=384)
    parser.add_argument("--seconds", type=float, nargs=2, default=(20, 120), metavar="S")
    parser.add_argument("--folder", type=Path, default=Path("live"))
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    print("| pair | " + " | ".join(COLUMNS) + " |\n|" + " --- |" * (len(COLUMNS) + 1), flush=True)
    for pair in options.pairs:
        photo, *styles = pair.split(":")
        row, theirs, ours = measured(
            options.photos / f"{photo}.jpg",
            [options.paintings / f"{style}.jpg" for style in styles],
            options.size,
            options.seconds,
        )
        said = (each if isinstance(each, str) else f"{each:.3g}" for each in row)
        print(f"| {pair} | " + " | ".join(said) + " |", flush=True)
        rows = [np.concatenate(pictures, axis=1) for pictures in (ours, theirs)]
        sheet = np.concatenate(rows)
        mnst.save_image(options.folder / f"{pair.replace(':', '-')}.png", sheet)


if __name__ == "__main__":
    main()
