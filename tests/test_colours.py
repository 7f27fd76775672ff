"""Whose colours: the photo's, or one style's palette; from the arrays to the command line."""

import numpy as np
import pytest
import scenes
from PIL import Image
from scenes import PHOTO, STYLES
from scipy import linalg

import mnst
from mnst.cli import main
from mnst.engine import planning
from mnst.images import colours, to_uint8

LIGHT = np.array([0.299, 0.587, 0.114])
MASK = np.broadcast_to(np.arange(24) < 12, (20, 24)).astype(np.float32)  # keeps the left half


@pytest.fixture(scope="module")
def options(random_weights):
    return scenes.options(random_weights)


def soft(height, width, seed):
    """A picture whose colours hang together, and are far from black and white."""
    random = np.random.default_rng(seed)
    mixing = random.normal(0, 9, (3, 3))
    hung, loose = random.normal(0, 1, (2, 1, height, width, 3))
    return (128 + hung @ mixing + 8 * loose).clip(30, 225)


def alike_in_numpy(picture, like):
    """Grey, in the mean and deviation of another, in another way than the package's."""
    light, wanted = (np.tensordot(each, LIGHT, axes=1) for each in (picture, like))
    slope = np.sqrt(wanted.var() / light.var())
    return np.stack([slope * light + wanted.mean() - slope * light.mean()] * 3, axis=-1)


# Colours of arrays


def test_a_grey_picture_has_the_luminance_of_the_other():
    picture, like = soft(30, 40, 1), soft(20, 25, 2)
    grey = colours.greyed(picture)
    assert grey.dtype == np.float32
    assert grey.shape == picture.shape
    np.testing.assert_allclose(grey[..., 1], picture @ LIGHT, rtol=1e-6)
    np.testing.assert_array_equal(grey[..., :1], grey[..., 1:2])
    brought = colours.greyed(picture, like=like)
    np.testing.assert_allclose(brought, alike_in_numpy(picture, like), atol=1e-3)
    flat = colours.greyed(np.full((1, 4, 4, 3), 99.0), like=like)
    np.testing.assert_allclose(flat, (like @ LIGHT).mean(), rtol=1e-6)


def test_coloured_keeps_the_strokes_and_the_photo_s_hue():
    random = np.random.default_rng(3)
    photo = random.uniform(0, 255, (1, 30, 40, 3)).astype(np.float32)
    painted = random.uniform(0, 255, (1, 30, 40, 3))
    seen = colours.coloured(painted, photo)
    assert seen.min() >= 0
    assert seen.max() <= 255
    np.testing.assert_allclose(seen @ LIGHT, painted @ LIGHT, atol=1e-3)
    # What is beyond grey points where the photo's does, and is no more.
    chroma, own = (each - (each @ LIGHT)[..., np.newaxis] for each in (seen, photo))
    np.testing.assert_allclose(np.cross(chroma, own), 0, atol=0.2)
    assert ((chroma * own).sum(-1) > -1e-3).all()
    shorter = np.linalg.norm(own, axis=-1) - np.linalg.norm(chroma, axis=-1)
    assert (shorter > -1e-3).all()
    # Where all of it fits, it is all there; where it does not, some channel is at its end.
    at_an_end = np.minimum(seen, 255 - seen).min(axis=-1) < 1e-3
    assert ((shorter < 1e-3) | at_an_end).all()
    assert 0.1 < at_an_end.mean() < 0.9


def test_coloured_gives_the_photo_back_for_its_own_grey():
    photo = scenes.picture(50, 60, 4)
    np.testing.assert_array_equal(colours.coloured(colours.greyed(photo), photo), photo)


def test_a_palette_is_its_mean_and_its_covariance():
    picture, palette = soft(60, 70, 5), soft(50, 40, 6)
    moved = colours.in_palette(picture, palette)
    assert moved.shape == picture.shape
    assert moved.dtype == np.float32
    of_moved, of_palette = (each.reshape(-1, 3).astype(np.float64) for each in (moved, palette))
    np.testing.assert_allclose(of_moved.mean(0), of_palette.mean(0), atol=0.3)
    spread = np.cov(of_palette.T)
    np.testing.assert_allclose(np.cov(of_moved.T), spread, atol=0.05 * np.abs(spread).max())


def test_a_palette_is_reached_by_the_shortest_way():
    """The map between two Gaussians that moves least, as SciPy's roots have it."""
    picture, palette = soft(60, 70, 7), soft(50, 40, 8)
    own, wanted = (np.cov(each.reshape(-1, 3).T) for each in (picture, palette))
    root = linalg.sqrtm(own)
    way = linalg.inv(root) @ linalg.sqrtm(root @ wanted @ root) @ linalg.inv(root)
    expected = (picture - picture.mean((0, 1, 2))) @ way + palette.mean((0, 1, 2))
    difference = colours.in_palette(picture, palette) - expected.clip(0, 255)
    assert np.abs(difference).mean() < 1
    np.testing.assert_allclose(colours.in_palette(picture, picture), picture, atol=1e-3)


def test_a_grey_picture_gets_no_loud_colours_and_a_grey_palette_none():
    grey = colours.greyed(soft(30, 40, 9))
    towards = colours.in_palette(grey, soft(30, 40, 10))
    assert np.isfinite(towards).all()
    assert towards.std() < 60
    np.testing.assert_allclose(np.ptp(colours.in_palette(soft(30, 40, 9), grey), -1), 0, atol=12)


# The photo's colours


def test_the_photo_s_colours_are_a_grey_painting_with_the_photo_s_chroma(options):
    """Painted by hand, from greys that NumPy made."""
    photo = PHOTO[np.newaxis].astype(np.float64)
    greys = [alike_in_numpy(style, photo).clip(0, 255) for style in STYLES]
    grey = np.stack([photo[0] @ LIGHT] * 3, axis=-1)
    by_hand = mnst.stylize(grey.astype(np.float32), [*map(np.float32, greys)], **options)
    result = mnst.stylize(PHOTO, STYLES, colours="photo", **options)
    assert result.settings["colours"] == "photo"
    np.testing.assert_allclose(result.start_losses, by_hand.start_losses, rtol=1e-3)
    np.testing.assert_allclose(result.final_losses, by_hand.final_losses, rtol=1e-2)
    np.testing.assert_allclose(result.image @ LIGHT, by_hand.image @ LIGHT, atol=2.5)
    own = PHOTO - (PHOTO @ LIGHT)[..., np.newaxis]
    seen = result.image - (result.image @ LIGHT)[..., np.newaxis]
    lost = np.minimum(result.image, 255 - result.image.astype(int)).min(axis=-1) < 2
    np.testing.assert_allclose(seen[~lost], own[~lost], atol=2)
    assert np.abs(result.image.astype(int) - PHOTO).mean() > 5


@pytest.mark.parametrize("init", ["content", "noise"])
@pytest.mark.parametrize("localize", ["guided", "composite"])
@pytest.mark.parametrize("whose", ["photo", 2])
def test_kept_pixels_keep_the_photo_s_bytes(options, whose, localize, init):
    seen = []
    result = mnst.stylize(
        PHOTO, STYLES, colours=whose, mask=MASK, localize=localize, init=init,
        callback=seen.append, **options,
    )  # fmt: skip
    for picture in (result.image, *(to_uint8(record.image) for record in seen)):
        np.testing.assert_array_equal(picture[:, :12], PHOTO[:, :12])
    assert np.mean(result.image[:, 13:] != PHOTO[:, 13:]) > 0.5


@pytest.mark.slow
def test_every_record_is_in_the_photo_s_colours_in_every_size():
    photo = to_uint8(scenes.picture(72, 96, 3))
    recipe = mnst.FINE.replace(surrogate="none", smallest=24, steps=7)
    seen = []
    lite = {"backbone": "vgg19-lite", "precision": "float32", "progress": False}
    result = mnst.stylize(
        photo, STYLES, colours="photo", recipe=recipe, callback=seen.append, **lite
    )
    assert len({record.size for record in seen}) > 1
    for record in seen:
        own = mnst.load_image(photo, size=record.size)
        assert record.image.shape == own.shape
        chroma, of_photo = (each - (each @ LIGHT)[..., np.newaxis] for each in (record.image, own))
        # Lanczos reduces either the photo or its grey, and cuts what is beyond 0..255.
        assert np.median(np.abs(np.cross(chroma, of_photo))) < 5
    np.testing.assert_allclose(seen[0].image, mnst.load_image(photo, size=seen[0].size), atol=1e-3)
    np.testing.assert_array_equal(to_uint8(seen[-1].image), result.image)
    assert np.abs(result.image @ LIGHT - photo @ LIGHT).mean() > 2


def test_a_start_is_looked_at_in_grey(options):
    """A result, painted on, begins with the luminance that it had, whatever its colours."""
    first = mnst.stylize(PHOTO, STYLES, colours="photo", **options)
    seen = []
    strange = first.image[..., ::-1]
    for start in (first.image, strange):
        mnst.stylize(
            PHOTO, STYLES, colours="photo", init=start, callback=seen.append,
            **{**options, "steps": 1},
        )  # fmt: skip
    np.testing.assert_allclose(seen[0].image[0], first.image, atol=1.5)
    np.testing.assert_allclose(seen[2].image[0] @ LIGHT, strange @ LIGHT, atol=0.01)


def test_style_losses_are_those_of_the_luminance(options):
    opened = {name: value for name, value in options.items() if name != "progress"}
    transfer = mnst.StyleTransfer(PHOTO, STYLES, colours="photo", **opened)
    assert transfer.style_losses(PHOTO) == pytest.approx(transfer.start_losses)
    picture = soft(20, 24, 11)
    grey = np.stack([picture @ LIGHT] * 3, axis=-1)
    assert transfer.style_losses(picture) == pytest.approx(transfer.style_losses(grey), rel=1e-3)


@pytest.mark.slow
def test_tiles_have_the_same_colours(options, monkeypatch):
    photo = to_uint8(scenes.picture(80, 100, 12))
    whole, in_tiles = [], []
    for tile, seen in ((None, whole), (64, in_tiles)):
        monkeypatch.setattr(planning, "find_tile", lambda *_, tile=tile: tile)
        for whose in ("photo", 1):
            result = mnst.stylize(photo, STYLES, colours=whose, **options)
            assert result.settings["tile"] == tile
            seen.append(result.image.astype(int))
    np.testing.assert_allclose(in_tiles, whole, atol=2)


# The palette of a style


@pytest.mark.parametrize("whose", [1, 2, 3])
def test_a_style_s_palette_is_that_of_the_others_brought_to_it(options, whose):
    styles = [*STYLES, scenes.tiny(scenes.swirls)[..., ::-1]]
    palette = styles[whose - 1][np.newaxis].astype(np.float32)
    brought = [
        style if k == whose else colours.in_palette(style[np.newaxis], palette)[0]
        for k, style in enumerate(styles, start=1)
    ]
    result = mnst.stylize(PHOTO, styles, colours=whose, **options)
    by_hand = mnst.stylize(PHOTO, brought, **options)
    np.testing.assert_array_equal(result.image, by_hand.image)
    given = {
        "colours": whose,
        "styles": result.settings["styles"],  # as they were before
        "options": {**by_hand.settings["options"], "colours": whose},
    }
    assert result.settings == {**by_hand.settings, **given}


def test_the_palette_of_the_only_style_is_its_own(options):
    plain = mnst.stylize(PHOTO, STYLES[0], **options)
    result = mnst.stylize(PHOTO, STYLES[0], colours=1, **options)
    np.testing.assert_array_equal(result.image, plain.image)


# All that paints


@pytest.mark.parametrize(
    "whose", [0, 3, -1, 1.5, True, np.nan, "foto", "1", ["photo"], np.array([1, 2]), {}]
)
def test_other_colours_are_refused_before_anything_is_read(tripwire, whose):
    for call in (mnst.stylize, mnst.calibrate, mnst.crossfade, mnst.plan, mnst.sweep):
        with pytest.raises(ValueError, match=r"^colours is .*: give 'photo', or a style's number"):
            call("no file.jpg", ["a.jpg", "b.jpg"], colours=whose)


def test_sweep_crossfade_and_calibrate_take_them(options, tmp_path):
    swept = mnst.sweep(PHOTO, STYLES, gamma=[0.5], colours="photo", folder=tmp_path, **options)
    one = mnst.stylize(PHOTO, STYLES, gamma=0.5, colours="photo", **options)
    np.testing.assert_array_equal(swept[0].result.image, one.image)
    other = mnst.sweep(PHOTO, STYLES, gamma=[0.5], colours=2, folder=tmp_path, **options)
    assert not other[0].found
    assert mnst.sweep(PHOTO, STYLES, gamma=[0.5], colours=2, folder=tmp_path, **options)[0].found
    faded = mnst.crossfade(PHOTO, STYLES, colours="photo", frames=2, steps_between=1, **options)
    own = PHOTO - (PHOTO @ LIGHT)[..., np.newaxis]
    for frame in faded.frames:
        seen = frame - (frame @ LIGHT)[..., np.newaxis]
        assert np.median(np.abs(np.cross(seen, own))) < 200
    grey, plain = (
        mnst.calibrate(PHOTO, STYLES, colours=whose, **options).sigma for whose in ("photo", None)
    )
    assert grey != pytest.approx(plain, rel=0.01)


@pytest.mark.slow
def test_a_plan_needs_no_style_for_its_palette(options):
    asked = {name: value for name, value in options.items() if name != "progress"}
    assert mnst.plan(PHOTO, colours=2, **asked).sizes == mnst.plan(PHOTO, **asked).sizes


@pytest.mark.parametrize(("text", "whose"), [("photo", "photo"), ("2", 2)])
def test_the_command_line_takes_them(random_weights, tmp_path, monkeypatch, text, whose):
    monkeypatch.chdir(tmp_path)
    mnst.save_image("photo.png", PHOTO)
    for name, style in zip("ab", STYLES, strict=True):
        mnst.save_image(f"{name}.png", style)
    given = ["--weights", str(random_weights), "--recipe", "article,steps=1", "--size", "32"]
    assert main(["stylize", "photo.png", "a.png", "b.png", "-o", "o.png", "--colours", text,
                 *given]) == 0  # fmt: skip
    assert mnst.read_settings("o.png")["colours"] == whose


def test_the_command_line_refuses_others(refused, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mnst.save_image("photo.png", PHOTO)
    said = refused("stylize", "photo.png", "photo.png", "-o", "o.png", "--colours", "2")
    assert said == "mnst: colours is 2: give 'photo', or a style's number, from 1 to 1\n"


@pytest.mark.slow
def test_hue_and_chroma_are_the_photo_s_by_ciede2000():
    """Broad colours of a real painting, with lightness left aside: that is what is painted."""
    skimage = pytest.importorskip("skimage")
    from scipy import ndimage

    photo = np.asarray(Image.fromarray(skimage.data.chelsea()).resize((192, 128)))
    few = {"backbone": "vgg19-lite", "recipe": "draft", "progress": False}
    differences = []
    for whose in (None, "photo"):
        result = mnst.stylize(photo, scenes.tiny(scenes.glass), colours=whose, **few)
        labs = [
            skimage.color.rgb2lab(ndimage.gaussian_filter(each / 255, (3, 3, 0)))
            for each in (photo, result.image)
        ]
        labs[1][..., 0] = labs[0][..., 0]
        differences.append(skimage.color.deltaE_ciede2000(*labs).mean())
    plain, own = differences
    assert own < 3 < plain
