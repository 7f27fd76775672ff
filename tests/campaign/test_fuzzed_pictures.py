"""Damaged, lying and exploding files of every kind of picture that is read.

Each is either read, as a right array, or refused in one line; within bounded memory and time, and
without a word on standard error from the libraries behind Pillow. A process tries many files, and
tells of each.
"""

import io
import json
import struct
import subprocess
import sys
import textwrap
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

EACH = 60  # damaged files of a kind
SIZE = 64
MEMORY = 1.6e9  # bytes beyond what a process has before its first picture
SECONDS = 20  # of a processor, for one file

CHILD = textwrap.dedent(
    """
    import json, re, sys, time, warnings
    from pathlib import Path
    import numpy as np
    import mnst

    def peak():
        # Kilobytes; that of getrusage begins with what the parent had.
        return int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1])

    mnst.load_image(np.zeros((9, 9, 3), np.uint8))
    before = peak()
    for path in sorted(Path(sys.argv[1]).iterdir()):
        started = time.process_time()
        try:
            with warnings.catch_warnings(record=True):
                warnings.simplefilter("always")
                picture = mnst.load_image(path, size=64)
        except (OSError, ValueError) as error:
            outcome = {"refused": str(error)}
        except BaseException as error:
            outcome = {"undocumented": f"{type(error).__name__}: {error}"}
        else:
            outcome = {
                "shape": picture.shape,
                "kind": str(picture.dtype),
                "right": bool(np.isfinite(picture).all()),
                "range": [float(picture.min()), float(picture.max())],
            }
        grown = peak() - before
        seconds = time.process_time() - started
        print(json.dumps({"name": path.name, "seconds": seconds, "grown": grown, **outcome}))
    """
)


@pytest.fixture
def attempt(tmp_path, tried):
    """Reads files, given by name, in another process; returns what came of each, by name."""

    def run(kind, files):
        for name, data in files.items():
            (tmp_path / name).write_bytes(data)
        ended = subprocess.run(
            [sys.executable, "-X", "faulthandler", "-c", CHILD, tmp_path],
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert ended.stderr == ""
        assert ended.returncode == 0
        outcomes = {each["name"]: each for each in map(json.loads, ended.stdout.splitlines())}
        assert outcomes.keys() == files.keys()
        for name, outcome in outcomes.items():
            check(tmp_path / name, outcome)
        tried(f"damaged pictures: {kind}", len(files))
        return outcomes

    return run


def check(path, outcome):
    assert "undocumented" not in outcome, outcome
    assert outcome["seconds"] < SECONDS, outcome
    assert outcome["grown"] * 1024 < MEMORY, outcome
    if "refused" in outcome:
        assert "\n" not in outcome["refused"]
        assert outcome["refused"].isprintable()
        assert outcome["refused"].startswith(f"{path}: ")
        assert len(outcome["refused"]) < 400
        return
    one, height, width, channels = outcome["shape"]
    assert (one, channels, outcome["kind"], outcome["right"]) == (1, 3, "float32", True)
    assert 1 <= min(height, width) <= max(height, width) <= SIZE
    assert 0 <= outcome["range"][0] <= outcome["range"][1] <= 255


def file_of(image, kind, **options):
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def photo(mode="RGB"):
    random = np.random.default_rng(6)
    coarse = Image.fromarray(random.integers(0, 256, (9, 12, 4), dtype=np.uint8))
    blobs = coarse.resize((96, 72), Image.Resampling.BICUBIC)
    if mode == "I;16":
        return Image.fromarray(np.asarray(blobs)[..., 0].astype(np.uint16) * np.uint16(257))
    if mode == "F":
        return Image.fromarray(np.asarray(blobs)[..., 0].astype(np.float32))
    return blobs.convert(mode)


def profile():
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def frames():
    return {"save_all": True, "append_images": [photo().rotate(90)]}


FAX = {f"TIFF {kind}": ("1", "TIFF", {"compression": kind}) for kind in ("group3", "group4")}
PACKED = {
    f"TIFF {kind}": ("RGB", "TIFF", {"compression": kind})
    for kind in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")
}
WHOLE = {
    "JPEG": ("RGB", "JPEG", {"quality": 80}),
    "JPEG progressive": ("RGB", "JPEG", {"progressive": True, "icc_profile": profile()}),
    "JPEG CMYK": ("CMYK", "JPEG", {}),
    "MPO": ("RGB", "MPO", frames()),
    "PNG": ("RGB", "PNG", {"icc_profile": profile()}),
    "PNG palette": ("P", "PNG", {"transparency": 3}),
    "PNG alpha": ("RGBA", "PNG", {}),
    "PNG 16 bit": ("I;16", "PNG", {}),
    "PNG animated": ("RGBA", "PNG", frames()),
    "WebP": ("RGB", "WEBP", {}),
    "WebP lossless": ("RGBA", "WEBP", {"lossless": True}),
    "WebP animated": ("RGB", "WEBP", frames()),
    "GIF": ("P", "GIF", {}),
    "GIF animated": ("RGB", "GIF", frames()),
    "BMP": ("RGB", "BMP", {}),
    "BMP palette": ("P", "BMP", {}),
    "PPM": ("RGB", "PPM", {}),
    "PPM 1 bit": ("1", "PPM", {}),
    "PFM": ("F", "PPM", {}),
    "JPEG 2000": ("RGB", "JPEG2000", {}),
    "TIFF float": ("F", "TIFF", {}),
    **FAX,
    **PACKED,
}
if "AVIF" in Image.SAVE:
    WHOLE["AVIF"] = ("RGB", "AVIF", {})

LIES = [0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 0x80000000, 13370, 60000]


def flipped(data, random):
    """A few bits are others."""
    changed = bytearray(data)
    for place in random.integers(0, len(changed), random.integers(1, 9)):
        changed[place] ^= 1 << random.integers(0, 8)
    return bytes(changed)


def cut(data, random):
    """The end is missing."""
    return data[: random.integers(0, len(data))]


def other_head(data, random):
    """Bytes of the first ones are any others."""
    changed = bytearray(data)
    for place in random.integers(0, min(len(data), 80), random.integers(1, 5)):
        changed[place] = random.integers(0, 256)
    return bytes(changed)


def lying(data, random):
    """A number of the head is one at which programs stumble."""
    lie, order = LIES[random.integers(0, len(LIES))], "<>"[random.integers(0, 2)]
    kind = "H" if lie < 2**16 and random.integers(0, 2) else "I"
    packed = struct.pack(order + kind, lie)
    place = random.integers(0, min(len(data), 200) - len(packed))
    return data[:place] + packed + data[place + len(packed) :]


def spliced(data, random):
    """A part is there twice, or not at all, or elsewhere."""
    first, second = sorted(random.integers(0, len(data), 2))
    part = data[first:second]
    return [data[:first] + data[second:], data[:second] + part + data[second:], part + data][
        random.integers(0, 3)
    ]


DAMAGE = (flipped, cut, other_head, lying, spliced)


@pytest.mark.parametrize("kind", WHOLE)
def test_damaged_files(attempt, kind):
    mode, name, options = WHOLE[kind]
    whole = file_of(photo(mode), name, **options)
    random = np.random.default_rng([20, len(whole), *kind.encode()])
    files = {
        f"{k:03d}-{DAMAGE[k % len(DAMAGE)].__name__}": DAMAGE[k % len(DAMAGE)](whole, random)
        for k in range(EACH)
    }
    outcomes = attempt(kind.split()[0], {"whole": whole, **files})
    assert "shape" in outcomes["whole"]
    # Neither all nor none: what is damaged has to be damaged enough to be seen.
    refused = sum("refused" in outcome for outcome in outcomes.values())
    assert refused > EACH / 12


def png(width, height, *, depth=8, colour=0, rows=None, interlaced=0, before=b""):
    """A PNG of zeros, well packed; with `rows` only so many of them."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    length = (1 + (width * depth * channels + 7) // 8) * (height if rows is None else rows)
    squeezer = zlib.compressobj(1)
    packed = b"".join(
        squeezer.compress(bytes(min(2**20, length - start))) for start in range(0, length, 2**20)
    )
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    palette = chunk(b"PLTE", bytes(range(256)) * 3) if colour == 3 else b""
    data = chunk(b"IDAT", packed + squeezer.flush())
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + before + palette + data + chunk(b"IEND", b"")
    )


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def tiff(width, height, data, *, packing, extra=(), follow=0):
    """A TIFF of one strip, one bit deep."""
    tags = sorted(
        [
            *((256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 1), (259, 3, 1, packing)),
            *((262, 3, 1, 1), (273, 4, 1, 8), (277, 3, 1, 1), (278, 4, 1, height)),
            (279, 4, 1, len(data)),
            *extra,
        ]
    )
    data += bytes(len(data) % 2)
    table = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags)
    start = 8 + len(data)
    return b"II*\0" + struct.pack("<I", start) + data + table + struct.pack("<I", follow or 0)


def bmp(width, height, depth, packing):
    head = (40, width, height, 1, depth, packing, 0, 0, 0, 0, 0)
    start = 54 + (1024 if depth == 8 else 0)
    return b"BM" + struct.pack("<IIIIiiHHIIiiII", 99, 0, start, *head)


def bombs():
    """Small files of many pixels, or of many parts."""
    text = zlib.compress(bytes(50_000_000), 9)
    million = struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
    gif = b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + bytes(6)
    webp = bytearray(file_of(Image.new("RGB", (9, 9)), "WEBP", lossless=True))
    webp[21:25] = struct.pack("<I", 16382 | 16382 << 14)
    bits = zlib.compress(bytes(13370 * 1672), 9)
    scans = file_of(Image.new("L", (2000, 2000)), "JPEG", progressive=True)
    last = scans.rindex(b"\xff\xda")
    ends = {
        "13370 rows of 1 bit": png(13370, 13370, depth=1),
        "9000 colours": png(9000, 9000, colour=2),
        "6000 with alpha": png(6000, 6000, colour=6),
        "6000 of 16 bits": png(6000, 6000, depth=16),
        "6000 of a palette": png(6000, 6000, depth=8, colour=3),
        "no row": png(13370, 13370, depth=1, rows=0),
        "a row": png(13370, 13370, depth=1, rows=1),
        "half the rows": png(9000, 9000, rows=4500),
        "a row too few": png(6000, 6000, colour=2, rows=5999),
        "interlaced, no row": png(9000, 9000, interlaced=1, rows=0),
        "interlaced, too few": png(9000, 9000, interlaced=1, rows=4000),
        "as wide as can be": png(2**31 - 1, 1, rows=0),
        "wide": png(2**27, 1, depth=1),
        "high": png(1, 2**25, depth=1),
        "rather wide": png(2**20, 170, depth=1),
        "rather high": png(170, 2**20, depth=1),
        "text": png(9, 9, before=chunk(b"zTXt", b"a\0\0" + text)),
        "texts": png(9, 9, before=500 * chunk(b"zTXt", b"a\0\0" + text[:40000])),
        "profile": png(9, 9, before=chunk(b"iCCP", b"a\0\0" + text)),
        "exif": png(9, 9, before=chunk(b"eXIf", b"II*\0\x08\0\0\0\xff\xff" + bytes(99))),
        "frames": gif + 300_000 * (b"," + million) + b";",
        "canvas": b"GIF89a" + struct.pack("<HHBBB", 13000, 13000, 0x80, 0, 0) + bytes(6)
        + b"," + million + b";",
        "webp": bytes(webp),
        "fax": tiff(13370, 13370, bytes(10), packing=4),
        "fax, all": tiff(13370, 13370, b"\xff" * (13370 // 8 + 9), packing=4),
        "deflated": tiff(13370, 13370, bits, packing=8),
        "deflated, short": tiff(13370, 13370, bits[:99], packing=8),
        "raw, short": tiff(13370, 13370, bytes(99), packing=1),
        "loop of pages": tiff(99, 99, bytes(13 * 99), packing=1, follow=8 + 13 * 99 + 1),
        "tags of gigabytes": tiff(9, 9, bytes(18), packing=1, extra=[(700, 1, 2**32 - 1, 8)]),
        "many tags": tiff(9, 9, bytes(18), packing=1, extra=[(40000, 12, 2**29 - 1, 8)]),
        "P6": b"P6 13000 13000 255\n" + bytes(99),
        "P4": b"P4 13000 13000\n" + bytes(99),
        "P3": b"P3 6000 6000 255\n" + b"1 " * 99,
        "P2 of long numbers": b"P2 60 60 255\n" + b"9" * 10**7,
        "P2 of comments": b"P2\n" + b"#\n" * 10**6 + b"60 60 255\n",
        "bmp": bmp(13000, -13000, 24, 0),
        "runs": bmp(13000, 13000, 8, 1) + bytes(1024) + b"\xff\x01" * 99 + b"\0\1",
        "scans": scans[:last] + 300 * scans[last:-2] + scans[-2:],
        "tiny jpeg": jpeg_of(65000, 2700),
    }  # fmt: skip
    return {name.replace(" ", "-"): data for name, data in ends.items()}


def jpeg_of(width, height):
    data = bytearray(file_of(Image.new("L", (16, 16)), "JPEG"))
    place = data.index(b"\xff\xc0") + 5
    data[place : place + 4] = struct.pack(">HH", height, width)
    return bytes(data)


READ = {
    *("13370-rows-of-1-bit", "9000-colours", "6000-with-alpha", "6000-of-16-bits"),
    *("rather-wide", "rather-high"),
    *("6000-of-a-palette", "frames", "canvas", "deflated", "scans"),
}
REFUSED = {
    *("no-row", "a-row", "half-the-rows", "a-row-too-few", "as-wide-as-can-be", "webp", "bmp"),
    *("interlaced,-no-row", "interlaced,-too-few", "deflated,-short", "raw,-short", "fax"),
    *("wide", "high", "P6", "P4", "P3", "tiny-jpeg", "runs", "P2-of-long-numbers"),
}


def test_small_files_of_many_pixels(attempt):
    outcomes = attempt("bombs", bombs())
    assert {name for name in READ if "shape" not in outcomes[name]} == set()
    assert {name for name in REFUSED if "refused" not in outcomes[name]} == set()
