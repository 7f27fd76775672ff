"""How near `vgg19-lite` comes to VGG19, and how much faster: `python benchmarks/lite.py`.

Paints the same pairs with each network, and lets VGG19 measure what both have done. Photos and
styles are ones that the small network was not trained on: they come with matplotlib, scikit-image
and scikit-learn, or are drawn by mnst. Needs VGG19's weights; writes its table as JSON, too.
"""

import argparse
import itertools
import json
import math
import time
from pathlib import Path

import numpy as np
import skimage.data
import sklearn.datasets
from matplotlib import cbook
from PIL import Image

import mnst
from mnst.engine.devices import device_name, resolve_precision
from mnst.images import side_by_side
from mnst.networks import VGG19
from mnst.paintings import dots, glass, ink, swirls

GAMMAS = (0.0, 0.5, 1.0)


def scenes() -> dict[str, tuple[object, list[object]]]:
    hopper = cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
    china, flower = (sklearn.datasets.load_sample_image(f"{n}.jpg") for n in ("china", "flower"))
    data = skimage.data
    return {
        "astronaut: swirls, glass": (data.astronaut(), [swirls(), glass()]),
        "coffee: ink, dots": (data.coffee(), [ink(), dots()]),
        "cat: tissue, deep field": (
            data.chelsea(),
            [data.immunohistochemistry(), data.hubble_deep_field()],
        ),
        "temple: flower, glass": (china, [flower, glass()]),
        "Hopper: swirls, coffee": (hopper, [swirls(), data.coffee()]),
        "rocket: temple, dots": (data.rocket(), [china, dots()]),
    }


def closeness(
    vgg19: mnst.StyleTransfer, lite: mnst.StyleTransfer, *, steps: int
) -> tuple[list[dict[str, object]], list[np.ndarray]]:
    """Returns log(RI with lite) / log(RI with VGG19) for each gamma, and the pictures."""
    rows, pictures = [], []
    for gamma in GAMMAS:
        own = vgg19.run(gamma=gamma, steps=steps, progress=False)
        small = lite.run(gamma=gamma, steps=steps, progress=False)
        # A run that starts from a picture measures it first.
        judged = vgg19.run(gamma=gamma, steps=1, init=small.image, progress=False).history[0]
        improved = [
            start / judged.losses[f"style_{k}"] for k, start in enumerate(vgg19.start_losses, 1)
        ]
        painted = [k for k, share in enumerate((gamma, 1 - gamma)) if share]
        logs = [
            sum(math.log(ri[k]) for k in painted) for ri in (improved, own.relative_improvement)
        ]
        rows.append(
            {
                "gamma": gamma,
                "vgg19": [own.relative_improvement[k] for k in painted],
                "lite": [improved[k] for k in painted],
                "closeness": logs[0] / logs[1],
            }
        )
        pictures += [own.image, small.image]
    return rows, pictures


def errors(weights: str | None) -> dict[str, tuple[float, float]]:
    """Returns each layer's error of activations, and of Gram matrices, over all the pictures."""
    layers = VGG19.convolutions
    full = mnst.vgg_layers(layers)
    lite = mnst.vgg_layers(layers, backbone="vgg19-lite", weights=weights)
    pictures = [picture for photo, styles in scenes().values() for picture in (photo, *styles)]
    sums = {layer: np.zeros(4) for layer in layers}
    for picture in pictures:
        image = mnst.load_image(picture, size=256)
        for layer, (given, wanted) in _pairs(lite(image), full(image)).items():
            grams = [np.einsum("bijc,bijd->bcd", f, f) for f in (given, wanted)]
            apart = np.linalg.norm(grams[0] - grams[1]) / np.linalg.norm(grams[1])
            sums[layer] += np.sum((given - wanted) ** 2), np.sum(wanted**2), apart, 1
    return {layer: (a / b, c / d) for layer, (a, b, c, d) in sums.items()}


def _pairs(given: dict, wanted: dict) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    return {layer: (np.asarray(given[layer]), np.asarray(wanted[layer])) for layer in wanted}


def sheet(cells: list[np.ndarray], *, columns: int = 2, width: int = 1400) -> Image.Image:
    """Puts pictures of any proportions into rows, each of them as wide as the sheet."""
    rows = []
    for first in range(0, len(cells), columns):
        row = side_by_side(cells[first : first + columns])
        rows.append(
            Image.fromarray(row).resize((width, round(row.shape[0] * width / row.shape[1])))
        )
    whole = Image.new("RGB", (width, sum(row.height + 8 for row in rows) - 8), "white")
    tops = itertools.accumulate((row.height + 8 for row in rows), initial=0)
    for row, top in zip(rows, tops, strict=False):
        whole.paste(row, (0, top))
    return whole


def seconds_a_step(size: int, precision: str, rounds: int) -> dict[str, float]:
    """Returns the least seconds that a step takes with each network, taken in turns."""
    photo = skimage.data.astronaut()[:437]
    transfers = {
        backbone: mnst.StyleTransfer(
            photo,
            [swirls()],
            recipe="article",
            size=size,
            backbone=backbone,
            precision=precision,
        )
        for backbone in ("vgg19", "vgg19-lite")
    }
    least = dict.fromkeys(transfers, math.inf)
    for _ in range(rounds):
        for backbone, transfer in transfers.items():
            history = transfer.run(steps=4, progress=False).history
            taken = np.diff([record.seconds for record in history])
            least[backbone] = min(least[backbone], float(taken[1:-1].min()))
    return least


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=384)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--pairs", type=int, default=6, help="how many of the pairs to paint")
    parser.add_argument("--rounds", type=int, default=3, help="of timing")
    parser.add_argument("--weights", help="another small network's, as mnst.distill writes them")
    parser.add_argument("--folder", type=Path, default=Path("lite"))
    options = parser.parse_args()
    options.folder.mkdir(exist_ok=True)
    report: dict[str, object] = {"device": device_name(), "precision": resolve_precision("auto")}

    timed = {}
    for precision in ("float32", "bfloat16"):
        timed[precision] = seconds_a_step(512, precision, options.rounds)
        full, small = timed[precision].values()
        print(f"a step at 512 x 437 in {precision}: {full:.3f} s, lite {small:.3f} s, "
              f"{full / small:.2f} times as fast", flush=True)  # fmt: skip
    report["seconds a step"] = timed

    report["errors"] = errors(options.weights)
    for layer, (activations, grams) in report["errors"].items():
        print(f"{layer:<14} activations {activations:.4f}, Gram matrices {grams:.4f}", flush=True)

    means, table, cells = [], {}, []
    for name, (photo, styles) in list(scenes().items())[: options.pairs]:
        began = time.perf_counter()
        vgg19 = mnst.StyleTransfer(
            photo, styles, recipe="article", size=options.size, backbone="vgg19"
        )
        lite = mnst.StyleTransfer(
            photo,
            styles,
            recipe="article",
            size=options.size,
            backbone="vgg19-lite",
            weights=options.weights,
        )
        table[name], pictures = closeness(vgg19, lite, steps=options.steps)
        means.append(float(np.mean([row["closeness"] for row in table[name]])))
        for row in table[name]:
            told = [", ".join(f"{ri:.4g}" for ri in row[who]) for who in ("vgg19", "lite")]
            print(f"{name:<26} gamma {row['gamma']:g}: RI {told[0]} with VGG19, {told[1]} with "
                  f"lite: {row['closeness']:.3f}", flush=True)  # fmt: skip
        print(f"{name:<26} {means[-1]:.3f}, in {time.perf_counter() - began:.0f} s", flush=True)
        for gamma, (own, small_one) in zip(GAMMAS, zip(pictures[::2], pictures[1::2], strict=True),
                                           strict=True):  # fmt: skip
            file = f"{name.partition(':')[0]}_{gamma:g}.png"
            mnst.save_image(options.folder / file, np.concatenate([own, small_one], axis=1))
            cells += [np.concatenate([own, small_one], axis=1)] if gamma == 0.5 else []
    if not means:
        return
    print(f"closeness, mean of {len(means)} pairs: {np.mean(means):.3f}")
    sheet(cells).save(options.folder / "sheet.jpg", quality=88)
    report |= {"pairs": table, "closeness": float(np.mean(means))}
    (options.folder / "lite.json").write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
