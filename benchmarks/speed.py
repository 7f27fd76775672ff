"""How fast a step is, and how soon a picture is done: `python benchmarks/speed.py`.

The loop of TensorFlow's tutorial, mnst and PyTorch do the same work on the same scene, in turns,
each in a process of its own: VGG19's weights, the article's recipe. Their floor is what the step's
convolutions cost alone. Writes speed.json and speed.png. Needs VGG19's weights, and, for its part,
PyTorch (`pip install mnst[benchmarks]`), whose compiler needs one for C++; it is left out where it
can't be imported.
"""

import argparse
import importlib.util
import json
import math
import platform
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from statistics import median

import numpy as np
from matplotlib import cbook
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter
from workers import FailureError, Scene, Way, Worker

import mnst
from mnst.images import to_uint8
from mnst.networks import get_backbone
from mnst.paintings import dots, glass, ink, swirls
from mnst.recipes import RECIPES, get_recipe
from mnst.reporting.plots import log_axis

PRECISIONS = ("float32", "bfloat16")
BACKBONES = ("vgg19", "vgg19-lite")
STYLES = (1, 8)
TUTORIAL = Way("tutorial")
STEPS = 4  # of a round; the first has the start of a run in it, and does not count
MORE = 1.2  # how many times the tutorial's steps the others may take to get as far
COLOURS = {"tutorial": "tab:grey", "mnst": "tab:blue", "PyTorch": "tab:orange"}


def all_ways(precisions: tuple[str, ...], pytorch: bool) -> list[Way]:
    """Returns all ways of taking a step that are compared."""
    return [
        *(Way("tutorial", styles=styles) for styles in STYLES),
        *(
            Way("mnst", precision, backbone, styles)
            for backbone in BACKBONES
            for precision in precisions
            for styles in STYLES
        ),
        *(
            Way("PyTorch", precision, compiled=compiled)
            for compiled in (False, True)
            for precision in precisions
            if pytorch
        ),
    ]


def losses_of(recipe: mnst.Recipe) -> tuple:
    return recipe.content, recipe.style, recipe.terms, recipe.init


SAME_LOSSES = [n for n, recipe in RECIPES.items() if losses_of(recipe) == losses_of(mnst.ARTICLE)]


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=512, help="of the photo's long side")
    parser.add_argument("--rounds", type=int, default=5, help="of timing")
    parser.add_argument("--steps", type=int, default=100, help="of the tutorial, to be overtaken")
    parser.add_argument("--recipes", default=",".join(SAME_LOSSES), help="with which mnst tries to")
    parser.add_argument("--photo", help="another than matplotlib's")
    parser.add_argument("--style", action="append", help="another than mnst's; can be repeated")
    parser.add_argument(
        "--no-bfloat16", action="store_true", help="leave it out: slow where the processor has none"
    )
    parser.add_argument("--no-torch", action="store_true", help="leave PyTorch out")
    parser.add_argument("--folder", type=Path, default=Path("speed"))
    options = parser.parse_args()
    for name in ("rounds", "steps"):
        if (value := getattr(options, name)) < 1:
            parser.error(f"--{name} is {value}: give a whole number, 1 or more")
    options.precisions = PRECISIONS[:1] if options.no_bfloat16 else PRECISIONS
    options.recipes = options.recipes.split(",")
    for name in options.recipes:
        try:
            get_recipe(name)
        except ValueError as error:
            parser.error(f"--recipes: {error}")
        if name not in SAME_LOSSES:
            parser.error(f"--recipes: {name} has other losses than the article's")
    return options


def make_scene(options: argparse.Namespace, folder: str) -> Scene:
    """Reads the pictures; where there are fewer than eight styles, they come again, turned."""
    photo = options.photo or cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
    styles = options.style or [draw(size=options.size) for draw in (swirls, glass, dots, ink)]
    photo, *read = (
        to_uint8(mnst.load_image(picture, size=options.size)) for picture in (photo, *styles)
    )
    return Scene(
        photo,
        [np.rot90(read[k % len(read)], k // len(read)).copy() for k in range(max(STYLES))],
        get_backbone("vgg19").find_weights().fetch().path,
        Path(folder) / "vgg19.npz",
    )


def time_ways(
    compared: list[Way], tensorflow: Worker, torch: Worker | None, rounds: int
) -> tuple[dict[Way, dict], dict[tuple[str, str], list]]:
    """Returns what is told of each way, and the least seconds of each network's convolutions."""
    told, least = {}, {}
    networks = list(dict.fromkeys((way.backbone, way.precision) for way in compared))
    for way in compared:
        worker = torch if way.kind == "PyTorch" else tensorflow
        try:
            worker.call("first", way)
            told[way] = {"rounds": []}
        except FailureError as error:
            told[way] = {"failed": str(error)}
    for number in range(1, rounds + 1):
        for way, about in told.items():
            if "failed" not in about:
                worker = torch if way.kind == "PyTorch" else tensorflow
                about["rounds"].append(worker.call("seconds", way, STEPS)[1:])
        for network in networks:
            taken = np.array(tensorflow.call("floor", *network))
            least[network] = np.minimum(least.get(network, math.inf), taken)
        print(f"round {number} of {rounds}", flush=True)
    return told, {network: taken.tolist() for network, taken in least.items()}


def operations(
    convolutions: list[tuple[str, tuple[int, ...], int, int]], recipe: mnst.Recipe
) -> int:
    """Returns a step's multiplications and additions: forward, and back to the picture.

    Those of the convolutions, and of the Gram matrices, each with one product on the way back.
    """
    outputs = {name: (height * width, kernel[3]) for name, kernel, height, width in convolutions}
    products = sum(math.prod(kernel) * height * width for _, kernel, height, width in convolutions)
    for layer in recipe.style.layer_names:
        positions, channels = outputs[layer]
        products += positions * channels**2
    return 2 * 2 * products


def paint_alone(way: Way, scene: Scene) -> dict[str, float]:
    """Returns what a process that paints in this way alone needs: its first step, and memory."""
    worker = Worker(scene)
    first = worker.call("first", way)
    worker.call("seconds", way, STEPS)
    memory = worker.call("memory")
    worker.close()
    return {"first": first, "memory": memory}


def race(ways: dict[str, Way], scene: Scene, steps: int) -> dict[str, dict]:
    """Lets each paint from the beginning, a few steps in turn; returns what they have seen."""
    running = {name: Worker(scene) for name in ways}
    limits = {name: steps if way == TUTORIAL else round(MORE * steps) for name, way in ways.items()}
    orders = {name: ("race", way, limits[name]) for name, way in ways.items()}
    results = {}
    while running:
        for name, worker in list(running.items()):
            done, value = worker.take_turn(*orders[name])
            orders[name] = ("go on",)
            if done:
                results[name] = value
                running.pop(name).close()
    return {name: results[name] for name in ways}


def judge(seen: dict[str, dict], scene: Scene, steps: int) -> dict[str, object]:
    """Measures all pictures alike; returns their curves, and who was when where the tutorial got.

    Curves have the total loss and RI after so many steps and seconds; "wall" counts from before
    the network was built, "seconds" from the start of the run.
    """
    worker = Worker(scene)
    start, style_starts = worker.call("judge", scene.photo[np.newaxis].astype(np.float32))
    runs = {}
    for name, result in seen.items():
        curve = []
        for step, seconds, picture in result["seen"]:
            total, styles = worker.call("judge", picture)
            improved = [at / now for at, now in zip(style_starts, styles, strict=True)]
            wall = result["built"] + seconds
            curve.append(
                {"step": step, "seconds": seconds, "wall": wall, "total": total, "RI": improved}
            )
        runs[name] = {"built": result["built"], "curve": curve}
    worker.close()
    target = runs["tutorial"]["curve"][-1]["total"]
    for about in runs.values():
        there = (point for point in about["curve"] if point["total"] <= target)
        about["reached"] = next(there, None)
    return {"start": start, "target": target, "steps": steps, "runs": runs}


def summarize(
    told: dict[Way, dict], floors: dict[tuple[str, str], list], work: dict[str, int]
) -> None:
    """Adds to what is told of each way what follows from its seconds."""
    for about in told.values():
        if "failed" not in about:
            seconds = [s for one in about["rounds"] for s in one]
            about |= {"least": min(seconds), "median": median(seconds)}
    for way, about in told.items():
        if "failed" not in about:
            baseline = told[Way("tutorial", styles=way.styles)]["least"]
            about["times_the_tutorial"] = baseline / about["least"]
            about["teraflops"] = work[way.backbone] / about["least"] / 1e12
            about["floor"] = float(np.sum(floors[way.backbone, way.precision]))
            about["share_of_floor"] = about["least"] / about["floor"]


def table(told: dict[Way, dict]) -> str:
    lines = [
        f"{'way':<36}{'s/step':>8}{'x tutorial':>12}{'TFLOP/s':>9}{'x floor':>9}{'GiB':>7}"
        f"{'first s':>9}"
    ]
    for way, about in told.items():
        lines.append(
            f"{way.name:<36}{about['failed']}"
            if "failed" in about
            else f"{way.name:<36}{about['least']:>8.3f}{about['times_the_tutorial']:>12.2f}"
            f"{about['teraflops']:>9.3f}{about['share_of_floor']:>9.2f}{about['memory']:>7.2f}"
            f"{about['first']:>9.1f}"
        )
    return "\n".join(lines)


def ratios(told: dict[Way, dict]) -> dict[str, float]:
    """Returns what a step with many styles costs, over one with a single style."""
    return {
        name_of(way): about["least"] / told[single]["least"]
        for way, about in told.items()
        if way.styles > 1 and (single := Way(way.kind, way.precision, way.backbone)) in told
    }


def name_of(way: Way) -> str:
    return way.name.partition(f", {way.styles} styles")[0]


def race_table(result: dict[str, object]) -> str:
    lines = [
        f"to the loss of the tutorial's {result['steps']} steps, {result['target']:.4g} of "
        f"{result['start']:.4g}",
        f"{'way':<36}{'step':>6}{'steps, s':>10}{'wall, s':>10}{'x tutorial':>12}",
    ]
    baseline = result["runs"]["tutorial"]["reached"]["wall"]
    for name, about in result["runs"].items():
        there = about["reached"]
        lines.append(
            f"{name:<36}{there['step']:>6}{there['seconds']:>10.1f}{there['wall']:>10.1f}"
            f"{baseline / there['wall']:>12.2f}"
            if there
            else f"{name:<36}not in {about['curve'][-1]['step']} steps"
        )
    return "\n".join(lines)


def plot(told: dict[Way, dict], result: dict[str, object], title: str) -> Figure:
    # One above the other, to be read in a column of text.
    figure = Figure(figsize=(7, 10), layout="constrained")
    figure.suptitle(title)
    steps, curves = figure.subplots(2, 1)
    timed = {way: about for way, about in told.items() if "failed" not in about}
    names = [way.name for way in timed]
    least = [about["least"] for about in timed.values()]
    steps.barh(names, least, color=[COLOURS[way.kind] for way in timed])
    for place, taken in enumerate(least):  # where no convolutions' line comes
        steps.text(0, place, f" {taken:.3g}", color="white", verticalalignment="center")
    floors = [about["floor"] for about in timed.values()]
    places = range(len(names))
    steps.vlines(floors, [k - 0.4 for k in places], [k + 0.4 for k in places], color="black",
                 label="its convolutions alone")  # fmt: skip
    steps.invert_yaxis()
    steps.set(xlabel="seconds a step", title="One step")
    steps.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), frameon=False)

    for name, about in result["runs"].items():
        seconds = [point["wall"] for point in about["curve"]]
        losses = [point["total"] / result["start"] for point in about["curve"]]
        style = {"color": "tab:grey"} if name == "tutorial" else {}
        curves.semilogx(seconds, losses, label=name, **style)
    aim = result["target"] / result["start"]
    curves.axhline(aim, color="grey", linestyle=":", linewidth=1)
    curves.set(
        xlabel="seconds since the network began to be built",
        ylabel="total loss / that of the photo",
        title=f"One picture; dotted: the tutorial's after {result['steps']} steps",
    )
    curves.xaxis.set_major_formatter("{x:g}")
    curves.xaxis.set_minor_formatter(LogFormatter(minor_thresholds=(2, 0.5)))
    log_axis(curves).legend(loc="lower left")
    return figure


def find_torch(options: argparse.Namespace) -> bool:
    if options.no_torch:
        return False
    there = importlib.util.find_spec("torch") is not None
    if not there:
        print("PyTorch can't be imported and is left out: pip install mnst[benchmarks]")
    return there


def choose_racers(told: dict[Way, dict], recipes: list[str], precision: str) -> dict[str, Way]:
    """Returns the tutorial's way, mnst with each recipe, and the fastest of PyTorch's, if any."""
    racers = {"tutorial": TUTORIAL} | {
        f"mnst, {recipe}": Way("mnst", precision, recipe=recipe) for recipe in recipes
    }
    rivals = [way for way, about in told.items() if way.kind == "PyTorch" and "least" in about]
    if rivals:
        fastest = min(rivals, key=lambda way: told[way]["least"])
        racers[fastest.name] = fastest
    return racers


def measure(options: argparse.Namespace, scene: Scene) -> tuple[dict[Way, dict], dict[str, object]]:
    """Does it all; returns what is told of each way, and the report."""
    tensorflow = Worker(scene)
    about = tensorflow.call("about")
    tensorflow.call("save_arrays")
    found = {backbone: tensorflow.call("convolutions", backbone) for backbone in BACKBONES}
    work = {backbone: operations(one, mnst.ARTICLE) for backbone, one in found.items()}
    torch = Worker(scene) if find_torch(options) else None
    compared = all_ways(options.precisions, pytorch=torch is not None)
    told, floors = time_ways(compared, tensorflow, torch, options.rounds)
    for worker in filter(None, (tensorflow, torch)):
        worker.close()
    summarize(told, floors, work)
    for way, numbers in told.items():
        if "failed" not in numbers:
            numbers |= paint_alone(way, scene)
    print(table(told))
    for name, ratio in ratios(told).items():
        print(f"{max(STYLES)} styles cost {ratio:.2f} times one: {name}", flush=True)

    racers = choose_racers(told, options.recipes, about["auto"])
    result = judge(race(racers, scene, options.steps), scene, options.steps)
    print(race_table(result))
    height, width = scene.photo.shape[:2]
    return told, {
        **about,
        "python": platform.python_version(),
        "mnst": mnst.__version__,
        "torch": version("torch") if torch else None,
        "arguments": sys.argv[1:],
        "height": height,
        "width": width,
        "flops": work,
        "convolutions": {
            backbone: [
                {"name": name, "kernel": kernel, "height": rows, "width": columns}
                | {kind: floors[backbone, kind][k] for kind in options.precisions}
                for k, (name, kernel, rows, columns) in enumerate(one)
            ]
            for backbone, one in found.items()
        },
        "ways": {way.name: numbers for way, numbers in told.items()},
        "styles": ratios(told),
        "race": result,
    }


def main() -> None:
    options = read_options()
    with tempfile.TemporaryDirectory() as folder:
        scene = make_scene(options, folder)
        options.folder.mkdir(exist_ok=True)
        told, report = measure(options, scene)
    (options.folder / "speed.json").write_text(json.dumps(report, indent=1))
    title = f"{report['width']} x {report['height']} pixels, {report['device']}"
    figure = plot(told, report["race"], title)
    figure.savefig(options.folder / "speed.png", dpi=110)


if __name__ == "__main__":
    main()
