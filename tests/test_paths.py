"""Where a crossfade leads, and what a sweep crosses: against NumPy, and runs of their own."""

import csv
import json
import shutil

import numpy as np
import pytest
from PIL import Image
from scenes import PHOTO, RECIPE, STYLES, options

import mnst
from mnst.cli import build_parser
from mnst.painting.gammas import along

SIDES = PHOTO.shape[:2]
RAMP = np.tile(np.linspace(0, 1, SIDES[1], dtype=np.float32), (SIDES[0], 1))
TURNED = [{"colour": 1, "form": 0}, {"colour": 0, "form": 1}]


@pytest.fixture(scope="module")
def given(random_weights):
    return options(random_weights, steps=1)


@pytest.fixture(scope="module")
def fade(given):
    """A crossfade of one step a frame."""

    def fade(path, styles=STYLES, frames=5, **changes):
        return mnst.crossfade(
            PHOTO, styles, path=path, frames=frames, steps_between=1, **{**given, **changes}
        )

    return fade


# Between stations


@pytest.mark.parametrize("frames", [2, 5, 7, 25])
@pytest.mark.parametrize("stations", [2, 3, 6])
def test_shares_between_stations_are_those_of_numpy(stations, frames):
    path = np.random.default_rng(stations).dirichlet(np.ones(4), stations)
    found = np.array([*along([*path], frames)])
    places = np.linspace(0, stations - 1, frames)
    expected = np.transpose([np.interp(places, np.arange(stations), each) for each in path.T])
    np.testing.assert_allclose(found, expected, atol=1e-12)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-12)
    assert np.array_equal(found[0], path[0])
    assert np.array_equal(found[-1], path[-1])


def test_pictures_between_stations_are_those_of_numpy():
    """A picture and shares have a picture between them; and each name keeps to itself."""
    picture = np.random.default_rng(1).dirichlet(np.ones(3), (4, 6)).transpose(2, 0, 1)
    shares = np.array([0.2, 0.3, 0.5])
    first, between, last = along(
        [{"colour": picture, "form": shares}, {"colour": shares, "form": shares}], 3
    )
    assert first["colour"] is picture
    assert last["colour"] is shares
    expected = (picture + shares[:, np.newaxis, np.newaxis]) / 2
    np.testing.assert_allclose(between["colour"], expected, atol=1e-12)
    np.testing.assert_allclose(between["form"], shares, atol=1e-12)


# What each frame is painted with


def test_no_path_leads_through_all_styles(fade):
    assert fade(None).gammas == (0, 0.25, 0.5, 0.75, 1)
    faded = fade(None, styles=[*STYLES, PHOTO])
    np.testing.assert_allclose(
        faded.gammas, [[0, 0, 1], [0, 0.5, 0.5], [0, 1, 0], [0.5, 0.5, 0], [1, 0, 0]]
    )
    assert all(isinstance(gamma, tuple) for gamma in faded.gammas)


@pytest.mark.parametrize(
    ("path", "gammas"),
    [
        ([1, 0.5, 1], [1, 0.75, 0.5, 0.75, 1]),
        ([[0.2, 0.8], 1], [0.2, 0.4, 0.6, 0.8, 1]),
        (np.linspace(0, 1, 9), [0, 0.25, 0.5, 0.75, 1]),
        (lambda t: t**2, [0, 0.0625, 0.25, 0.5625, 1]),
        ([None, 1], [0.5, 0.625, 0.75, 0.875, 1]),
    ],
    ids=["there and back", "shares", "an array", "a function", "equal shares"],
)
def test_a_path_of_numbers(fade, path, gammas):
    assert fade(path).gammas == pytest.approx(gammas)


def test_from_colour_to_form(fade):
    gammas = fade(TURNED).gammas
    assert [gamma["colour"] for gamma in gammas] == [1, 0.75, 0.5, 0.25, 0]
    assert [gamma["form"] for gamma in gammas] == [0, 0.25, 0.5, 0.75, 1]


def test_stations_of_several_kinds_come_together(fade):
    """A number beside a dict is for all of its names, a group beside a layer for its layers."""
    numbers, named, _ = fade([0, TURNED[0], RAMP], frames=3).gammas
    assert numbers == {"colour": 0, "form": 0}
    assert named == {"colour": 1, "form": 0}
    first, between, last = fade([{"colour": 1}, {"block2_conv1": 0.25}], frames=3).gammas
    assert first == {"block1_conv1": 1, "block2_conv1": 0.5}
    assert between == {"block1_conv1": 0.75, "block2_conv1": 0.375}
    assert last == {"block1_conv1": 0.5, "block2_conv1": 0.25}


@pytest.mark.slow
def test_a_number_and_a_picture_have_a_picture_between_them(fade):
    first, between, last = fade([1, RAMP], frames=3).gammas
    assert first == 1
    np.testing.assert_allclose(between, (1 + RAMP) / 2, atol=1e-6)
    np.testing.assert_allclose(last, RAMP, atol=1e-6)
    three = [np.stack([RAMP, 1 - RAMP, 0 * RAMP]), [0, 0, 1]]
    _, between, _ = fade(three, styles=[*STYLES, PHOTO], frames=3).gammas
    np.testing.assert_allclose(between, (three[0] + np.eye(3)[2][:, None, None]) / 2, atol=1e-6)


@pytest.mark.slow
def test_frames_are_painted_with_their_gammas(fade, given):
    """The first of a path is the run that its gamma asks for, also where it is a picture."""
    for path in (TURNED, [RAMP, 0], lambda t: {"colour": RAMP * t, "form": 1 - t}):
        faded = fade(path, frames=2)
        first = path(0.0) if callable(path) else path[0]
        alone = mnst.stylize(PHOTO, STYLES, gamma=first, **given)
        np.testing.assert_array_equal(faded.frames[0], alone.image)
        assert faded.relative_improvement[0] == pytest.approx(alone.relative_improvement)


def test_a_wipe_moves(fade):
    """What is left of a moving edge is painted by the first style."""
    columns = np.arange(SIDES[1]) / SIDES[1]
    faded = fade(lambda t: np.tile(columns < t, (SIDES[0], 1)), frames=3)
    for gamma, share in zip(faded.gammas, (0, 0.5, 1), strict=True):
        assert gamma.mean() == pytest.approx(share, abs=1e-6)
        assert gamma.dtype == np.float32
    assert np.all(faded.gammas[1][:, : SIDES[1] // 2] == 1)


def test_a_picture_as_a_file_is_brought_to_the_photo_s_size(fade, tmp_path):
    large = Image.fromarray((255 * RAMP).astype(np.uint8)).resize((240, 200))
    large.save(tmp_path / "ramp.png")
    (first, _) = fade([tmp_path / "ramp.png", 1], frames=2).gammas
    np.testing.assert_allclose(first, mnst.load_mask(large, *SIDES), atol=1e-6)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ([0], "path is .*: give a list of two gammas or more"),
        (0.5, r"path is 0.5: give a list of two gammas or more, as in \[0, 1\], or a function"),
        ([0, 2], r"path\[1\] is 2: give a number, between 0 and 1"),
        ([0, [0.5, 0.6]], r"path\[1\] is 0.5, 0.6, in sum 1.1: shares must sum to 1"),
        ([{"color": 1}, 0], r"path\[0\] names 'color': give colour, form.*did you mean 'colour'"),
        (lambda t: 2 * t, r"path\(0.5417\) is 1.08"),
    ],
)
def test_a_station_that_is_no_gamma_is_named_before_anything_is_read(path, said, tripwire):
    with pytest.raises(ValueError, match=said):
        mnst.crossfade("no.jpg", ["a.jpg", "b.jpg"], path=path)


def test_one_style_leads_nowhere():
    with pytest.raises(ValueError, match="a crossfade leads from style to style: give two"):
        mnst.crossfade("no.jpg", ["a.jpg"])


def test_a_picture_that_does_not_fit_is_named_before_the_first_frame(fade):
    def never(record):
        pytest.fail("a frame has begun")

    with pytest.raises(ValueError, match=r"gamma .* 40 x 4 pixels, but the picture is 24 x 20"):
        fade([0, np.ones((4, 40))], callback=never)


def test_the_command_takes_stations():
    line = ["crossfade", "photo.jpg", "a.jpg", "b.jpg", "-o", "fade.gif", "--path"]
    parsed = build_parser().parse_args([*line, "0", "colour=1,form=0", "0.3,0.7", "ramp.png"])
    assert parsed.path == [0, {"colour": 1, "form": 0}, [0.3, 0.7], "ramp.png"]


# What a sweep crosses

GRID = {"colour": [0, 0.5, 1], "form": [0, 1]}


@pytest.fixture(scope="module")
def crossed(given):
    return mnst.sweep(PHOTO, STYLES, gamma=GRID, **given)


def test_two_crossfaders_are_crossed(crossed, given):
    assert [(run.gamma["colour"], run.gamma["form"]) for run in crossed] == [
        (colour, form) for form in GRID["form"] for colour in GRID["colour"]
    ]
    alone = mnst.stylize(PHOTO, STYLES, gamma={"colour": 0.5, "form": 1}, **given)
    np.testing.assert_array_equal(crossed[4].result.image, alone.image)


def cells(sheet, columns, width):
    """The pictures of a sheet of cells of one size, row by row, by where colours begin."""
    gap, line = 7, 14
    height = width * SIDES[0] // SIDES[1]
    rows = (sheet.shape[0] - gap) // (height + line + gap)
    for row in range(rows):
        for column in range(columns):
            y, x = gap + line + row * (height + line + gap), gap + column * (width + gap)
            yield sheet[y : y + height, x : x + width]


def test_the_sheet_has_colour_over_its_columns_and_form_over_its_rows(crossed):
    sheet = np.asarray(crossed.grid(width=120))
    found = [*cells(sheet, 3, 120)]
    resized = [
        np.asarray(Image.fromarray(run.result.image).resize((120, 100), Image.Resampling.LANCZOS))
        for run in crossed
    ]
    np.testing.assert_array_equal(found[3:], resized)
    # Above them the photo, and the styles, which are as high as the photo.
    shown = Image.fromarray(PHOTO).resize((120, 100))
    np.testing.assert_array_equal(found[0], shown)
    for cell, style in zip(found[1:3], STYLES, strict=True):
        np.testing.assert_array_equal(cell[:, :100], Image.fromarray(style).resize((100, 100)))
        assert np.all(cell[:, 100:] == 255)


def test_a_table_tells_colour_and_form_apart(crossed, tmp_path):
    crossed.save_csv(tmp_path / "table.csv")
    with open(tmp_path / "table.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    told = [[float(row[f"gamma_{name}_1"]) for name in GRID] for row in rows]
    assert told == [[run.gamma["colour"], run.gamma["form"]] for run in crossed]
    assert all(float(row["gamma_form_1"]) + float(row["gamma_form_2"]) == 1 for row in rows)


def test_only_numbers_are_plotted(crossed):
    with pytest.raises(ValueError, match=r"two styles, over gamma as one number$"):
        crossed.plot_relative_improvement()


@pytest.mark.slow
def test_a_sweep_takes_any_gamma_and_finds_it_again(given, tmp_path):
    """Pictures are known by what they show, wherever they lie and however they are given."""
    Image.fromarray((255 * RAMP).astype(np.uint8)).save(tmp_path / "ramp.png")
    runs = tmp_path / "runs"
    gammas = [0.5, {"colour": 1, "form": RAMP}, tmp_path / "ramp.png", 1 - RAMP]
    first = mnst.sweep(PHOTO, STYLES, gamma=gammas, folder=runs, **given)
    for gamma, run in zip(gammas, first, strict=True):
        alone = mnst.stylize(PHOTO, STYLES, gamma=gamma, **given)
        np.testing.assert_array_equal(run.result.image, alone.image)
    shutil.move(tmp_path / "ramp.png", tmp_path / "moved.png")
    gammas[2] = mnst.load_mask(tmp_path / "moved.png", *SIDES)
    again = mnst.sweep(PHOTO, STYLES, gamma=[*gammas, RAMP**2], folder=runs, **given)
    assert [run.found for run in again] == [True] * 4 + [False]
    rows = json.loads((runs / "sweep.json").read_text())
    assert rows[0]["gamma_1"] == 0.5
    assert (rows[1]["gamma_colour_1"], rows[1]["gamma_form"]) == (1, "picture 1")
    assert [row.get("gamma") for row in rows[2:]] == ["picture 2", "picture 3", "picture 4"]
    assert first.table()[2]["gamma"] == "ramp.png"


@pytest.mark.slow
def test_a_picture_is_brought_to_the_size_of_each_photo(given):
    """Of photos of other sizes, too."""
    other = PHOTO[::2, ::2]
    swept = mnst.sweep([PHOTO, other], STYLES, gamma=[RAMP], **given)
    alone = mnst.stylize(other, STYLES, gamma=RAMP, **given)
    np.testing.assert_array_equal(swept[1].result.image, alone.image)


@pytest.mark.parametrize("failing", [{"colour": [0, 1], "form": [1]}, [[0.5, 0.5], RAMP]])
def test_what_fails_is_named_by_its_gamma(given, failing):
    wild = RECIPE.replace(name="wild", beta=1e38)
    with pytest.warns(UserWarning, match="wild-.*(colour|gamma).* failed and is left out"):
        swept = mnst.sweep(PHOTO, STYLES, gamma=failing, **{**given, "recipe": [RECIPE, wild]})
    assert len(swept.failures) == 2
    kept, failed = swept.table()[:2], swept.table()[2:]
    for name in ("gamma_colour_1", "gamma_1", "gamma"):
        assert [row.get(name) for row in kept] == [row.get(name) for row in failed]


@pytest.mark.parametrize(
    ("gamma", "said"),
    [
        ({}, r"gamma is \{\}: give a list of gammas"),
        ({"colour": 0.5}, r"gamma\['colour'\] is 0.5: give a list of gammas"),
        ({"colour": []}, r"gamma\['colour'\] is \[\]: give a list of gammas"),
        ({"colour": [0, 2]}, "gamma is 2: give a number, between 0 and 1"),
        ({"form": [0], "color": [0]}, "gamma names 'color': give colour, form"),
    ],
)
def test_what_can_t_be_crossed_is_named_before_anything_is_read(gamma, said, tripwire):
    with pytest.raises(ValueError, match=said):
        mnst.sweep("no.jpg", STYLES, gamma=gamma)


def test_a_picture_that_is_not_there_is_named_before_the_network_is_loaded(tripwire):
    with pytest.raises(FileNotFoundError, match=r"no\.png"):
        mnst.sweep(PHOTO, STYLES, gamma=[0, "no.png"])


@pytest.mark.parametrize(
    ("text", "gammas"),
    [
        ("0,0.5,1", [0, 0.5, 1]),
        ("0.5", [0.5]),
        ("1,0,0;0,1,0", [[1, 0, 0], [0, 1, 0]]),
        ("0;colour=1,form=0;0.3,0.7", [0, {"colour": 1, "form": 0}, [0.3, 0.7]]),
        ("colour=0,0.5,1,form=0,1", GRID),
        ("form=1", {"form": [1]}),
        ("ramp.png;0.5", ["ramp.png", 0.5]),
        ("ramp.png", ["ramp.png"]),
    ],
)
def test_the_command_takes_gammas(text, gammas):
    line = ["sweep", "photo.jpg", "a.jpg", "b.jpg", "--folder", "runs", "--gamma", text]
    assert build_parser().parse_args(line).gamma == gammas
