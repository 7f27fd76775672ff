"""Pictures in and out, against NumPy and against Pillow used another way."""

import gc
import io
import os
import re
import struct
import subprocess
import sys
import textwrap
import zlib

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms

import mnst
from mnst import images
from mnst.images import downloading

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
    with pytest.warns(UserWarning, match=rf"^{re.escape(str(path))}: has 3 frames") as caught:
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
    for reading in (mnst.load_image, mnst.read_settings):
        for _ in range(60):
            data = np.frombuffer(whole, np.uint8).copy()
            data[random.integers(0, min(len(data), 400), 5)] = random.integers(0, 256, 5)
            path.write_bytes(data.tobytes())
            try:
                reading(path)
            except ValueError as error:
                assert_says(error, path)


def test_missing_file(tmp_path):
    path = tmp_path / "photo.jpg"
    for reading in (mnst.load_image, mnst.read_settings):
        with pytest.raises(FileNotFoundError, match="there is no such file") as caught:
            reading(path)
        assert_says(caught.value, path)


def test_folder(tmp_path):
    for reading in (mnst.load_image, mnst.read_settings):
        with pytest.raises(IsADirectoryError, match="is a folder") as caught:
            reading(tmp_path)
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
    ("dtype", "settings"), [(np.uint8, {"gamma": np.float32(1)}), (np.float32, {})]
)
def test_wrong_types_leave_what_was_there(tmp_path, dtype, settings):
    path = tmp_path / "picture.png"
    path.write_bytes(b"old")
    with pytest.raises(TypeError):
        mnst.save_image(path, np.zeros((8, 8, 3), dtype), settings)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["picture.png"]
