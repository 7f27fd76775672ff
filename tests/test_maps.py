"""Maps of a gamma: what they are by NumPy's own arithmetic, and what a run makes of their names."""

import numpy as np
import pytest
from PIL import Image
from scenes import PHOTO, STYLES, options

import mnst
from mnst import maps
from mnst.masks import segmentation

HEIGHT, WIDTH = PHOTO.shape[:2]
OF_PHOTO = [maps.left_to_right, maps.top_to_bottom, maps.radial, maps.by_luminance]


def hats(way, count):
    """The shares of styles along a way, by linear interpolation between its stops."""
    stops = np.linspace(0, 1, count)
    return np.stack([np.interp(way, stops, row) for row in np.eye(count)])


@pytest.mark.parametrize("draw", OF_PHOTO)
@pytest.mark.parametrize("count", [3, 5])
def test_the_way_leads_through_all_styles_one_after_the_other(draw, count):
    of_two, shares = draw(PHOTO), draw(PHOTO, styles=count)
    assert of_two.shape == (HEIGHT, WIDTH)
    assert shares.shape == (count, HEIGHT, WIDTH)
    assert of_two.dtype == shares.dtype == np.float32
    np.testing.assert_allclose(shares, hats(1 - np.float64(of_two), count), atol=1e-6)
    np.testing.assert_allclose(shares.sum(axis=0), 1, atol=1e-6)
    assert (of_two.min(), of_two.max()) == (0, 1) or draw is maps.radial


def test_ways_over_the_picture_begin_with_style_1():
    across, down = maps.left_to_right((3, 5)), maps.top_to_bottom((3, 5))
    np.testing.assert_array_equal(across, [[1, 0.75, 0.5, 0.25, 0]] * 3)
    np.testing.assert_array_equal(down.T, [[1, 0.5, 0]] * 5)
    around = maps.radial((5, 9))
    assert around[2, 4] == 1
    assert around[0, 0] == around[-1, -1] == 0
    # As far from the middle as the corner is, in parts: |(0, 4)| / |(2, 4)|.
    assert around[2, 0] == pytest.approx(1 - 4 / np.hypot(2, 4))


@pytest.mark.parametrize("draw", OF_PHOTO[:3])
def test_a_photo_counts_by_its_sides_alone(draw, tmp_path):
    mnst.save_image(tmp_path / "photo.png", PHOTO)
    for photo in (PHOTO, tmp_path / "photo.png", Image.fromarray(PHOTO)):
        np.testing.assert_array_equal(draw(photo), draw((HEIGHT, WIDTH)))


def test_a_single_pixel_is_all_of_style_1():
    for draw in OF_PHOTO[:3]:
        assert draw((1, 1)) == 1


def test_luminance_is_that_of_its_colours():
    photo = np.uint8([[[0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]])
    found = maps.by_luminance(photo, smooth=0)
    np.testing.assert_allclose(found, [[0, 0.2126, 0.7152, 0.0722, 1]], atol=1e-6)


def test_a_photo_of_one_grey_is_half_and_half():
    np.testing.assert_array_equal(maps.by_luminance(np.full((4, 6, 3), 99, np.uint8)), 0.5)


def test_noise_leaves_no_specks():
    """Of a bright and a dark half with noise, a pixel differs little from the next."""
    noise = np.random.default_rng(0).normal(0, 20, (64, 96, 3))
    photo = np.clip(np.where(np.arange(96) < 48, 190, 60)[:, np.newaxis] + noise, 0, 255)
    rough, smooth = (maps.by_luminance(photo.astype(np.uint8), smooth=by) for by in (0, 0.02))
    step = [np.abs(np.diff(each[:, :40], axis=0)).mean() for each in (rough, smooth)]
    assert step[1] < step[0] / 5
    assert smooth[:, :40].min() > 0.5 > smooth[:, 56:].max()


def test_distance_is_from_the_edge_of_the_mask_outwards():
    mask = np.zeros((20, 30))
    mask[8:12, 10:14] = 1
    found = maps.by_distance(mask, reach=0.2)  # 6 pixels
    rows, columns = np.indices(mask.shape)
    own = np.argwhere(mask)
    away = np.min(
        np.hypot(rows[..., np.newaxis] - own[:, 0], columns[..., np.newaxis] - own[:, 1]), axis=-1
    )
    np.testing.assert_allclose(found, np.clip(1 - away / 6, 0, 1), atol=1e-6)
    assert maps.by_distance(mask, styles=4).shape == (4, 20, 30)


def test_a_class_has_style_1(monkeypatch, clean_environment):
    labels = np.zeros(PHOTO.shape[:2], np.int32)
    labels[4:14, 6:18] = 1
    found = mnst.Segmentation(PHOTO, labels, ("background", "person"), "stand-in")
    monkeypatch.setattr(segmentation, "segment", lambda *_, **__: found)
    np.testing.assert_array_equal(maps.by_class(PHOTO, "person", feather=0), labels)
    soft = maps.by_class(PHOTO, "person", feather=3)
    assert ((soft > 0) & (soft < 1)).any()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: maps.radial(PHOTO, styles=1), "styles is 1: give a whole number, 2 or more"),
        (lambda: maps.left_to_right((0, 4)), "photo's height is 0: give a whole number"),
        (lambda: maps.by_luminance(PHOTO, smooth=-1), "smooth is -1: give a number, from 0 to 1"),
        (lambda: maps.by_distance([[1]], reach=0), "reach is 0: give a number, more than 0"),
        (lambda: maps.by_distance(np.zeros((3, 4))), "mask is below one half everywhere"),
        (lambda: maps.by_class(PHOTO, "person", feather=-1), "feather is -1"),
        (lambda: maps.by_class(PHOTO, "persons"), "did you mean 'person'"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(tripwire, clean_environment, call, said):
    with pytest.raises(ValueError, match=said):
        call()


NAMED = {
    "left-to-right": maps.left_to_right,
    "top-to-bottom": maps.top_to_bottom,
    "radial": maps.radial,
    "luminance": maps.by_luminance,
}


@pytest.fixture(scope="module")
def transfers():
    """Of two styles and of three."""
    small = {name: of for name, of in options(None).items() if name not in ("weights", "progress")}
    return {
        count: mnst.StyleTransfer(
            PHOTO, [*STYLES, STYLES[0][::-1]][:count], backbone="vgg19-lite", **small
        )
        for count in (2, 3)
    }


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("name", NAMED)
def test_a_name_is_the_map_of_that_name(transfers, name, count):
    def run(gamma):
        return transfers[count].run(gamma=gamma, progress=False)

    named = run(name)
    np.testing.assert_array_equal(named.image, run(NAMED[name](PHOTO, styles=count)).image)
    assert named.settings["gamma"] == name


def test_each_group_may_name_its_own(transfers):
    def run(colour):
        return transfers[2].run(gamma={"colour": colour, "form": 0.3}, progress=False)

    named = run("radial")
    np.testing.assert_array_equal(named.image, run(maps.radial(PHOTO)).image)
    assert (named.image != run(0.3).image).any()
    assert named.settings["gamma"] == {"colour": "radial", "form": [0.3, 0.7]}


def test_a_path_goes_by_another_name(transfers, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    grey = Image.fromarray(np.full((HEIGHT, WIDTH), 255, np.uint8))
    grey.save("radial", "PNG")
    of_file = transfers[2].run(gamma="./radial", progress=False)
    np.testing.assert_array_equal(of_file.image, transfers[2].run(gamma=1.0, progress=False).image)
    assert transfers[2].run(gamma="radial", progress=False).settings["gamma"] == "radial"


@pytest.mark.parametrize(
    ("gamma", "styles", "said"),
    [
        ("radial", 1, "gamma is 'radial' for 1 style: give two styles or more"),
        ("radal", 2, r"radal.*; did you mean 'radial'\?"),
        ("map.png", 2, "map.png"),
    ],
)
def test_names_are_checked_before_anything_is_loaded(tripwire, gamma, styles, said):
    with pytest.raises((ValueError, FileNotFoundError), match=said) as raised:
        mnst.stylize(PHOTO, STYLES[:styles], gamma=gamma)
    assert "\n" not in str(raised.value)


def test_the_command_line_takes_names_and_paths(refused, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mnst.save_image("photo.png", PHOTO)
    for gamma, said in {
        "radal": "did you mean 'radial'",
        "colour=radal,form=0.3": "did you mean 'radial'",
        "radial,0.3": "'radial,0.3': give numbers",
    }.items():
        line = refused("stylize", "photo.png", "photo.png", "photo.png", "-o", "out.png",
                       "--gamma", gamma)  # fmt: skip
        assert said in line


@pytest.mark.slow
def test_the_command_line_paints_by_a_map(tmp_path, monkeypatch, random_weights):
    monkeypatch.chdir(tmp_path)
    mnst.save_image("photo.png", PHOTO)
    for k, style in enumerate(STYLES):
        mnst.save_image(f"{k}.png", style)
    from mnst.cli import main

    code = main(
        "stylize photo.png 0.png 1.png -o out.png --recipe article,steps=1 --no-progress --gamma "
        f"colour=radial,form=0.3 --weights {random_weights}".split()
    )
    assert code == 0
    settings = mnst.read_settings("out.png")
    assert settings["gamma"] == {"colour": "radial", "form": [0.3, 0.7]}
