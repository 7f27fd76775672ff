"""Pictures in and out, against NumPy and against Pillow used another way."""

import gc
import io
import os
import re
import socket
import stat
import struct
import subprocess
import sys
import textwrap
import time
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import EpsImagePlugin, ExifTags, Image, ImageCms, ImageFile

import mnst
from mnst import images
from mnst.checks import user_path
from mnst.images import downloading, reading

Image.init()
KINDS = ["JPEG", "PNG", "WEBP", "TIFF", "GIF", *(["AVIF"] if "AVIF" in Image.SAVE else [])]
ENDINGS = [".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".PNG"]


@pytest.fixture
def random():
    return np.random.default_rng(5)


@pytest.fixture
def photo(random):
    """uint8 [48, 64, 3]: coarse blobs, which a lossy format can keep."""
    coarse = Image.fromarray(random.integers(40, 216, (6, 8, 3), dtype=np.uint8))
    return np.asarray(coarse.resize((64, 48), Image.Resampling.BICUBIC))


def file_of(image, kind, **options):
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def opened(image, kind, **options):
    """The image as Pillow opens it from a file."""
    return Image.open(io.BytesIO(file_of(image, kind, **options)))


def load(source, **options):
    """The picture as [H, W, 3], after a check of what holds for every picture."""
    picture = mnst.load_image(source, **options)
    assert picture.dtype == np.float32
    assert picture.shape[0] == 1
    assert picture.shape[3] == 3
    assert picture.min() >= 0
    assert picture.max() <= 255
    return picture[0]


def in_a_child(script, *arguments):
    """What a Python process writes to its standard output."""
    command = [sys.executable, "-c", textwrap.dedent(script), *arguments]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def names(folder):
    return [path.name for path in folder.iterdir()]


def on_white(colour, alpha):
    share = alpha[..., np.newaxis] / 255
    return colour * share + 255 * (1 - share)


# Reading: kinds of files


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize(
    ("orientation", "upright"),
    [
        (1, lambda a: a),
        (2, lambda a: a[:, ::-1]),
        (3, lambda a: a[::-1, ::-1]),
        (4, lambda a: a[::-1]),
        (5, lambda a: a.swapaxes(0, 1)),
        (6, lambda a: np.rot90(a, -1)),
        (7, lambda a: a[::-1, ::-1].swapaxes(0, 1)),
        (8, np.rot90),
    ],
)
def test_exif_orientation_is_applied(random, tmp_path, kind, orientation, upright):
    pixels = random.integers(0, 256, (4, 6, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    path = tmp_path / "photo"
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    Image.fromarray(pixels).save(path, kind, exif=exif, **options)
    np.testing.assert_array_equal(load(path), upright(pixels))


def test_alpha_is_composited_on_white(random):
    pixels = random.integers(0, 256, (9, 7, 4), dtype=np.uint8)
    expected = on_white(pixels[..., :3], pixels[..., 3])
    np.testing.assert_allclose(load(opened(Image.fromarray(pixels), "PNG")), expected, atol=1)


def test_grey_with_alpha_is_composited_on_white(random):
    grey, alpha = random.integers(0, 256, (2, 9, 7), dtype=np.uint8)
    image = Image.merge("LA", [Image.fromarray(grey), Image.fromarray(alpha)])
    expected = on_white(grey[..., np.newaxis].repeat(3, axis=-1), alpha)
    np.testing.assert_allclose(load(opened(image, "PNG")), expected, atol=1)


def test_transparent_palette_is_composited_on_white(random):
    colours = random.integers(0, 256, (16, 3), dtype=np.uint8)
    alphas = random.integers(0, 256, 16, dtype=np.uint8)
    indices = random.integers(0, 16, (9, 7), dtype=np.uint8)
    image = Image.fromarray(indices, "L").convert("P")
    image.putpalette(colours.tobytes())
    image = opened(image, "PNG", transparency=alphas.tobytes())
    assert image.mode == "P"
    expected = on_white(colours[indices], alphas[indices])
    np.testing.assert_allclose(load(image), expected, atol=1)


def test_transparent_colour_becomes_white(random):
    pixels = random.integers(0, 200, (9, 7, 3), dtype=np.uint8)
    expected = pixels.copy()
    expected[2, 3] = 255
    image = opened(Image.fromarray(pixels), "PNG", transparency=tuple(map(int, pixels[2, 3])))
    np.testing.assert_array_equal(load(image), expected)


def test_palette(random):
    colours = random.integers(0, 256, (16, 3), dtype=np.uint8)
    indices = random.integers(0, 16, (9, 7), dtype=np.uint8)
    image = Image.fromarray(indices, "L").convert("P")
    image.putpalette(colours.tobytes())
    np.testing.assert_array_equal(load(opened(image, "PNG")), colours[indices])


def test_grey(random):
    grey = random.integers(0, 256, (9, 7), dtype=np.uint8)
    picture = load(opened(Image.fromarray(grey), "PNG"))
    np.testing.assert_array_equal(picture, grey[..., np.newaxis].repeat(3, axis=-1))


def test_one_bit(random):
    bits = random.integers(0, 2, (9, 7), dtype=np.uint8)
    image = opened(Image.fromarray(255 * bits).convert("1"), "PNG")
    assert image.mode == "1"
    np.testing.assert_array_equal(load(image)[..., 1], 255 * bits)


def test_cmyk(random):
    inks = random.integers(0, 256, (9, 7, 4), dtype=np.uint8)
    paper = 255 - inks.astype(float)
    expected = paper[..., :3] * paper[..., 3:] / 255
    image = opened(Image.fromarray(inks, "CMYK"), "TIFF")
    np.testing.assert_allclose(load(image), expected, atol=1)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_grey_keeps_its_precision(random, kind):
    grey = random.integers(0, 65536, (9, 7), dtype=np.uint16)
    picture = load(opened(Image.fromarray(grey), kind))
    np.testing.assert_allclose(picture[..., 2], grey / 257, atol=1e-4)


@pytest.mark.parametrize("white", [1, 255])
def test_float_tiff(random, white):
    grey = random.uniform(0, 1, (9, 7)).astype(np.float32)
    picture = load(opened(Image.fromarray(white * grey), "TIFF"))
    np.testing.assert_allclose(picture[..., 0], 255 * grey, rtol=1e-6)


def test_first_frame_of_an_animation_with_a_warning(tmp_path):
    path = tmp_path / "animation.gif"
    frames = [Image.new("RGB", (8, 6), colour) for colour in ("red", "lime", "blue")]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    with pytest.warns(UserWarning, match=rf"^{re.escape(str(path))}: has several frames") as caught:
        picture = load(path)
    np.testing.assert_array_equal(picture, np.full((6, 8, 3), (255, 0, 0)))
    assert len(caught) == 1


def test_warnings_point_at_the_caller():
    frames = [Image.new("L", (8, 6), level) for level in (0, 255)]
    animation = opened(frames[0], "GIF", save_all=True, append_images=frames[1:])
    damaged = opened(frames[0], "PNG", icc_profile=b"not a profile")
    for image in (animation, damaged):
        with pytest.warns(UserWarning, match="ImageFile: ") as caught:
            mnst.load_image(image)
        assert caught[0].filename == __file__


def test_phone_photo_with_a_second_picture_inside_is_no_animation(photo):
    # Phones put a preview or a gain map behind the photo; Pillow opens such a JPEG as MPO.
    image = Image.fromarray(photo)
    picture = load(opened(image, "MPO", save_all=True, append_images=[image], quality=95))
    assert np.abs(picture - photo).mean() < 3


# Reading: colour profiles


def srgb_profile():
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def grey_profile(gamma):
    """A grey ICC profile of version 2 with a tone curve of one gamma."""
    tags = {
        b"desc": b"desc" + struct.pack(">4xI5s78x", 5, b"grey"),
        b"cprt": b"text" + struct.pack(">4x8s", b"nobody"),
        b"wtpt": b"XYZ " + struct.pack(">4x3i", 63190, 65536, 54061),
        b"kTRC": b"curv" + struct.pack(">4xIH2x", 1, round(256 * gamma)),
    }
    table, body = struct.pack(">I", len(tags)), b""
    for name, data in tags.items():
        padded = data + bytes(-len(data) % 4)
        table += name + struct.pack(">II", 128 + 4 + 12 * len(tags) + len(body), len(data))
        body += padded
    header = struct.pack(
        ">I4xI4s4s4s12x4s28x3i48x",
        128 + len(table) + len(body),
        0x02100000,
        b"mntr",
        b"GRAY",
        b"XYZ ",
        b"acsp",
        *(63190, 65536, 54061),
    )
    return header + table + body


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_srgb_profile_changes_nothing(photo, mode):
    image = Image.fromarray(photo).convert(mode)
    plain = load(opened(image, "PNG"))
    np.testing.assert_allclose(
        load(opened(image, "PNG", icc_profile=srgb_profile())), plain, atol=1
    )


def test_profile_is_applied(random):
    pixels = random.integers(0, 256, (9, 7, 3), dtype=np.uint8)
    # A colour space whose red is sRGB's green, and the other way round.
    swapped = srgb_profile()
    for old, new in [(b"rXYZ", b"????"), (b"gXYZ", b"rXYZ"), (b"????", b"gXYZ")]:
        assert swapped.count(old) == 1
        swapped = swapped.replace(old, new)
    picture = load(opened(Image.fromarray(pixels), "PNG", icc_profile=swapped))
    np.testing.assert_allclose(picture, pixels[..., [1, 0, 2]], atol=1)


@pytest.mark.parametrize("mode", ["L", "LA"])
def test_grey_profile_is_applied(mode):
    grey = np.arange(256, dtype=np.uint8)[np.newaxis]
    light = (grey / 255) ** 1.8
    srgb = np.where(light < 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    image = opened(Image.fromarray(grey).convert(mode), "PNG", icc_profile=grey_profile(1.8))
    np.testing.assert_allclose(load(image)[..., 0], 255 * srgb, atol=1.5)


def test_damaged_profile_is_left_out_with_a_warning(photo, tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(photo).save(path, icc_profile=b"not a profile")
    with pytest.warns(UserWarning, match=rf"^{re.escape(str(path))}: .*profile"):
        picture = load(path)
    np.testing.assert_array_equal(picture, photo)


# Reading: PIL images, arrays, tensors


def test_pil_image_stays_open_and_as_it_was(photo, tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(photo).save(path)
    with Image.open(path) as image:
        np.testing.assert_array_equal(load(image, size=16), load(path, size=16))
        np.testing.assert_array_equal(np.asarray(image), photo)


@pytest.mark.parametrize(
    "given",
    [
        lambda levels: levels.astype(np.uint8),
        lambda levels: levels.astype(np.int64),
        lambda levels: levels.astype(np.uint16) * np.uint16(257),
        lambda levels: (levels * 257).astype(">u2"),
        lambda levels: levels.astype(np.float16),
        lambda levels: levels.astype(np.float32),
        lambda levels: levels.astype(np.float64),
        lambda levels: levels / 255,
        lambda levels: levels[np.newaxis],
        lambda levels: levels.astype(np.uint8)[::-1, ::-1][::-1, ::-1],
    ],
    ids=["u1", "i8", "u2", ">u2", "f2", "f4", "f8", "0..1", "leading 1", "strided"],
)
def test_arrays(random, given):
    levels = random.integers(0, 256, (9, 7, 3)).astype(np.float64)
    levels[0, 0] = 255  # for uint16 and for floats in 0..1 the range matters
    np.testing.assert_allclose(load(given(levels)), levels, atol=1e-4)


@pytest.mark.parametrize("shape", [(9, 7), (9, 7, 1), (1, 9, 7, 1)])
def test_grey_arrays(random, shape):
    grey = random.integers(0, 256, shape, dtype=np.uint8)
    expected = grey.reshape(9, 7, 1).repeat(3, axis=-1)
    np.testing.assert_array_equal(load(grey), expected)


@pytest.mark.parametrize("white", [1, 255])
def test_array_with_alpha_is_composited_on_white(random, white):
    pixels = random.integers(0, 256, (9, 7, 4))
    expected = on_white(pixels[..., :3], pixels[..., 3])
    np.testing.assert_allclose(load(pixels * (white / 255)), expected, atol=1e-3)


def test_white_is_white_whatever_its_alpha():
    pixels = np.full((1, 1000, 4), 255, np.float32)
    pixels[..., 3] = np.linspace(0, 255, 1000)
    np.testing.assert_array_equal(load(pixels, size=None), np.full((1, 1000, 3), 255))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "bfloat16", "float16"])
def test_tensors(random, dtype):
    from mnst.backend import tf

    levels = random.integers(0, 256, (1, 9, 7, 3))  # bfloat16 holds whole numbers up to 256
    tensor = tf.constant(levels * (257 if dtype == "uint16" else 1), dtype)
    np.testing.assert_allclose(load(tensor), levels[0], atol=1e-4)


def test_variable_is_taken_like_a_tensor():
    from mnst.backend import tf

    np.testing.assert_array_equal(
        load(tf.Variable(tf.fill((1, 4, 5, 3), 7.0))), np.full((4, 5, 3), 7)
    )


def test_picture_is_the_callers_own():
    for source in (np.full((1, 4, 5, 3), 9.0, np.float32), np.full((4, 5), 9.0, np.float32)):
        picture = mnst.load_image(source)
        picture += 1
        assert (picture == 10).all()
        assert (source == 9).all()


# Reading: sizes


@pytest.mark.parametrize(
    ("shape", "size", "expected"),
    [
        ((300, 1024), 512, (150, 512)),
        ((1024, 300), 512, (512, 150)),
        ((217, 333), 100, (65, 100)),
        ((333, 217), 101, (101, 66)),
        ((100, 60), 512, (100, 60)),
        ((100, 60), 100, (100, 60)),
        ((3, 900), 90, (1, 90)),
        ((600, 700), None, (600, 700)),
    ],
)
def test_long_side_is_limited_and_proportions_stay(shape, size, expected):
    assert load(np.zeros(shape, np.uint8), size=size).shape == (*expected, 3)


def test_512_unless_told():
    assert load(np.zeros((1024, 600), np.uint8)).shape == (512, 300, 3)


@pytest.mark.parametrize(
    ("shape", "size", "expected"),
    [((20, 30), 90, (60, 90)), ((90, 30), 45, (45, 15)), ((20, 30), None, (20, 30))],
)
def test_enlarge(shape, size, expected):
    assert load(np.zeros(shape, np.uint8), size=size, enlarge=True).shape == (*expected, 3)


@pytest.mark.parametrize("size", [20, 41, 150])
def test_resampling_is_lanczos(photo, size):
    # Pillow rounds a picture of bytes between the two directions and after them.
    expected = Image.fromarray(photo).resize(
        (size, round(size * 48 / 64)), Image.Resampling.LANCZOS
    )
    picture = load(photo, size=size, enlarge=True)
    assert np.abs(np.rint(picture) - np.asarray(expected, float)).max() <= 1


def test_floats_are_not_rounded_by_resampling():
    picture = load(np.full((40, 40, 3), 100.4, np.float32), size=16)
    np.testing.assert_allclose(picture, 100.4, atol=1e-3)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "CMYK", "I;16", "F"])
@pytest.mark.parametrize("side", [31, 64, 100])
def test_large_pictures_are_reduced_to_nearly_the_same(photo, monkeypatch, mode, side):
    smooth = Image.fromarray(photo).resize((701, 523), Image.Resampling.BICUBIC)
    if mode in ("I;16", "F"):
        grey = np.asarray(smooth.convert("L"), np.float32)
        smooth = Image.fromarray(grey if mode == "F" else (257 * grey).astype(np.uint16))
    elif mode in ("RGBA", "LA"):
        smooth.putalpha(smooth.getchannel(0))
    data = file_of(smooth.convert(mode) if mode != smooth.mode else smooth, "TIFF")
    expected = load(data, size=side)
    monkeypatch.setattr(reading, "_LARGE", 1000)
    monkeypatch.setattr(reading, "_STRIP", 5000)
    reduced = load(data, size=side)
    assert reduced.shape == expected.shape
    # What was dithered to one bit differs a little more.
    assert np.abs(reduced - expected).mean() < (3 if mode in ("1", "P") else 1)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_large_jpegs_are_decoded_small(photo, monkeypatch, orientation):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    data = file_of(Image.fromarray(photo).resize((1001, 747)), "JPEG", exif=exif, quality=95)
    expected = load(data, size=50)
    monkeypatch.setattr(reading, "_LARGE", 1000)
    decoded = []
    load_core = ImageFile.ImageFile.load
    monkeypatch.setattr(
        ImageFile.ImageFile,
        "load",
        lambda image: decoded.append(image.size) or load_core(image),
    )
    small = load(data, size=50)
    assert small.shape == expected.shape
    assert np.abs(small - expected).mean() < 1
    assert max(decoded[0]) == 251  # a quarter, which is three times 50 or more


def test_large_pictures_that_are_asked_for_whole_stay_whole(photo, monkeypatch):
    expected = load(photo, size=None)
    monkeypatch.setattr(reading, "_LARGE", 10)
    data = file_of(Image.fromarray(photo), "PNG")
    np.testing.assert_array_equal(load(data, size=None), expected)
    assert load(data, size=60).shape == (45, 60, 3)
    assert load(data, size=128, enlarge=True).shape == (96, 128, 3)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "GIF", "JPEG", "JPEG progressive"])
@pytest.mark.parametrize("mode", ["1", "RGBA"])
def test_memory_and_time_of_the_largest_pictures(tmp_path, kind, mode):
    """A white square of 13370 x 13370 pixels, all of it in the file."""
    kind, _, progressive = kind.partition(" ")
    mode = "RGB" if kind == "JPEG" and mode == "RGBA" else mode
    options = {"progressive": True} if progressive else {}
    options |= {"compression": "tiff_deflate"} if kind == "TIFF" else {}
    path = tmp_path / "square"
    Image.new(mode, (13370, 13370), 1 if mode == "1" else "white").save(path, kind, **options)
    shown = in_a_child(
        """
        import re, sys, time
        from pathlib import Path
        import mnst

        def peak():  # kilobytes; that of getrusage begins with what the parent had
            return int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1])

        mnst.load_image(sys.argv[2])
        before = peak()
        started = time.monotonic()
        picture = mnst.load_image(sys.argv[1], size=512)
        assert picture.shape == (1, 512, 512, 3) and picture.min() > 254, picture.min()
        print((peak() - before) / 1e6, time.monotonic() - started)
        """,
        path,
        Path(__file__).parents[1] / "docs" / "images" / "curves.png",
    )
    gigabytes, seconds = map(float, shown.split())
    assert gigabytes < 1.2
    assert seconds < 60


# Reading: addresses


def test_picture_from_an_address(photo, server):
    address = server.put("/photo.png", file_of(Image.fromarray(photo), "PNG"))
    np.testing.assert_array_equal(load(address), photo)


@pytest.mark.parametrize(
    ("answer", "error", "reason"),
    [
        ({"status": 404}, OSError, "404"),
        ({"status": 500}, OSError, "500"),
        ({"body": b"x" * 1000, "length": 5000}, OSError, "4000 bytes are missing"),
        ({"body": b"<html>Sign in</html>"}, ValueError, "not a picture"),
        ({"body": b""}, ValueError, "not a picture"),
        ({"stall": "before"}, OSError, "time"),
        ({"body": b"x" * 1000, "length": 5000, "stall": "after"}, OSError, "time"),
        ({"body": b"x" * 9000}, ValueError, "larger than"),
    ],
    ids=["404", "500", "broken off", "text", "empty", "silent", "stalled", "too large"],
)
def test_bad_answers_from_an_address(server, monkeypatch, answer, error, reason):
    monkeypatch.setattr(downloading, "TIMEOUT", 0.2)
    monkeypatch.setattr(downloading, "LIMIT", 8000)
    address = server.put("/photo.jpg", **answer)

    def ask():
        with pytest.raises(error) as caught:
            mnst.load_image(address)
        assert_says(caught.value, address, reason)

    ask()
    gc.collect()  # a connection that was left open makes a warning now, and fails the test


def test_download_ends_in_time_however_slowly_bytes_come(server, monkeypatch):
    monkeypatch.setattr(downloading, "SECONDS", 0.5)
    for pieces in ("head", "body"):
        address = server.put(f"/{pieces}.png", b"x" * 200, drip=pieces)
        started = time.monotonic()
        with pytest.raises(OSError, match=r"takes longer than 0\.5 seconds") as caught:
            mnst.load_image(address)
        assert_says(caught.value, address)
        assert time.monotonic() - started < 5


@pytest.mark.parametrize("scheme", ["ftp", "file", "data"])
def test_redirects_lead_to_the_web_only(server, tmp_path, photo, scheme):
    elsewhere = {
        "ftp": server.address.replace("http", "ftp") + "/photo.png",
        "file": (tmp_path / "photo.png").as_uri(),
        "data": "data:image/png;base64,AAAA",
    }
    Image.fromarray(photo).save(tmp_path / "photo.png")
    address = server.put("/photo.png", status=302, location=elsewhere[scheme])
    with pytest.raises(OSError, match=rf"leads to {scheme}:, which is not followed") as caught:
        mnst.load_image(address)
    assert_says(caught.value, address)


def test_redirects_within_the_web_are_followed(server, photo):
    server.put("/there.png", file_of(Image.fromarray(photo), "PNG"))
    for location in ("/there.png", f"{server.address}/there.png"):
        address = server.put("/photo.png", status=302, location=location)
        np.testing.assert_array_equal(load(address), photo)


def test_name_and_password_are_sent_to_their_server_and_never_shown(server, photo):
    hidden = server.address.replace("http://", "http://user:hunter2@")
    server.put("/photo.png", file_of(Image.fromarray(photo), "PNG"))
    np.testing.assert_array_equal(load(f"{hidden}/photo.png"), photo)
    assert server.headers[-1]["Authorization"] == "Basic dXNlcjpodW50ZXIy"
    server.put("/moved.png", status=302, location=f"{server.address}/photo.png")
    load(f"{hidden}/moved.png")
    assert "Authorization" not in server.headers[-1]
    for address in (
        f"{hidden}/none.png",
        "http://user:hunter2@[::1/photo.png",
        "http://user:hunter2@no host/photo.png",
        "http://user:hun/ter2@127.0.0.1:1/photo.png",
        "http://user:hunter2@127.0.0.1:1/photo@2x.png",
    ):
        with pytest.raises((OSError, ValueError)) as caught:
            mnst.load_image(address)
        assert_says(caught.value, "http://")
        for secret in ("hunter2", "hun/", "ter2", "user"):
            assert secret not in str(caught.value)
            assert secret not in images.describe(address)
    assert images.describe("http://host/photo@2x.png") == "http://host/photo@2x.png"


def test_address_that_nobody_answers(server):
    server.shutdown()
    server.server_close()
    address = server.address + "/photo.jpg"
    with pytest.raises(OSError, match="refused") as caught:
        mnst.load_image(address)
    assert_says(caught.value, address)


@pytest.mark.parametrize("address", ["http://", "http://[::1", "http://no space/photo.jpg"])
def test_malformed_address(address):
    with pytest.raises((OSError, ValueError)) as caught:
        mnst.load_image(address)
    assert_says(caught.value, address)


# Reading: what is no picture


def assert_says(error, *parts):
    """The message is a single line that names the picture and gives the reason."""
    message = str(error)
    assert "\n" not in message
    for part in parts:
        assert str(part) in message


def png_header(width, height):
    """A PNG file that ends behind its header."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + header
        + struct.pack(">I", zlib.crc32(header))
        + struct.pack(">I", 0)
        + b"IDAT"
        + struct.pack(">I", zlib.crc32(b"IDAT"))
    )


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not a picture"),
        (b"Dear all,\nplease find attached\n", "not a picture"),
        (b"\xff\xd8\xff\xe0", "not a picture|damaged"),
        (png_header(30000, 30000), "more than 178,956,970 pixels"),
        (png_header(30, 30), "damaged"),
    ],
    ids=["empty", "text", "start of a JPEG", "bomb", "PNG without pixels"],
)
def test_file_that_is_no_picture(tmp_path, data, reason):
    path = tmp_path / "photo.jpg"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=reason) as caught:
        mnst.load_image(path)
    assert_says(caught.value, path)


def png_of_rows(rows, *, height=48, colour=0):
    """A grey PNG, 64 pixels wide, whose data is that of its first rows, and ends as it should."""
    image = Image.new("L" if not colour else "RGB", (64, height), 200 if not colour else "red")
    whole = file_of(image, "PNG")
    data, place, packed = b"", 8, b""
    while place < len(whole):
        length, kind = struct.unpack(">I4s", whole[place : place + 8])
        chunk = whole[place : place + 12 + length]
        if kind == b"IDAT":
            packed += chunk[8:-4]
            row = len(zlib.decompress(packed)) // height
            part = b"IDAT" + zlib.compress(zlib.decompress(packed)[: rows * row])
            chunk = struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part))
        data += chunk
        place += 12 + length
    return whole[:8] + data


@pytest.mark.parametrize("colour", [0, 2])
def test_missing_rows_are_damage(tmp_path, colour):
    path = tmp_path / "photo.png"
    path.write_bytes(png_of_rows(48, colour=colour))
    assert load(path).shape == (48, 64, 3)
    for rows in (0, 1, 20, 47):
        path.write_bytes(png_of_rows(rows, colour=colour))
        with pytest.raises(ValueError, match=r"pixels are missing|truncated") as caught:
            mnst.load_image(path)
        assert_says(caught.value, path, "damaged")


def test_whole_pictures_that_end_in_black_are_whole(photo):
    black = photo.copy()
    black[-9:] = 0
    for options in ({}, {"bits": 4}, {"bits": 1}):
        image = Image.fromarray(black)
        image = image.quantize(2) if options else image
        assert load(file_of(image, "PNG", **options)).shape == photo.shape


def test_jpeg_of_more_pixels_than_it_can_hold_is_damaged(photo, tmp_path):
    data = bytearray(file_of(Image.fromarray(photo), "JPEG"))
    sizes = data.index(b"\xff\xc0") + 5
    data[sizes : sizes + 4] = struct.pack(">HH", 9000, 9000)
    (tmp_path / "photo.jpg").write_bytes(data)
    with pytest.raises(ValueError, match="bytes are too few for 9000 x 9000 pixels") as caught:
        mnst.load_image(tmp_path / "photo.jpg")
    assert_says(caught.value, tmp_path / "photo.jpg")


def test_what_would_take_gigabytes_to_decode_is_refused(tmp_path):
    path = tmp_path / "square.webp"
    Image.new("RGB", (64, 64)).save(path, lossless=True)
    data = path.read_bytes()
    assert data[12:16] == b"VP8L"
    sizes = (9999 << 14) + 9999 + (int.from_bytes(data[21:25], "little") & ~(2**28 - 1))
    path.write_bytes(data[:21] + sizes.to_bytes(4, "little") + data[25:])
    with pytest.raises(ValueError, match=r"takes 1\.6 GB to decode, 10000 x 10000") as caught:
        mnst.load_image(path)
    assert_says(caught.value, path)


def test_damaged_fax_is_refused_and_standard_error_stays_empty(random, tmp_path, capfd):
    path = tmp_path / "fax.tif"
    Image.fromarray(random.integers(0, 2, (48, 64), dtype=np.uint8) * 255).convert("1").save(
        path, compression="group4"
    )
    load(path)
    data = bytearray(path.read_bytes())
    data[60] ^= 4
    path.write_bytes(data)
    with pytest.raises(ValueError, match="Fax4Decode: Bad code word") as caught:
        mnst.load_image(path)
    assert_says(caught.value, path)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["photo.png", "photo.eps"])
def test_postscript_never_starts_ghostscript(tmp_path, monkeypatch, photo, name):
    gs, trace, path = tmp_path / "gs", tmp_path / "trace", tmp_path / name
    gs.write_text(f"#!/bin/sh\ntouch '{trace}'\n")
    gs.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)
    Image.fromarray(photo).save(path, "EPS")
    with pytest.raises(ValueError, match="not a picture of a kind that mnst reads") as caught:
        mnst.load_image(path)
    assert_says(caught.value, path)
    assert not trace.exists()
    with Image.open(path) as image, pytest.raises(OSError):  # noqa: PT011, Pillow's own
        image.load()
    assert trace.exists()


@pytest.mark.parametrize("kind", ["BMP", "PPM", "JPEG2000"])
def test_further_kinds_of_files(photo, kind):
    np.testing.assert_array_equal(load(file_of(Image.fromarray(photo), kind)), photo)


@pytest.mark.parametrize("kind", ["ICO", "TGA", "PCX", "SGI", "PDF"])
def test_other_kinds_are_refused(photo, kind):
    with pytest.raises(ValueError, match="not a picture of a kind that mnst reads"):
        mnst.load_image(file_of(Image.fromarray(photo), kind))


def irregular(folder):
    """Places of all kinds that aren't regular files, by what a message calls them."""
    os.mkfifo(folder / "pipe.png")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(folder / "socket.png"))
    (folder / "loop.png").symlink_to("loop.png")
    (folder / "to pipe.png").symlink_to("pipe.png")
    return {
        "pipe.png": "is a pipe",
        "socket.png": "is a socket|No such device",
        "loop.png": "a link that leads back to itself|symbolic links",
        "to pipe.png": "is a pipe",
    }


def test_only_regular_files_are_read(tmp_path):
    for name, reason in irregular(tmp_path).items():
        for reading_one in (mnst.load_image, mnst.read_settings, images.sha256):
            with pytest.raises(OSError, match=reason) as caught:
                reading_one(tmp_path / name)
            assert_says(caught.value, tmp_path / name)


def test_only_regular_files_are_written_over(tmp_path, photo):
    def state(name):
        # But for the time of the last look at it, which following a link sets.
        of = (tmp_path / name).lstat()
        return of.st_ino, of.st_mode, of.st_mtime_ns, of.st_ctime_ns

    for name, reason in irregular(tmp_path).items():
        before = state(name)
        for attempt in (
            lambda place: images.check_output(place),
            lambda place: mnst.save_image(place, photo),
            lambda place: images.write_atomically(place, b"anything"),
        ):
            with pytest.raises(OSError, match=reason) as caught:
                attempt(tmp_path / name)
            assert_says(caught.value, tmp_path / name)
        assert state(name) == before
    assert not list(tmp_path.glob("*.part"))


def test_place_is_checked_again_when_it_is_written_to(tmp_path):
    def write():
        with images.replacing(tmp_path / "a.png") as file:
            file.write(b"whole")
            os.mkfifo(tmp_path / "a.png")

    with pytest.raises(OSError, match="is a pipe"):
        write()
    assert stat.S_ISFIFO((tmp_path / "a.png").lstat().st_mode)
    assert names(tmp_path) == ["a.png"]


def test_part_of_a_killed_process_is_removed_and_that_of_the_living_stays(tmp_path):
    script = """
        import sys, time
        from mnst import images
        with images.replacing(sys.argv[1]) as file:
            file.write(b"half")
            file.flush()
            print("half", flush=True)
            time.sleep(60)
    """
    command = [sys.executable, "-c", textwrap.dedent(script), tmp_path / "a.csv"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
        writer.stdout.readline()
        (part,) = names(tmp_path)
        images.write_atomically(tmp_path / "b.csv", b"whole")
        assert sorted(names(tmp_path)) == [part, "b.csv"]
        writer.kill()
    images.write_atomically(tmp_path / "b.csv", b"whole again")
    assert names(tmp_path) == ["b.csv"]


@pytest.mark.slow
def test_where_there_are_many_files_parts_are_not_looked_for_each_time(tmp_path, monkeypatch):
    for k in range(20_000):
        (tmp_path / str(k)).touch()
    looks, glob = [], Path.glob
    monkeypatch.setattr(Path, "glob", lambda *given: looks.append(given) or glob(*given))
    for _ in range(20):
        images.write_atomically(tmp_path / "a.csv", b"whole")
    assert 1 <= len(looks) < 10


def test_home_folder_and_odd_names(tmp_path, photo, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    mnst.save_image("~/photo.png", photo, {"seed": 1})
    assert mnst.read_settings("~/photo.png") == {"seed": 1}
    np.testing.assert_array_equal(load(tmp_path / "photo.png"), load("~/photo.png"))
    assert user_path("~nobody at all/x") == Path("~nobody at all/x")
    for name in ("nul\0.png", "line\nbreak.png", "\udfff.png", "~/line\nbreak.png"):
        for reading_one in (mnst.load_image, mnst.read_settings):
            with pytest.raises(OSError) as caught:  # noqa: PT011, of several kinds
                reading_one(name)
            assert_says(caught.value, repr(name))
            assert "damaged" not in str(caught.value)
    for place, reason in {
        f"{tmp_path}/x.png/": "ends as a folder does",
        f"{tmp_path}/nul\0.png": "no file can have such a name",
        f"{tmp_path}/{'x' * 300}.png": "File name too long",
        f"{tmp_path}/photo.png/x.png": "there is no folder",
    }.items():
        with pytest.raises(OSError, match=reason) as caught:
            mnst.save_image(place, photo)
        assert_says(caught.value)
    assert names(tmp_path) == ["photo.png"]


def test_closed_image_is_not_called_a_damaged_file(photo):
    image = Image.fromarray(photo)
    image.close()
    with pytest.raises(ValueError, match="is it closed, or its file gone"):
        mnst.load_image(image)


@pytest.mark.parametrize(
    ("photo_side", "size", "name", "fits"),
    [
        (20, 16384, "a.webp", True),
        (16383, 20000, "a.webp", True),
        (16384, 20000, "a.webp", False),
        (16384, 16000, "a.webp", True),
        (16384, 20000, "a.png", True),
        (65501, 70000, "a.jpg", False),
        (65501, 70000, "a.jpeg", False),
        (16384, 20000, "a.gif", True),
    ],
)
def test_what_a_format_can_not_hold_is_known_before(tmp_path, photo_side, size, name, fits):
    photo = tmp_path / "photo.png"
    Image.new("1", (photo_side, 2)).save(photo)
    pixels = np.zeros((2, min(photo_side, size), 3), np.uint8)
    if fits:
        images.check_fits(name, photo, size)
        if not name.endswith("gif"):
            mnst.save_image(tmp_path / name, pixels)
        return
    with pytest.raises(ValueError, match="holds at most") as caught:
        images.check_fits(name, photo, size)
    assert_says(caught.value, name)
    with pytest.raises(ValueError, match="can't be written as"):
        mnst.save_image(tmp_path / name, pixels)


def test_command_knows_it_before_it_paints(tmp_path, refused):
    photo = tmp_path / "photo.png"
    Image.new("1", (16400, 40)).save(photo)
    for command in ("stylize", "crossfade"):
        given = (photo, "a.png", "b.png", "-o", tmp_path / "a.webp", "--size", 20000)
        assert "WEBP holds at most 16383 pixels a side" in refused(command, *map(str, given))


def test_large_photo_is_no_bomb(photo, tmp_path, monkeypatch):
    path = tmp_path / "photo.png"
    Image.fromarray(photo).save(path)
    # Up to twice its limit Pillow itself only warns.
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 48 * 64 - 1)
    np.testing.assert_array_equal(load(path), photo)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 48 * 64 // 2 - 1)
    with pytest.raises(ValueError, match="attack") as caught:
        mnst.load_image(path)
    assert_says(caught.value, path)


def test_reading_leaves_the_filters_of_other_threads_alone(photo, tmp_path, monkeypatch):
    path, opened, seen = tmp_path / "photo.png", Image.open, []
    Image.fromarray(photo).save(path)

    def looked_at(*arguments, **options):
        seen.append(warnings.filters)
        return opened(*arguments, **options)

    monkeypatch.setattr(Image, "open", looked_at)
    mnst.load_image(path)
    assert [filters is warnings.filters for filters in seen] == [True]


def test_a_large_photo_is_read_in_silence(photo, tmp_path):
    """In a process of its own, whose filters are not pytest's."""
    path = tmp_path / "photo.png"
    Image.fromarray(photo).save(path)
    script = (
        "import sys, mnst, PIL.Image as p; p.MAX_IMAGE_PIXELS = 3071; mnst.load_image(sys.argv[1])"
    )
    run = [sys.executable, "-c", script, str(path)]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    assert done.stderr == ""


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, of damaged TIFF tags
@pytest.mark.parametrize("kind", KINDS)
def test_broken_off_file(photo, tmp_path, kind):
    whole = file_of(Image.fromarray(photo), kind)
    path = tmp_path / f"photo.{kind.lower()}"
    for length in range(0, len(whole) - 40, max(1, len(whole) // 40)):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"not a picture|damaged") as caught:
            mnst.load_image(path)
        assert_says(caught.value, path)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_damaged_file_is_read_or_refused(photo, random, tmp_path, kind):
    several = {"save_all": True, "append_images": [Image.new("RGB", (64, 48))]}
    whole = file_of(Image.fromarray(photo), kind, **({} if kind in ("JPEG", "PNG") else several))
    path = tmp_path / f"photo.{kind.lower()}"
    for reading_one in (mnst.load_image, mnst.read_settings):
        for _ in range(60):
            data = np.frombuffer(whole, np.uint8).copy()
            data[random.integers(0, min(len(data), 400), 5)] = random.integers(0, 256, 5)
            path.write_bytes(data.tobytes())
            try:
                reading_one(path)
            except ValueError as error:
                assert_says(error, path)


def test_missing_file(tmp_path):
    path = tmp_path / "photo.jpg"
    for reading_one in (mnst.load_image, mnst.read_settings):
        with pytest.raises(FileNotFoundError, match="there is no such file") as caught:
            reading_one(path)
        assert_says(caught.value, path)


def test_folder(tmp_path):
    for reading_one in (mnst.load_image, mnst.read_settings):
        with pytest.raises(IsADirectoryError, match="is a folder") as caught:
            reading_one(tmp_path)
        assert_says(caught.value, tmp_path)


def array(value, shape=(4, 5, 3), dtype=np.float32):
    return np.full(shape, value, dtype)


NO_PICTURES = {
    "NaN": (array(np.nan), ValueError, "ndarray of shape (4, 5, 3)"),
    "infinite": (array(np.inf), ValueError, "ndarray of shape (4, 5, 3)"),
    "beyond float32": (array(1e300, dtype=np.float64), ValueError, "ndarray of shape (4, 5, 3)"),
    "negative": (array(-0.1), ValueError, "ndarray of shape (4, 5, 3)"),
    "above 255": (array(255.5), ValueError, "ndarray of shape (4, 5, 3)"),
    "negative whole number": (array(-1, dtype=np.int32), ValueError, "ndarray of shape (4, 5, 3)"),
    "256": (array(256, dtype=np.int32), ValueError, "ndarray of shape (4, 5, 3)"),
    "booleans": (array(True, dtype=bool), ValueError, "ndarray of shape (4, 5, 3)"),
    "2 channels": (array(0, (4, 5, 2)), ValueError, "ndarray of shape (4, 5, 2)"),
    "5 channels": (array(0, (4, 5, 5)), ValueError, "ndarray of shape (4, 5, 5)"),
    "batch of 2": (array(0, (2, 4, 5, 3)), ValueError, "ndarray of shape (2, 4, 5, 3)"),
    "1 dimension": (array(0, (4,)), ValueError, "ndarray of shape (4,)"),
    "empty": (array(0, (0, 5, 3)), ValueError, "ndarray of shape (0, 5, 3)"),
    "objects": (array({}, dtype=object), TypeError, "ndarray of shape (4, 5, 3)"),
    "strings": (array("7", dtype=str), TypeError, "ndarray of shape (4, 5, 3)"),
    "complex": (array(1j, dtype=complex), TypeError, "ndarray of shape (4, 5, 3)"),
    "number": (np.float32(3), ValueError, "float32"),
    "negative TIFF": (Image.new("F", (5, 4), -1), ValueError, "Image"),
    "records": (np.zeros((4, 5), "u1,u1"), TypeError, "ndarray of shape (4, 5)"),
    "raw bytes": (np.zeros((4, 5), "V3"), TypeError, "ndarray of shape (4, 5)"),
    "masked": (np.ma.masked_less(array(0), 1), TypeError, "MaskedArray of shape (4, 5, 3)"),
    "None": (None, TypeError, "NoneType"),
    "dict": ({"a": 1}, TypeError, "dict"),
    "list": ([[0, 255], [255, 0]], TypeError, "list"),
    "bytes": (b"photo.jpg", ValueError, "9 bytes"),
    "bytearray": (bytearray(b"photo.jpg"), TypeError, "bytearray"),
}


def test_bytes_are_the_contents_of_a_file(tmp_path):
    random = np.random.default_rng(4)
    mnst.save_image(tmp_path / "a.png", random.integers(0, 256, (5, 7, 3), dtype=np.uint8))
    contents = (tmp_path / "a.png").read_bytes()
    np.testing.assert_array_equal(mnst.load_image(contents), mnst.load_image(tmp_path / "a.png"))


@pytest.mark.parametrize(("source", "error", "named"), NO_PICTURES.values(), ids=NO_PICTURES)
def test_what_is_no_picture(source, error, named):
    with pytest.raises(error) as caught:
        mnst.load_image(source)
    assert_says(caught.value, named)
    with pytest.raises(error) as caught:
        mnst.load_image(source, name="the photo")
    assert_says(caught.value, "the photo")


def test_file_with_bad_pixels_is_not_called_damaged(tmp_path):
    path = tmp_path / "depth.tif"
    Image.fromarray(array(np.nan, (4, 5))).save(path)
    with pytest.raises(ValueError, match="NaN") as caught:
        mnst.load_image(path)
    assert_says(caught.value, path)
    assert "damaged" not in str(caught.value)
    assert str(caught.value).count("depth.tif") == 1


@pytest.mark.parametrize("size", [0, -1, 1.5, True, "512", float("nan"), float("inf")])
def test_size_out_of_range(photo, size):
    with pytest.raises(ValueError, match=rf"^size is {size!r}: give a whole number") as caught:
        mnst.load_image(photo, size=size)
    assert_says(caught.value)


# Writing

SETTINGS = {
    "gamma": [0.1 + 0.2, 1 / 3],
    "sigma": None,
    "recipe": {"name": "Größe 日本 🎨", "style_layers": {"block1_conv1": 1e-30}},
    "seed": 2**60,
    "completed": True,
    "quotes": "\"'\\\n\0",
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_saved_picture_and_its_settings_come_back(photo, tmp_path, ending):
    path = tmp_path / f"picture{ending}"
    mnst.save_image(path, photo, SETTINGS)
    assert mnst.read_settings(path) == SETTINGS
    assert mnst.read_settings(str(path)) == SETTINGS
    kinds = {"p": "PNG", "j": "JPEG", "w": "WEBP", "t": "TIFF"}
    with Image.open(path) as image:
        assert image.format == kinds[ending[1].lower()]
        difference = np.abs(np.asarray(image, float) - photo)
    if kinds[ending[1].lower()] in ("PNG", "TIFF"):
        assert difference.max() == 0
    else:
        assert difference.mean() < 3
    assert load(path).shape == photo.shape
    assert names(tmp_path) == [path.name]


def test_what_was_read_can_be_written(photo, tmp_path):
    source, target = tmp_path / "photo.png", tmp_path / "picture.png"
    Image.fromarray(photo).save(source)
    mnst.save_image(target, images.to_uint8(mnst.load_image(source)))
    np.testing.assert_array_equal(np.asarray(Image.open(target)), photo)


def test_to_uint8_rounds_and_clips():
    levels = np.float32([-3, 0.4, 0.6, 254.4, 254.6, 300]).reshape(1, 1, 2, 3)
    assert images.to_uint8(levels).ravel().tolist() == [0, 0, 1, 254, 255, 255]


def test_side_by_side_is_as_high_as_the_first(photo):
    wide = images.side_by_side([photo, np.full((20, 20, 3), 7, np.uint8), photo[:24]])
    assert wide.dtype == np.uint8
    assert wide.shape == (48, 64 + 8 + 48 + 8 + 128, 3)
    np.testing.assert_array_equal(wide[:, :64], photo)
    assert (wide[:, 64:72] == 255).all()
    assert (wide[:, 72:120] == 7).all()


def test_settings_of_others_and_damaged_ones(photo, tmp_path):
    path = tmp_path / "picture.jpg"
    comments = [
        None,
        b"ASCII\0\0\0Holiday 2019",
        b'ASCII\0\0\0{"mnst": {"gamma": [0.5',
        b"ASCII\0\0\0\xff\xfe{",
        b'ASCII\0\0\0{"other": {}}',
        b'ASCII\0\0\0{"mnst": "0.1"}',
        b'ASCII\0\0\0["mnst"]',
    ]
    for comment in comments:
        exif = Image.Exif()
        if comment is not None:
            exif[ExifTags.Base.UserComment] = comment
        Image.fromarray(photo).save(path, exif=exif)
        with pytest.raises(ValueError, match="carries no settings") as caught:
            mnst.read_settings(path)
        assert_says(caught.value, path)


def test_picture_saved_without_settings_has_none(photo, tmp_path):
    path = tmp_path / "picture.png"
    mnst.save_image(path, photo)
    with pytest.raises(ValueError, match="carries no settings"):
        mnst.read_settings(path)


@pytest.mark.parametrize("name", ["picture.bmp", "picture", "picture.png.txt", ""])
def test_unknown_ending(photo, tmp_path, name):
    with pytest.raises(ValueError, match=r"must end in one of \.png, ") as caught:
        mnst.save_image(tmp_path / name, photo)
    assert_says(caught.value, tmp_path / name)
    assert names(tmp_path) == []


def test_missing_folder(photo, tmp_path):
    path = tmp_path / "nowhere" / "picture.png"
    with pytest.raises(FileNotFoundError, match="there is no folder") as caught:
        mnst.save_image(path, photo)
    assert_says(caught.value, path)


def test_folder_as_target(photo, tmp_path):
    path = tmp_path / "picture.png"
    path.mkdir()
    with pytest.raises(IsADirectoryError, match="is a folder") as caught:
        mnst.save_image(path, photo)
    assert_says(caught.value, path)
    assert names(tmp_path) == ["picture.png"]


@pytest.fixture
def read_only_folder(tmp_path):
    """A folder that even root can't write to, where root may mount one."""
    folder = tmp_path / "read only"
    folder.mkdir()
    folder.chmod(0o555)
    mounted = False
    if os.access(folder, os.W_OK):
        command = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", folder]
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
        if not mounted:
            pytest.skip("runs as root, who can write everywhere, and may not mount")
    yield folder
    if mounted:
        subprocess.run(["umount", folder], check=True)
    folder.chmod(0o755)


def test_read_only_folder(photo, read_only_folder):
    path = read_only_folder / "picture.png"
    for attempt in (lambda: images.check_output(path), lambda: mnst.save_image(path, photo)):
        with pytest.raises(PermissionError, match="can't be written") as caught:
            attempt()
        assert_says(caught.value, path)


@pytest.mark.parametrize("name", ["picture.png", "0c7f"])
def test_link_stays_and_its_target_is_replaced(photo, tmp_path, name):
    target, link = tmp_path / "real" / name, tmp_path / "link.png"
    target.parent.mkdir()
    target.write_bytes(b"old")
    link.symlink_to(target)
    mnst.save_image(link, photo, {"seed": 1})
    assert link.is_symlink()
    assert link.readlink() == target
    assert not target.is_symlink()
    assert mnst.read_settings(target) == {"seed": 1}


def test_existing_file_keeps_its_permissions(photo, tmp_path):
    path = tmp_path / "picture.png"
    path.write_bytes(b"old")
    path.chmod(0o600)
    mnst.save_image(path, photo)
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("before", [None, b"the picture of last week"])
def test_failed_write_leaves_what_was_there(tmp_path, before):
    path = tmp_path / "picture.png"
    if before is not None:
        path.write_bytes(before)
    script = """
        import resource, signal, sys
        import numpy as np
        import mnst

        noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        try:
            mnst.save_image(sys.argv[1], noise)
        except OSError as error:
            print(error)
    """
    finished = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), path],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "File too large" in finished.stdout
    assert str(path) in finished.stdout
    assert finished.stdout.count("\n") == 1
    assert names(tmp_path) == ([] if before is None else [path.name])
    if before is not None:
        assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("name", "width", "settings"),
    [("picture.webp", 16384, {}), ("picture.jpg", 8, {"long": "x" * 70000})],
    ids=["too wide for WebP", "settings too long for JPEG"],
)
def test_failed_encoding_leaves_what_was_there(tmp_path, name, width, settings):
    path = tmp_path / name
    path.write_bytes(b"old")
    with pytest.raises((OSError, ValueError)) as caught:
        mnst.save_image(path, np.zeros((2, width, 3), np.uint8), settings)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == [name]
    assert_says(caught.value, path)


@pytest.mark.parametrize(
    ("image", "settings", "error"),
    [
        (np.zeros((8, 8, 3), np.uint8), {"gamma": np.float32(1)}, TypeError),
        (np.zeros((8, 8, 3), np.float32), {}, TypeError),
        (np.zeros((8, 8, 3), bool), {}, TypeError),
        ("x", {}, TypeError),
        (None, {}, TypeError),
        ([[[1, 2, 3]]], {}, TypeError),
        (np.zeros((8, 8), np.uint8), {}, ValueError),
        (np.zeros((8, 8, 2), np.uint8), {}, ValueError),
        (np.zeros((8, 8, 5), np.uint8), {}, ValueError),
        (np.zeros((1, 8, 8, 3), np.uint8), {}, ValueError),
        (np.zeros((0, 8, 3), np.uint8), {}, ValueError),
    ],
)
def test_wrong_types_leave_what_was_there(tmp_path, image, settings, error):
    path = tmp_path / "picture.png"
    path.write_bytes(b"old")
    with pytest.raises(error) as caught:
        mnst.save_image(path, image, settings)
    assert_says(caught.value)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["picture.png"]
