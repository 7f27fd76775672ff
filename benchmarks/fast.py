"""What each part of FAST gains: `python benchmarks/fast.py`.

Paints one photo in one style with the article's losses in several ways, and draws VGG19's relative
improvement over the seconds of their steps. Needs VGG19's weights; writes fast.json, fast.png and,
with the pictures side by side, fast.jpg.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from matplotlib import cbook
from matplotlib.figure import Figure

import mnst
from mnst.images import to_uint8
from mnst.paintings import swirls
from mnst.reporting.plots import log_axis

LBFGS = mnst.ARTICLE.replace(optimizer="lbfgs", learning_rate=mnst.FAST.optimizer.learning_rate)
SURROGATE = {"surrogate": "vgg19-lite", "correct_every": mnst.FAST.correct_every}
WAYS = {
    "Adam (the article's recipe)": (mnst.ARTICLE, "vgg19"),
    "L-BFGS": (LBFGS.replace(steps=60), "vgg19"),
    "Adam, steps through lite, corrected": (mnst.ARTICLE.replace(**SURROGATE), "vgg19"),
    "L-BFGS, lite alone": (LBFGS.replace(steps=60), "vgg19-lite"),
    # Measured without what is painted beyond the borders, as all others are.
    "FAST: L-BFGS, steps through lite, corrected": (mnst.FAST.replace(margin=0), "vgg19"),
}


def curve(
    judge: mnst.StyleTransfer, photo: object, style: object, way: tuple, size: int, every: int
) -> tuple[list[dict[str, float]], np.ndarray]:
    """Returns RI, as the judge sees it, after so many steps and seconds; and the last picture."""
    recipe, backbone = way
    transfer = mnst.StyleTransfer(photo, style, recipe=recipe, backbone=backbone, size=size)
    pictures = []
    result = transfer.run(
        progress=False,
        callback=lambda record: pictures.append((record.step, record.seconds, record.image)),
    )
    points = []
    for step, seconds, picture in pictures[::every]:
        improved = judge.start_losses[0] / judge.style_losses(to_uint8(picture))[0]
        points.append({"step": step, "seconds": seconds, "RI": improved})
    return points, result.image


def plot(curves: dict[str, list[dict[str, float]]], title: str) -> Figure:
    figure = Figure(figsize=(8, 5), layout="constrained")
    ax = figure.subplots()
    for name, points in curves.items():
        ax.plot([p["seconds"] for p in points], [p["RI"] for p in points], label=name)
    ax.set(xlabel="seconds", ylabel="relative improvement, by VGG19 in float32", title=title)
    ax.set_xlim(left=0)
    log_axis(ax).legend()
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photo", help="another than matplotlib's Grace Hopper")
    parser.add_argument("--style", help="another than mnst's swirls")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--every", type=int, default=5, help="steps between two points")
    parser.add_argument("--folder", type=Path, default=Path("fast"))
    options = parser.parse_args()
    photo = options.photo or cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
    style = options.style or swirls(size=options.size)
    judge = mnst.StyleTransfer(
        photo,
        style,
        recipe="article",
        backbone="vgg19",
        precision="float32",
        size=options.size,
    )
    curves, painted = {}, []
    for name, way in WAYS.items():
        curves[name], picture = curve(judge, photo, style, way, options.size, options.every)
        painted.append(picture)
        last = curves[name][-1]
        print(f"{name}: RI {last['RI']:.4g}, {last['step']} steps in {last['seconds']:.1f} s",
              flush=True)  # fmt: skip
    options.folder.mkdir(exist_ok=True)
    (options.folder / "fast.json").write_text(json.dumps(curves, indent=1))
    mnst.save_image(options.folder / "fast.jpg", np.concatenate(painted, axis=1))
    height, width = judge.scene.sides
    figure = plot(curves, f"{width} x {height} pixels, {judge.scene.device}")
    figure.savefig(options.folder / "fast.png", dpi=110)


if __name__ == "__main__":
    main()
