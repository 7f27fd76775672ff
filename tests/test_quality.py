"""What benchmarks/measures.py says of pictures is so, and the command that measures them runs."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from scenes import SIDE, picture, tiny

import mnst
from mnst.images import to_uint8
from mnst.paintings import swirls

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))

import measures
import quality

ROUGH = to_uint8(picture(64, 80))
LINES = np.indices((64, 80)).sum(axis=0)[..., np.newaxis] // 4 % 2 * np.full(3, 200, np.uint8)


@pytest.fixture(scope="module")
def look():
    return quality.open_network("vgg19-lite")


def manner(look, pixels):
    return measures.manner(measures.look_at_scales(look, pixels))


def structure(look, pixels):
    return measures.structure(look(pixels))


def colours(pixels):
    """A look that sees the colours of pixels in every layer."""
    return dict.fromkeys(measures.LAYERS, pixels.astype(np.float32))


def brute_distance(first, second):
    """Of two samples of as many values along a line: sorted, they are moved in their order."""
    directions = np.random.default_rng(0).normal(size=(first.shape[1], 64))
    directions /= np.linalg.norm(directions, axis=0)
    first, second = (np.sort(values @ directions, axis=0) for values in (first, second))
    return np.sqrt(np.mean((first - second) ** 2) / np.mean(second**2))


def test_style_distance_is_wassersteins():
    random = np.random.default_rng(1)
    first, second = (random.gamma(shape, 30, (4000, 3)) for shape in (1, 3))
    one, own = (measures.manner([colours(values.reshape(50, 80, 3))]) for values in (first, second))
    expected = brute_distance(first, second)
    assert measures.style_distance(one, own) == pytest.approx(expected, rel=0.01)


def test_a_picture_is_no_distance_from_itself(look):
    assert measures.style_distance(*[manner(look, ROUGH)] * 2) == 0
    assert measures.content_distance(*[structure(look, ROUGH)] * 2) == 0


def test_moved_about_a_picture_keeps_its_manner_and_loses_its_structure(look):
    painting, other = swirls(size=64), ROUGH
    moved = np.roll(painting, (32, 24), axis=(0, 1))

    def style(pixels):
        return measures.style_distance(manner(look, pixels), manner(look, painting))

    def content(pixels):
        return measures.content_distance(structure(look, pixels), structure(look, painting))

    assert style(moved) < 0.3 * style(other)
    assert content(moved) > 0.5 * content(other)


def test_structure_knows_nothing_of_brightness():
    features = {measures.LAYERS[-1]: np.random.default_rng(2).uniform(1, 2, (20, 30, 5))}
    brighter = {name: 3 * values for name, values in features.items()}
    one, other = measures.structure(features), measures.structure(brighter)
    np.testing.assert_allclose(one, other, atol=1e-9)
    np.testing.assert_allclose(one.sum(axis=0), 1)
    assert one.shape == (144, 144)


def test_structure_is_the_cosines_of_a_grid():
    values = np.random.default_rng(3).normal(size=(24, 36, 4))
    found = measures.structure({measures.LAYERS[-1]: values})
    grid = [(int(i * 23 / 11), int(j * 35 / 11)) for i in range(12) for j in range(12)]
    unlike = np.empty((144, 144))
    for a, first in enumerate(grid):
        for b, second in enumerate(grid):
            lengths = np.linalg.norm(values[first]) * np.linalg.norm(values[second])
            unlike[a, b] = 1 - values[first] @ values[second] / lengths
    np.testing.assert_allclose(found, unlike / unlike.sum(axis=0), atol=1e-9)


def test_a_picture_is_looked_at_in_three_sizes():
    seen = measures.look_at_scales(colours, np.zeros((100, 180, 3), np.uint8))
    sides = [features[measures.LAYERS[0]].shape[:2] for features in seen]
    assert sides == [(100, 180), (50, 90), (32, 45)]  # a network needs 32 pixels


@pytest.mark.parametrize("sides", [(20, 30), (21, 31)])
def test_the_height_of_a_chequerboard_is_found(sides):
    up_and_down = (-1.0) ** np.indices(sides).sum(axis=0)[..., np.newaxis]
    board = np.uint8(100 + 7 * up_and_down * np.ones(3))
    assert measures.chequer(board) == pytest.approx(2 * 7)
    assert measures.chequer(np.full((20, 30, 3), 90, np.uint8)) == 0


def test_strokes_are_coherent_and_a_weave_is_not():
    turned = LINES[:, ::-1]
    weave = LINES // 2 + turned // 2
    noise = to_uint8(np.random.default_rng(4).uniform(0, 255, (1, 64, 80, 3)))
    told = [measures.coherence(pixels) for pixels in (LINES, weave, noise)]
    assert told[0] == pytest.approx(1)
    assert measures.coherence(turned) == pytest.approx(1)
    assert max(told[1:]) < 0.3
    assert measures.coherence(np.full((20, 30, 3), 90, np.uint8)) == 0


def test_coherence_is_of_each_squares_structure_tensor():
    grey = ROUGH @ [0.299, 0.587, 0.114]
    largest = everything = 0
    for top in range(0, 56, 8):
        for left in range(0, 72, 8):
            tensor = np.zeros((2, 2))
            for y in range(top, top + 8):
                for x in range(left, left + 8):
                    (a, b), (c, d) = grey[y : y + 2, x : x + 2]
                    slope = np.array([c + d - a - b, b + d - a - c]) / 2
                    tensor += np.outer(slope, slope)
            small, large = np.linalg.eigvalsh(tensor)
            largest += large - small
            everything += large + small
    assert measures.coherence(ROUGH) == pytest.approx(largest / everything)


def framed(change):
    """A rough picture whose outer four pixels are changed on all sides."""
    pixels = ROUGH.astype(float)
    inside = pixels[4:-4, 4:-4].copy()
    pixels = change(pixels)
    pixels[4:-4, 4:-4] = inside
    return to_uint8(pixels[np.newaxis])


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (lambda pixels: pixels - 40, "colour"),
        (lambda pixels: pixels + np.array([0, 0, 60]), "colour"),
        (lambda pixels: 0 * pixels + pixels.mean(axis=(0, 1)), "contrast"),  # flat
        (lambda pixels: 2 * pixels - pixels.mean(axis=(0, 1)), "contrast"),  # busy
    ],
    ids=["darker", "bluer", "flat", "busy"],
)
def test_a_frame_is_found(change, kind):
    pixels = framed(change)
    found = measures.frame(pixels, ROUGH)
    assert found[kind] > 7
    assert measures.frame(pixels, pixels) == {"colour": 0, "contrast": 0}
    assert measures.frame(ROUGH, pixels)[kind] < 2  # to lose the photo's is no fault


def test_a_frame_is_the_mean_of_all_sides():
    """Of a dark line at a distance of three, on one side and on all."""
    plain = np.full((50, 60, 3), 100, np.uint8)
    one, all_sides = plain.copy(), plain.copy()
    one[3] = 60
    for turn in range(4):
        np.rot90(all_sides, turn)[3] = 60
    assert measures.frame(one, plain)["colour"] == pytest.approx(10 / np.sqrt(8), rel=0.3)
    assert measures.frame(all_sides, plain)["colour"] > 35 / np.sqrt(8)


def test_a_gradient_is_no_frame():
    slope = np.linspace(0, 255, 80)[np.newaxis, :, np.newaxis] * np.ones((64, 1, 3))
    plain = np.full((64, 80, 3), 100, np.uint8)
    assert measures.frame(slope.astype(np.uint8), plain)["colour"] < 1


def test_agreement_is_the_mean_intersection_over_union():
    expected = np.zeros((10, 20), int)
    expected[:, :4], expected[:, 4:10] = 15, 3
    expected[0, 19] = 7  # less than 1 % of the pixels
    labels = np.zeros_like(expected)
    labels[:, :2], labels[:, 4:14] = 15, 3
    assert measures.agreement(labels, expected) == pytest.approx((2 / 4 + 6 / 10) / 2)
    assert measures.agreement(expected, expected) == 1
    assert measures.agreement(0 * labels, expected) == 0
    assert measures.agreement(labels, 0 * expected) is None


def record(way, kind, content, style, **more):
    which = {"size": 96, "photo": "cat", "painting": "waves"}
    return {**which, "way": way, "kind": kind, "content": content, "style": style, **more}


CURVE = [record(f"fine {s:g}", "strength", 0.02 + 0.1 * s, 0.4 - 0.3 * s) for s in (1, 0, 0.5)]


@pytest.mark.parametrize(
    ("content", "style"), [(0.07, 0.25), (0.12, 0.1), (0.045, 0.325), (0.019, None), (0.13, None)]
)
def test_fine_at_equal_content(content, style):
    others = [record("fast", "recipe", content, 0.9)]
    assert quality.style_at(content, [*CURVE, *others]) == pytest.approx(style)
    assert quality.style_at(content, others) is None


def test_tables_hold_means_and_leave_out_what_there_is_not():
    records = [
        record("fast", "recipe", 0.1, 0.2, seen=None, seconds=2.0),
        record("fast", "recipe", 0.2, 0.4, seen=0.5, seconds=None),
        record("tool", "peer", 0.1, 0.3, fine_style=0.15, ratio=0.5),
    ]
    means, peers = quality.report(records, 2)
    assert means.splitlines()[0].startswith("| 96 pixels, mean of 2 pairs | style | content |")
    assert means.splitlines()[2:] == ["| fast | 0.300 | 0.150 |  |  |  |  | 0.50 | 2.0 |"]
    assert peers.endswith(
        "| tool, cat, waves, 96 | 0.300 | 0.100 |  |  |  |  |  |  | 0.150 | 0.50 |"
    )


def test_curves_are_drawn_beside_points():
    records = [*CURVE, record("fast", "recipe", 0.1, 0.2), record("tool", "peer", 0.1, 0.3)]
    (ax,) = quality.plot(records).axes
    named = {line.get_label(): line.get_xydata().tolist() for line in ax.lines}
    curve = [[r["content"], r["style"]] for r in CURVE]
    np.testing.assert_allclose(named["fine, by strength"], curve)
    assert named["fast"] == [[0.1, 0.2]]
    assert named["tool: cat, waves"] == [[0.1, 0.3]]


def test_seconds_are_read_from_a_table(tmp_path):
    readme = (
        "| file | seconds |\n|---|---|\n| a_b.png | 1953, with other work |\n| c.png | long |\n"
    )
    (tmp_path / "README.md").write_text(readme)
    assert quality.seconds_told(tmp_path / "a_b.png") == 1953
    assert quality.seconds_told(tmp_path / "c.png") is None
    assert quality.seconds_told(tmp_path / "d" / "c.png") is None


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Photos and paintings in files, and a picture of another tool's."""
    monkeypatch.chdir(tmp_path)
    for name, pixels in {"cat": ROUGH, "waves": tiny(swirls), "tool_cat_waves_40": ROUGH}.items():
        Image.fromarray(pixels).resize((40, SIDE)).save(f"{name}.png")
    return tmp_path


def run(monkeypatch, *arguments):
    """Runs the command; returns its records."""
    common = ["--photos=.", "--paintings=.", "--peers=.", "--size", "40", "--steps=2"]
    common += ["--no-deeplab", "--backbone=vgg19-lite", "--recipes", "article", "fast"]
    monkeypatch.setattr(sys, "argv", ["quality.py", *common, *arguments])
    quality.main()
    return json.loads(Path("quality", "quality.json").read_text())["records"]


def blend(photo, painting, *, size, strength=0.6, **_):
    """In place of `stylize`: the painting is seen through the photo."""
    photo, painting = (mnst.load_image(source, size=size) for source in (photo, painting))
    return SimpleNamespace(
        image=to_uint8((1 - strength) * photo + strength * painting), settings={}
    )


@pytest.mark.slow
def test_the_command_draws_fines_curve(folder, look, monkeypatch, capsys):
    monkeypatch.setattr(quality, "open_network", lambda _: look)
    monkeypatch.setitem(quality.RECIPES, "fine", mnst.ARTICLE)
    monkeypatch.setattr(mnst, "stylize", blend)
    records = run(monkeypatch, "--pairs", "cat:waves", "dog:waves", "--strengths", "0", "0.5", "1")
    shown = capsys.readouterr().out
    assert "dog:waves is left out: dog is in no folder that was given, and in no" in shown
    painted = ["article", "fast", "fine 0", "fine 0.5", "fine 1"]
    assert [r["way"] for r in records] == ["photo", "painting", *painted, "tool"]
    content, style = ([r[name] for r in records[4:7]] for name in ("content", "style"))
    assert content == sorted(content)
    assert style == sorted(style, reverse=True)
    assert style[-1] == 0
    # The other tool's picture is the photo, and so is FINE's without strength.
    assert records[-1]["ratio"] == pytest.approx(1, rel=1e-3)
    assert "| tool, cat, waves, 40 |" in shown
    for name in ("curve.png", "sheet_40.png"):
        assert (folder / "quality" / name).stat().st_size > 5_000


@pytest.mark.slow
def test_the_command_paints_once(folder, monkeypatch, capsys):
    asked = ["--strengths", "--pairs", "cat:waves"]
    records = run(monkeypatch, *asked)
    photo, article, fast = (records[k] for k in (0, 2, 3))
    shown = capsys.readouterr().out
    for painted in (article, fast):
        assert 0 < painted["style"] < photo["style"]
        assert painted["content"] > photo["content"] == 0
        assert painted["seconds"] > 0
        assert f"| {painted['way']} | {painted['style']:.3f} |" in shown
    monkeypatch.setattr(mnst, "stylize", None)  # all is there
    assert run(monkeypatch, *asked) == records
    with pytest.raises(TypeError):
        run(monkeypatch, *asked, "--steps=3")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--recipes", "slow"], "--recipes is 'slow': give one of"),
        (["--photos", "nowhere"], "--photos is nowhere: give a folder"),
    ],
)
def test_wrong_options_are_told_early(folder, arguments, complaint, monkeypatch, capsys):
    with pytest.raises(SystemExit):
        run(monkeypatch, *arguments)
    assert complaint in capsys.readouterr().err


def test_no_pair_is_told(folder, monkeypatch):
    with pytest.raises(SystemExit, match="no pair is left: give --photos"):
        run(monkeypatch, "--pairs", "dog:waves")
