"""How good the pictures are: `python benchmarks/quality.py --photos FOLDER --paintings FOLDER`.

Paints photos of many kinds with each recipe, and with FINE at several strengths; measures every
picture by layers that no recipe optimises, and beside it pictures that other tools have painted.
`measures.py` says what the numbers are. Prints tables; writes quality.json, curve.png, a sheet of
each size, and the pictures, which are not painted again where the same were asked for before. Needs
VGG19's weights and DeepLab.
"""

import argparse
import functools
import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import measures
import numpy as np
from matplotlib import cbook
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import mnst
from mnst import paintings
from mnst.backend import tf
from mnst.checks import check_choice
from mnst.images import resize_image, to_uint8
from mnst.recipes import RECIPES

PAIRS = (
    "kodim21:starry_night_vivid",  # a lighthouse, rocks and clouds
    "kodim15:woman_with_a_hat",  # a face
    "kodim23:composition_vii",  # two parrots before a blurred wood
    "kodim05:wave",  # a crowd of motorcycles
    "kodim09:shipwreck",  # sails before a plain sky
    "kodim08:starry_night",  # timbered houses, straight lines everywhere
    "kodim12:woman_with_a_hat",  # two small people on a beach
    "kodim16:wave",  # a calm sea
    "astronaut:swirls",
    "grace_hopper:glass",
    "china:dots",
)
NAMES = ("article", "fast", "draft", "fine")
STRENGTHS = (0, 0.25, 0.5, 0.75, 1)
COLUMNS = {
    "style": "{:.3f}",
    "content": "{:.3f}",
    "chequer": "{:.1f}",
    "coherence": "{:.3f}",
    "frame_colour": "{:.1f}",
    "frame_contrast": "{:.1f}",
    "seen": "{:.2f}",
    "seconds": "{:.1f}",
}


def astronaut() -> np.ndarray:
    from skimage import data

    return data.astronaut()


def grace_hopper() -> str:
    return cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)


def china() -> np.ndarray:
    from sklearn.datasets import load_sample_image

    return load_sample_image("china.jpg")


PHOTOS = {make.__name__: make for make in (astronaut, grace_hopper, china)}
PAINTINGS = {
    draw.__name__: functools.partial(draw, size=1024)
    for draw in (paintings.dots, paintings.glass, paintings.ink, paintings.swirls)
}


@dataclass(frozen=True)
class Pair:
    photo_name: str
    painting_name: str
    photo: Any
    painting: Any

    @property
    def name(self) -> str:
        return f"{self.photo_name}_{self.painting_name}"


@dataclass(frozen=True)
class Way:
    """A recipe, at its own strength or at another."""

    recipe: str
    strength: float | None = None

    @property
    def name(self) -> str:
        return self.recipe if self.strength is None else f"{self.recipe} {self.strength:g}"

    @property
    def options(self) -> dict[str, Any]:
        strength = {} if self.strength is None else {"strength": self.strength}
        return {"recipe": self.recipe, **strength}


def find(name: str, folder: Path | None, ours: dict[str, Callable[[], Any]]) -> Any:
    """Returns a picture by its name: the folder's, or else one of ours; None is nowhere."""
    there = sorted(folder.glob(f"{name}.*")) if folder else []
    if there:
        return str(there[0])
    try:
        return ours[name]() if name in ours else None
    except ImportError:
        return None


def find_pairs(options: argparse.Namespace) -> Iterator[Pair]:
    """Yields the pairs whose pictures are there, and says which are not."""
    for given in options.pairs:
        photo_name, _, painting_name = given.partition(":")
        pair = Pair(
            photo_name,
            painting_name,
            find(photo_name, options.photos, PHOTOS),
            find(painting_name, options.paintings, PAINTINGS),
        )
        if pair.photo is None or pair.painting is None:
            missing = photo_name if pair.photo is None else painting_name
            print(
                f"{given} is left out: {missing} is in no folder that was given, and in no "
                f"library that is installed"
            )
        else:
            yield pair


def open_network(backbone: str) -> measures.Look:
    network = tf.function(
        mnst.vgg_layers(measures.LAYERS, backbone=backbone), reduce_retracing=True
    )

    def look(picture: np.ndarray) -> measures.Features:
        batch = tf.constant(picture[np.newaxis], tf.float32)
        return {layer: features[0].numpy() for layer, features in network(batch).items()}

    return look


def label(picture: np.ndarray) -> np.ndarray:
    return mnst.segment(picture, progress=False).labels


class Judge:
    """Measures pictures of one photo in one painting's style.

    Args:
        look: What the measuring network sees of a picture.
        photo: uint8 [H, W, 3].
        painting: The same.
        label: What names the class of every pixel; None leaves that out.
    """

    def __init__(
        self,
        look: measures.Look,
        photo: np.ndarray,
        painting: np.ndarray,
        label: Callable[[np.ndarray], np.ndarray] | None,
    ) -> None:
        self.look, self.label = look, label
        self.photo = photo
        self.manner = measures.manner(measures.look_at_scales(look, painting))
        self.structure = measures.structure(look(photo))
        self.labels = label and label(photo)

    def __call__(self, picture: np.ndarray) -> dict[str, float | None]:
        """Returns all measures of a picture as large as the photo."""
        seen = measures.look_at_scales(self.look, picture)
        frame = measures.frame(picture, self.photo)
        return {
            "style": measures.style_distance(measures.manner(seen), self.manner),
            "content": measures.content_distance(measures.structure(seen[0]), self.structure),
            **texture(picture),
            **{f"frame_{kind}": value for kind, value in frame.items()},
            "seen": self.label and measures.agreement(self.label(picture), self.labels),
        }


def texture(picture: np.ndarray) -> dict[str, float]:
    return {"chequer": measures.chequer(picture), "coherence": measures.coherence(picture)}


def load(source: Any, size: int | None) -> np.ndarray:
    return to_uint8(mnst.load_image(source, size=size))


def path_of(way: Way, pair: Pair, size: int, options: argparse.Namespace) -> Path:
    return options.out / "pictures" / f"{pair.name}_{size}_{way.name.replace(' ', '_')}.png"


def paint(way: Way, pair: Pair, size: int, options: argparse.Namespace, *, timed: bool) -> None:
    """Paints a picture into the folder, unless it is there.

    What is timed is painted twice, and the second is: by then network and step are compiled.
    """
    path = path_of(way, pair, size, options)
    given = {**way.options, "size": size, "backbone": options.backbone, "steps": options.steps}
    asked = {**given, "recipe": RECIPES[way.recipe].as_dict()}  # which may have changed since
    told = mnst.read_settings(path) if path.exists() and not options.again else {}
    if told.get("asked") == asked and (told["seconds"] or not timed):
        return
    seconds = []
    for _ in range(2 if timed else 1):
        began = time.perf_counter()
        result = mnst.stylize(pair.photo, pair.painting, progress=False, **given)
        seconds.append(time.perf_counter() - began)
    told = {"asked": asked, "seconds": seconds[-1] if timed else None}
    mnst.save_image(path, result.image, {**result.settings, **told})
    print(f"{path.stem}: {seconds[-1]:.1f} s", flush=True)


def paint_all(pairs: Sequence[Pair], options: argparse.Namespace) -> None:
    """Paints all pairs in one way before the next, since the compiled step serves them all."""
    (options.out / "pictures").mkdir(parents=True, exist_ok=True)
    for size in options.size:
        for way in options.ways:
            for pair in pairs:
                paint(way, pair, size, options, timed=pair is pairs[0])


def seconds_told(path: Path) -> float | None:
    """Returns what a table in the folder's README has in the last column for a file, if any."""
    readme = path.with_name("README.md")
    row = rf"^\|\s*{re.escape(path.name)}\s*\|(?:.*\|)?\s*([\d.]+)[^|]*\|\s*$"
    found = readme.exists() and re.search(row, readme.read_text(), re.MULTILINE)
    return float(found[1]) if found else None


def pictures_of(pair: Pair, size: int, options: argparse.Namespace) -> Iterator[tuple]:
    """Yields of each painted picture: whose it is, what kind that is, its path and its seconds.

    Those of other tools are called TOOL_PHOTO_PAINTING_SIZE.png.
    """
    for way in options.ways:
        path = path_of(way, pair, size, options)
        kind = "recipe" if way.strength is None else "strength"
        yield way.name, kind, path, mnst.read_settings(path)["seconds"]
    ending = f"_{pair.name}_{size}.png"
    for path in sorted(options.peers.glob(f"*{ending}")) if options.peers else ():
        yield path.name.removesuffix(ending), "peer", path, seconds_told(path)


def measure(pair: Pair, size: int, look: measures.Look, options: argparse.Namespace) -> list[dict]:
    """Returns a record of each picture of a pair: what it is, its measures, and itself."""
    photo, painting = load(pair.photo, size), load(pair.painting, size)
    judge = Judge(look, photo, painting, label if options.deeplab else None)
    records = [
        {"way": "photo", "kind": "photo", **judge(photo), "image": photo},
        {"way": "painting", "kind": "painting", **texture(painting), "image": painting},
    ]
    for name, kind, path, seconds in pictures_of(pair, size, options):
        # Other tools may round a side to another number.
        sized = resize_image(mnst.load_image(path, size=None), *photo.shape[:2])
        picture = to_uint8(sized)
        told = {**judge(picture), "seconds": seconds, "image": picture}
        records.append({"way": name, "kind": kind, **told})
    for peer in (record for record in records if record["kind"] == "peer"):
        peer["fine_style"] = style_at(peer["content"], records)
        peer["ratio"] = peer["fine_style"] and peer["fine_style"] / peer["style"]
    which = {"size": size, "photo": pair.photo_name, "painting": pair.painting_name}
    return [{**which, **record} for record in records]


def style_at(content: float, records: Sequence[dict]) -> float | None:
    """Returns the style that FINE has at a content distance, or None where it goes to none."""
    curve = sorted((r["content"], r["style"]) for r in records if r["kind"] == "strength")
    if not curve or not curve[0][0] <= content <= curve[-1][0]:
        return None
    return float(np.interp(content, *zip(*curve, strict=True)))


def means(records: Sequence[dict]) -> dict[str, dict]:
    """Returns each way's means over all pairs, of the measures that it has."""
    found = {}
    for way in dict.fromkeys(record["way"] for record in records):
        own = [record for record in records if record["way"] == way]
        found[way] = {"kind": own[0]["kind"]}
        for column in COLUMNS:
            values = [r[column] for r in own if r.get(column) is not None]
            found[way][column] = float(np.mean(values)) if values else None
    return found


def table(heading: str, rows: dict[str, dict], columns: dict[str, str]) -> str:
    """Returns a table in Markdown; what there is no number for is left empty."""
    lines = [f"| {' | '.join((heading, *(name.replace('_', ' ') for name in columns)))} |"]
    lines.append("|---" * (1 + len(columns)) + "|")
    for name, row in rows.items():
        cells = [
            "" if row.get(column) is None else form.format(row[column])
            for column, form in columns.items()
        ]
        lines.append(f"| {' | '.join((name, *cells))} |")
    return "\n".join(lines)


def report(records: Sequence[dict], pairs: int) -> Iterator[str]:
    """Yields the tables: one of means for each size, and one of other tools' pictures."""
    for size, own in by_size(records).items():
        heading = f"{size} pixels, mean of {pairs} {'pair' if pairs == 1 else 'pairs'}"
        yield table(heading, means([r for r in own if r["kind"] != "peer"]), COLUMNS)
    peers = {
        f"{r['way']}, {r['photo']}, {r['painting']}, {r['size']}": r
        for r in records
        if r["kind"] == "peer"
    }
    if peers:
        more = {"fine_style": "{:.3f}", "ratio": "{:.2f}"}
        yield table("other tools", peers, COLUMNS | more)


def by_size(records: Iterable[dict]) -> dict[int, list[dict]]:
    found: dict[int, list[dict]] = {}
    for record in records:
        found.setdefault(record["size"], []).append(record)
    return found


def plot(records: Sequence[dict]) -> Figure:
    """Draws style against content: FINE as a curve of its strengths, all else as points."""
    sizes = by_size(records)
    figure = Figure(figsize=(6 * len(sizes), 5), layout="constrained")
    for ax, (size, own) in zip(
        figure.subplots(1, len(sizes), squeeze=False)[0], sizes.items(), strict=True
    ):
        draw_means(ax, means([r for r in own if r["kind"] != "peer"]))
        for peer in (r for r in own if r["kind"] == "peer"):
            draw_peer(ax, peer, own)
        ax.set(title=f"{size} pixels", xlabel="content: distance from the photo",
               ylabel="style: distance from the painting")  # fmt: skip
        ax.set_ylim(bottom=0)
        ax.legend()
    return figure


def draw_means(ax: Axes, rows: dict[str, dict]) -> None:
    curve = {way: row for way, row in rows.items() if row["kind"] == "strength"}
    if curve:
        at = [(row["content"], row["style"]) for row in curve.values()]
        ax.plot(*zip(*at, strict=True), marker=".", label="fine, by strength")
        for way, place in zip(curve, at, strict=True):
            ax.annotate(way.split()[-1], place, xytext=(4, 4), textcoords="offset points")
    for way, row in rows.items():
        if row["kind"] in ("photo", "recipe"):
            ax.plot(row["content"], row["style"], "o", label=way)


def draw_peer(ax: Axes, peer: dict, records: Sequence[dict]) -> None:
    """Draws another tool's picture, and FINE's curve of the same pair."""
    which = f"{peer['photo']}, {peer['painting']}"
    (point,) = ax.plot(peer["content"], peer["style"], "x", label=f"{peer['way']}: {which}")
    curve = [
        (r["content"], r["style"])
        for r in records
        if r["kind"] == "strength" and all(r[k] == peer[k] for k in ("photo", "painting"))
    ]
    if curve:
        ax.plot(*zip(*curve, strict=True), "--", color=point.get_color(), linewidth=0.8)


def sheet(records: Sequence[dict]) -> Figure:
    """Puts all pictures of a size on one sheet: a row for each pair, a column for each way."""
    columns = list(dict.fromkeys(r["way"] for r in records))
    rows = list(dict.fromkeys((r["photo"], r["painting"]) for r in records))
    figure = Figure(figsize=(2.5 * len(columns), 2.2 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), len(columns), squeeze=False)
    for ax in axes.flat:
        ax.set_axis_off()
    for record in records:
        row = rows.index((record["photo"], record["painting"]))
        ax = axes[row, columns.index(record["way"])]
        ax.imshow(record["image"])
        own = record["way"] in ("photo", "painting")
        ax.set_title(record[record["way"]] if own else record["way"], fontsize=9)
    return figure


def write(records: Sequence[dict], pairs: int, options: argparse.Namespace) -> None:
    for size, own in by_size(records).items():
        sheet(own).savefig(options.out / f"sheet_{size}.png", dpi=150)
    plot(records).savefig(options.out / "curve.png", dpi=110)
    numbers = [{k: v for k, v in record.items() if k != "image"} for record in records]
    about = {
        "mnst": mnst.__version__,
        "backbone": options.backbone,
        "steps": options.steps,
        "records": numbers,
    }
    (options.out / "quality.json").write_text(json.dumps(about, indent=1))
    print("\n\n".join(report(records, pairs)))


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, help="folder, for those that no library brings")
    parser.add_argument("--paintings", type=Path, help="folder, for those that mnst doesn't draw")
    parser.add_argument("--pairs", nargs="+", default=PAIRS, metavar="PHOTO:PAINTING")
    parser.add_argument("--size", type=int, nargs="+", default=[384, 768])
    parser.add_argument("--recipes", nargs="*", default=[name for name in NAMES if name in RECIPES])
    parser.add_argument("--strengths", type=float, nargs="*", default=STRENGTHS, help="of FINE")
    parser.add_argument("--peers", type=Path, help="folder of TOOL_PHOTO_PAINTING_SIZE.png")
    parser.add_argument("--no-deeplab", dest="deeplab", action="store_false")
    parser.add_argument("--again", action="store_true", help="paint what is there, too")
    parser.add_argument("--backbone", default="vgg19", help="which paints, and measures")
    parser.add_argument("--steps", type=int, help="other than the recipes'")
    parser.add_argument("--out", type=Path, default=Path("quality"))
    options = parser.parse_args()
    for name in ("photos", "paintings", "peers"):
        folder = getattr(options, name)
        if folder is not None and not folder.is_dir():
            parser.error(f"--{name} is {folder}: give a folder")
    try:
        for name in options.recipes:
            check_choice("--recipes", name, RECIPES)
    except ValueError as error:
        parser.error(str(error))
    options.ways = [Way(name) for name in options.recipes]
    if "fine" in RECIPES:
        options.ways += [Way("fine", strength) for strength in options.strengths]
    return options


def main() -> None:
    options = read_options()
    pairs = list(find_pairs(options))
    if not pairs:
        raise SystemExit("no pair is left: give --photos and --paintings, or other --pairs")
    paint_all(pairs, options)
    look = open_network(options.backbone)
    records = []
    for size in options.size:
        for pair in pairs:
            records += measure(pair, size, look, options)
            print(f"{pair.name}_{size}: measured", flush=True)
    write(records, len(pairs), options)


if __name__ == "__main__":
    main()
