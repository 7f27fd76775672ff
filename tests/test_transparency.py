"""A photo's transparency, from its file to the result's; and what is painted beneath it."""

import io
import re

import numpy as np
import pytest
import scenes
from PIL import ExifTags, Image
from PIL.ImageSequence import Iterator as Frames
from scenes import PHOTO, STYLES

import mnst
from mnst import images
from mnst.cli import main
from mnst.images import reading

ALPHA = np.linspace(0, 300, 24).clip(0, 255).astype(np.uint8) * np.ones((20, 1), np.uint8)
CUT = np.dstack([PHOTO, ALPHA])


@pytest.fixture(scope="module")
def options(random_weights):
    return scenes.options(random_weights)


@pytest.fixture(scope="module")
def result(options):
    return mnst.stylize(CUT, STYLES, **options)


def opened(image, kind, **options):
    """The image as Pillow opens it from a file."""
    data = io.BytesIO()
    image.save(data, kind, **options)
    return Image.open(data)


def smooth(height, width):
    """uint8 [H, W, 4], of broad colours and a broad alpha that is 0 here and 255 there."""
    coarse = np.random.default_rng(7).integers(0, 256, (4, 5, 4), dtype=np.uint8)
    picture = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    pixels = np.array(picture)
    pixels[..., 3] = (3 * (pixels[..., 3] - 128.0) + 128).clip(0, 255)
    return pixels


# Reading


@pytest.mark.parametrize(
    "cut",
    [
        CUT,
        CUT[np.newaxis],
        CUT.astype(np.float32) / 255,
        CUT.astype(np.uint16) * 257,
        Image.fromarray(CUT),
        opened(Image.fromarray(CUT), "PNG"),
        opened(Image.fromarray(CUT), "TIFF"),
        opened(Image.fromarray(CUT), "WEBP", lossless=True),
    ],
    ids=["array", "with 1", "floats", "uint16", "PIL", "PNG", "TIFF", "WebP"],
)
def test_alpha_and_colours_are_read(cut):
    pixels, alpha = images.load_with_alpha(cut)
    assert pixels.dtype == np.float32
    assert alpha.dtype == np.uint8
    np.testing.assert_array_equal(alpha, ALPHA)
    # A pixel that was laid on white in 8 bits says half a step of its colour, over its opacity.
    off = np.abs(pixels[0] - PHOTO) * (ALPHA / 255)[..., np.newaxis]
    assert off[ALPHA >= 32].max() <= 1.01
    np.testing.assert_allclose(pixels[0][ALPHA == 255], PHOTO[ALPHA == 255], atol=1e-3)


def test_grey_and_palettes_have_alpha_too():
    grey = Image.fromarray(np.dstack([PHOTO[..., 0], ALPHA]))
    assert grey.mode == "LA"
    np.testing.assert_array_equal(images.load_with_alpha(grey)[1], ALPHA)
    random = np.random.default_rng(3)
    indices = random.integers(0, 16, (9, 7), dtype=np.uint8)
    alphas = random.integers(0, 256, 16, dtype=np.uint8)
    palette = Image.fromarray(indices)
    palette.putpalette(random.integers(0, 256, 48, dtype=np.uint8).tobytes())
    png = opened(palette, "PNG", transparency=alphas.tobytes())
    assert png.mode == "P"
    np.testing.assert_array_equal(images.load_with_alpha(png)[1], alphas[indices])
    colour = opened(Image.fromarray(PHOTO), "PNG", transparency=tuple(map(int, PHOTO[2, 3])))
    missing = (PHOTO[2, 3] == PHOTO).all(axis=-1)
    np.testing.assert_array_equal(images.load_with_alpha(colour)[1], np.where(missing, 0, 255))


@pytest.mark.parametrize("source", [PHOTO, PHOTO[..., 0], Image.fromarray(PHOTO)])
def test_what_is_opaque_has_no_alpha(source):
    pixels, alpha = images.load_with_alpha(source, size=16)
    assert alpha is None
    np.testing.assert_array_equal(pixels, mnst.load_image(source, size=16))
    opaque = Image.fromarray(PHOTO)
    opaque.putalpha(255)
    pixels, alpha = images.load_with_alpha(opaque)
    assert alpha is None
    np.testing.assert_array_equal(pixels[0], PHOTO)


@pytest.mark.parametrize("orientation", [1, 2, 3, 4, 5, 6, 7, 8])
def test_alpha_is_turned_with_the_photo(orientation):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    _, alpha = images.load_with_alpha(opened(Image.fromarray(CUT), "PNG", exif=exif))
    plain = Image.fromarray(np.dstack([ALPHA] * 3))
    upright = mnst.load_image(opened(plain, "PNG", exif=exif))[0, ..., 0]
    np.testing.assert_array_equal(alpha, upright)


def test_colours_are_reduced_by_how_much_they_are_seen():
    """Premultiplied, as compositing has it, and in floats."""
    cut = smooth(120, 160)
    pixels, alpha = images.load_with_alpha(cut, size=40)
    share = cut[..., 3:] / np.float32(255)
    bands = np.concatenate([cut[..., :3] * share, share], axis=-1, dtype=np.float32)
    planes = [Image.fromarray(np.ascontiguousarray(band)) for band in np.moveaxis(bands, -1, 0)]
    small = [np.asarray(plane.resize((40, 30), Image.Resampling.LANCZOS)) for plane in planes]
    reduced = np.stack(small, axis=-1)
    opacity = reduced[..., 3]
    np.testing.assert_allclose(alpha, 255 * opacity.clip(0, 1), atol=0.6)
    seen = opacity > 0.2
    expected = (reduced[seen, :3] / reduced[seen, 3:]).clip(0, 255)
    np.testing.assert_allclose(pixels[0][seen], expected, atol=3)


@pytest.mark.parametrize("side", [31, 64, 100])
def test_a_large_photo_keeps_its_alpha(monkeypatch, side):
    data = io.BytesIO()
    Image.fromarray(smooth(523, 701)).save(data, "TIFF")
    pixels, alpha = images.load_with_alpha(data.getvalue(), size=side)
    monkeypatch.setattr(reading, "_LARGE", 1000)
    monkeypatch.setattr(reading, "_STRIP", 5000)
    reduced, of_reduced = images.load_with_alpha(data.getvalue(), size=side)
    assert np.abs(alpha.astype(int) - of_reduced).mean() < 1
    assert np.abs(pixels - reduced).mean() < 1


# Beneath


def test_beneath_transparency_are_the_colours_around_it():
    """A disc of one colour is of that colour everywhere: there is no white to bleed into it."""
    height, width = 60, 80
    away = np.hypot(*np.mgrid[-height // 2 : height // 2, -width // 2 : width // 2])
    alpha = (255 * (20.5 - away).clip(0, 1)).round()
    colour = np.array([20, 120, 200])
    cut = np.dstack([np.full((height, width, 3), colour), alpha]).astype(np.uint8)
    assert ((alpha > 0) & (alpha < 255)).any()
    pixels, _ = images.load_with_alpha(cut)
    np.testing.assert_allclose(pixels[0], np.broadcast_to(colour, (height, width, 3)), atol=1)
    from_file, _ = images.load_with_alpha(Image.fromarray(cut), size=40)
    np.testing.assert_allclose(from_file[0], np.broadcast_to(colour, (30, 40, 3)), atol=3)


def test_beneath_transparency_the_nearest_counts_most():
    cut = np.zeros((40, 90, 4), np.uint8)
    cut[:, :30] = 200, 0, 0, 255
    cut[:, 60:] = 0, 0, 200, 255
    red, _, blue = np.moveaxis(images.load_with_alpha(cut)[0][0], -1, 0)
    assert red[:, 32].min() > 180 > 20 > blue[:, 32].max()
    assert blue[:, 57].min() > 180 > 20 > red[:, 57].max()
    np.testing.assert_allclose(red + blue, 200, atol=1)
    assert (np.diff(red[20, 25:65]) < 0.5).all()


def test_what_is_hidden_is_not_read():
    other = CUT.copy()
    other[ALPHA == 0, :3] = 77
    assert (other != CUT).any()
    np.testing.assert_array_equal(images.load_with_alpha(other)[0], images.load_with_alpha(CUT)[0])


def test_a_photo_of_nothing_is_white():
    pixels, alpha = images.load_with_alpha(np.zeros((9, 12, 4), np.uint8))
    assert (pixels == 255).all()
    assert not alpha.any()


# Painting


def test_a_result_has_the_photo_s_alpha(result, options):
    np.testing.assert_array_equal(result.alpha, ALPHA)
    assert mnst.stylize(PHOTO, STYLES, **options).alpha is None
    assert mnst.stylize(PHOTO, CUT, **options).alpha is None


def test_what_is_painted_is_what_is_seen_without_white(result, options):
    beneath, _ = images.load_with_alpha(CUT)
    opaque = mnst.stylize(beneath[0], STYLES, mask=ALPHA == 0, **options)
    np.testing.assert_array_equal(result.image, opaque.image)
    np.testing.assert_array_equal(result.image[ALPHA == 0], images.to_uint8(beneath)[ALPHA == 0])
    assert np.mean(result.image[ALPHA > 0] != images.to_uint8(beneath)[ALPHA > 0]) > 0.9


@pytest.mark.parametrize("localize", ["guided", "composite"])
def test_masks_keep_what_they_keep_beside_what_is_hidden(options, localize):
    mask = np.broadcast_to(np.arange(24) >= 18, (20, 24)).astype(np.float32)
    given = {"localize": localize, **options}
    cut = mnst.stylize(CUT, STYLES, mask=mask, **given)
    beneath, _ = images.load_with_alpha(CUT)
    both = mnst.stylize(beneath[0], STYLES, mask=np.maximum(mask, ALPHA == 0), **given)
    np.testing.assert_array_equal(cut.image, both.image)


def test_a_photo_of_which_nothing_is_seen_is_refused(tripwire):
    nothing = np.zeros((20, 24, 4), np.uint8)
    for call in (mnst.stylize, mnst.sweep, mnst.plan):
        with pytest.raises(ValueError, match=r"photo .* is transparent throughout; give one that"):
            call(nothing, STYLES, backbone="vgg19-lite")


@pytest.mark.parametrize("ending", [".png", ".webp", ".tif", ".tiff"])
def test_files_are_as_transparent_as_the_photo(result, tmp_path, ending):
    path = tmp_path / f"painted{ending}"
    result.save(path)
    with Image.open(path) as image:
        assert image.mode == "RGBA"
        pixels = np.asarray(image)
    np.testing.assert_array_equal(pixels[..., 3], ALPHA)
    if ending != ".webp":  # which is lossy, and noise is what it loses
        np.testing.assert_array_equal(pixels[..., :3], result.image)
    assert mnst.read_settings(path)["recipe"]["steps"] == 3


def test_a_jpeg_is_on_white(result, tmp_path):
    result.save(tmp_path / "painted.jpg")
    share = ALPHA[..., np.newaxis] / 255
    expected = share * result.image + (1 - share) * 255
    with Image.open(tmp_path / "painted.jpg") as image:
        assert image.mode == "RGB"
        assert np.abs(np.asarray(image) - expected).mean() < 5
        assert np.asarray(image)[:, :1].min() > 230


def test_a_notebook_shows_the_transparency(result):
    shown = np.asarray(Image.open(io.BytesIO(result._repr_png_())))
    np.testing.assert_array_equal(shown, np.dstack([result.image, ALPHA]))


def test_a_run_that_goes_on_and_kept_pixels_have_it(result, options):
    mask = np.broadcast_to(np.arange(24) >= 18, (20, 24)).astype(np.float32)
    kept = mnst.stylize(CUT, STYLES, mask=mask, colours="photo", init=result.image, **options)
    np.testing.assert_array_equal(kept.alpha, ALPHA)
    opaque = ALPHA == 255
    np.testing.assert_array_equal(kept.image[:, 21:], PHOTO[:, 21:])
    assert opaque[:, 21:].all()


def test_a_size_is_the_alpha_s_too(options):
    small = mnst.stylize(CUT, STYLES, **options, size=16)
    assert small.alpha.shape == small.image.shape[:2] == (13, 16)


def test_sweeps_keep_it_in_their_folder(options, tmp_path):
    asked = {"gamma": [0.2, 0.8], "folder": tmp_path, **options}
    swept = mnst.sweep(CUT, STYLES, **asked)
    again = mnst.sweep(CUT, STYLES, **asked)
    for run, found in zip(swept, again, strict=True):
        assert found.found
        np.testing.assert_array_equal(found.result.image, run.result.image)
        np.testing.assert_array_equal(found.result.alpha, ALPHA)
    # Colours that can't be told apart, and another alpha: that is another photo.
    beneath, _ = images.load_with_alpha(CUT)
    opaque = mnst.sweep(beneath[0], STYLES, **asked)
    assert not any(run.found for run in opaque)
    assert opaque[0].result.alpha is None
    sheet = np.asarray(swept.grid(width=24))
    assert (sheet[-12, 9:11] > 200).all()  # the transparent side, on white


def test_a_crossfade_is_transparent_in_webp_and_on_white_in_gif(options, tmp_path):
    faded = mnst.crossfade(CUT, STYLES, frames=2, steps_between=1, **options)
    np.testing.assert_array_equal(faded.alpha, ALPHA)
    for ending in ("webp", "gif"):
        faded.save(tmp_path / f"fade.{ending}")
        with Image.open(tmp_path / f"fade.{ending}") as image:
            frames = [np.asarray(frame.convert("RGBA")) for frame in Frames(image)]
        assert len(frames) == 2
        for frame in frames:
            if ending == "webp":
                np.testing.assert_allclose(frame[..., 3], ALPHA, atol=1)
            else:
                assert (frame[..., 3] == 255).all()
                assert frame[:, 0].min() > 230


def test_the_command_line_keeps_it(random_weights, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(CUT).save("photo.png")
    mnst.save_image("style.png", STYLES[0])
    given = ["--weights", str(random_weights), "--recipe", "article,steps=1", "--size", "32"]
    assert main(["stylize", "photo.png", "style.png", "-o", "o.png", *given]) == 0
    with Image.open("o.png") as image:
        np.testing.assert_array_equal(np.asarray(image)[..., 3], ALPHA)


def test_save_image_takes_four_channels(tmp_path):
    mnst.save_image(tmp_path / "cut.png", CUT)
    with Image.open(tmp_path / "cut.png") as image:
        np.testing.assert_array_equal(np.asarray(image), CUT)
    with pytest.raises(ValueError, match=re.escape("give [H, W, 3], or [H, W, 4] with alpha")):
        mnst.save_image(tmp_path / "cut.png", CUT[..., :2])
