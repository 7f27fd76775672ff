"""Everything that is saved, at places where nothing can be, or should be.

A save ends with the file, or with one line of an `OSError` or `ValueError`; what was there is left
as it was, and nothing is left beside it.
"""

import contextlib
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from PIL import Image

import mnst
from mnst import images
from mnst.engine.trainer import StepRecord
from mnst.figures._common import save_figures
from mnst.learning import files
from mnst.masks.segmentation import Segmentation
from mnst.networks.lite import write_lite
from mnst.painting.crossfades import Crossfade
from mnst.painting.result import Result
from mnst.sweeping.outcome import Sweep

PICTURE = np.random.default_rng(8).integers(0, 256, (24, 32, 3), dtype=np.uint8)


def result():
    losses = {"content": 1.0, "style_1": 2.0, "total": 3.0}
    record = StepRecord(0, losses, 0.02, 0.0, 8)
    return Result(PICTURE, (record,), (2.0,), {"gamma": [1.0]})


def sweep():
    return Sweep((), completed=True)


def crossfade():
    return Crossfade((PICTURE, PICTURE[::-1]), (0.0, 1.0), ((1.0, 1.0),) * 2, 1)


def segmentation():
    return Segmentation(PICTURE, np.zeros(PICTURE.shape[:2], int), ("background",), "toy")


def as_figure(place):
    """A figure has the name, and the folder is given."""
    folder, _, name = os.fspath(place).rpartition("/")
    save_figures(folder or "/", {name.removesuffix(".png"): Image.fromarray(PICTURE)})


def as_plot(place):
    from matplotlib.figure import Figure

    folder, _, name = os.fspath(place).rpartition("/")
    figure = Figure()
    figure.subplots()
    save_figures(folder or "/", {name.removesuffix(".png"): figure})


SAVES = {
    "picture.png": lambda place: mnst.save_image(place, PICTURE, {"a": 1}),
    "picture.jpg": lambda place: mnst.save_image(place, PICTURE),
    "picture.webp": lambda place: mnst.save_image(place, PICTURE),
    "picture.tif": lambda place: mnst.save_image(place, PICTURE),
    "result.png": lambda place: result().save(place),
    "overlay.png": lambda place: segmentation().save(place),
    "fade.gif": lambda place: crossfade().save(place),
    "fade.webp": lambda place: crossfade().save(place),
    "table.csv": lambda place: sweep().save_csv(place),
    "table.json": lambda place: sweep().save_json(place),
    "live.npz": lambda place: files.write(place, {"a": np.zeros(9999)}, {"b": 1}),
    "network.npz": lambda place: write_lite(place, {"a": None}, {"b": np.zeros(9999)}),
    "figure.png": as_figure,
    "plot.png": as_plot,
    "anything": lambda place: images.write_atomically(place, bytes(9999)),
}


@pytest.fixture(params=SAVES)
def name(request):
    return request.param


@pytest.fixture
def refused(tried):
    """Saves, and returns the one line that says why it couldn't."""

    def attempt(name, place):
        with pytest.raises((OSError, ValueError)) as caught:
            SAVES[name](place)
        message = mnst.errors.one_line(caught.value)
        assert message.isprintable()
        tried("hostile places")
        return message

    return attempt


def listing(folder):
    found = {path.name: path.lstat() for path in folder.iterdir()}
    return {name: (each.st_ino, each.st_mode, each.st_mtime) for name, each in found.items()}


def pipe(place):
    os.mkfifo(place)


def bound_socket(place):
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(place))


def loop(place):
    place.symlink_to(place.name)


def loop_of_two(place):
    other = place.with_name("other")
    place.symlink_to(other)
    other.symlink_to(place)


def link_to_a_pipe(place):
    os.mkfifo(place.with_name("other"))
    place.symlink_to("other")


def link_to_a_folder(place):
    place.with_name("other").mkdir()
    place.symlink_to("other")


def link_into_nowhere(place):
    place.symlink_to(place.with_name("nowhere") / "other")


def folder(place):
    place.mkdir()


ODD = {
    pipe: "is a pipe",
    bound_socket: "is a socket",
    loop: "a link that leads back|Too many levels",
    loop_of_two: "a link that leads back|Too many levels",
    link_to_a_pipe: "is a pipe",
    link_to_a_folder: "is a folder",
    link_into_nowhere: "there is no folder",
    folder: "is a folder",
}


@pytest.mark.parametrize("make", ODD)
def test_what_is_no_regular_file_stays(refused, tmp_path, name, make):
    make(tmp_path / name)
    before = listing(tmp_path)
    assert re.search(ODD[make], refused(name, tmp_path / name))
    assert listing(tmp_path) == before


def test_dangling_link_gets_its_file(tried, tmp_path, name):
    (tmp_path / name).symlink_to("other")
    SAVES[name](tmp_path / name)
    assert (tmp_path / name).is_symlink()
    assert stat.S_ISREG((tmp_path / "other").lstat().st_mode)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, "other"])
    tried("hostile places")


LETTERS = [
    *(
        " ",
        "a b",
        "a\nb",
        "\x1b[2J",
        "..a",
        "-o",
        "~",
        "~nobody",
        "ä",
        "\u202e",
        "日本",
        "'\"",
        "*?[",
    ),
    *("\udcff", "http:", "x" * 200, "a.png.b", "%s{}", "\\", ";"),
]


@pytest.mark.parametrize("letters", LETTERS)
def test_names_of_all_sorts_are_kept(tried, tmp_path, name, letters):
    if name in ("figure.png", "plot.png") and letters.startswith("~"):
        letters = f"a{letters}"  # of a figure the folder is given, not the name
    place = tmp_path / f"{letters}{name if '.' in name else '.' + name}"
    SAVES[name](place)
    assert [os.fsencode(path.name) for path in tmp_path.iterdir()] == [os.fsencode(place.name)]
    assert place.stat().st_size > 0 or name.startswith("table")
    tried("hostile places")


IMPOSSIBLE = {
    "a NUL": ("{folder}/a\0{name}", "no file can have such a name"),
    "a lone surrogate": ("{folder}/\ud800{name}", "no file can have such a name"),
    "300 letters": ("{folder}/" + "x" * 300 + "{name}", "File name too long"),
    "300 bytes": ("{folder}/" + "ä" * 150 + "{name}", "File name too long"),
    "a folder of 300 letters": ("{folder}/" + "x" * 300 + "/{name}", "too long|no folder"),
    "5000 letters": ("{folder}/" + "x/" * 2500 + "{name}", "too long|no folder"),
    "no folder": ("{folder}/nowhere/{name}", "there is no folder"),
    "a file as a folder": ("{folder}/file/{name}", "there is no folder|Not a directory"),
    "a slash": ("{folder}/{name}/", "ends as a folder does"),
    "two slashes": ("{folder}/{name}//", "ends as a folder does"),
    "nothing": ("", "the name must end in|give the name of a file"),
    "a line's end": ("{folder}/no\nwhere/{name}", "there is no folder"),
}


# A figure's folder is made, and its name is the package's own.
@pytest.mark.parametrize("name", sorted(SAVES.keys() - {"figure.png", "plot.png"}))
@pytest.mark.parametrize("kind", IMPOSSIBLE)
def test_names_that_can_not_be(refused, tmp_path, name, kind):
    pattern, reason = IMPOSSIBLE[kind]
    (tmp_path / "file").write_bytes(b"old")
    assert re.search(reason, refused(name, pattern.format(folder=tmp_path, name=name)))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.fixture
def read_only(tmp_path):
    """A folder that even root can't write to, where root may mount one."""
    place = tmp_path / "read only"
    place.mkdir()
    place.chmod(0o555)
    mounted = False
    if os.access(place, os.W_OK):
        command = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", place]
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
        if not mounted:
            pytest.skip("runs as root, who can write everywhere, and may not mount")
    yield place
    if mounted:
        subprocess.run(["umount", place], check=True)
    place.chmod(0o755)


def test_read_only_folder(refused, read_only, name):
    assert "can't be written" in refused(name, read_only / name)


@contextlib.contextmanager
def full_disk():
    """Files may have no more than 100 bytes, which ends a write as a full disk does."""
    import resource

    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


# The tables of a sweep without runs take a few bytes.
@pytest.mark.parametrize("name", sorted(SAVES.keys() - {"table.csv", "table.json"}))
@pytest.mark.parametrize("before", [None, b"of last week"])
def test_full_disk(refused, tmp_path, name, before):
    if before is not None:
        (tmp_path / name).write_bytes(before)
    with full_disk():
        message = refused(name, tmp_path / name)
    assert "File too large" in message
    assert name in message
    if before is None:
        assert list(tmp_path.iterdir()) == []
    else:
        assert [path.read_bytes() for path in tmp_path.iterdir()] == [before]


@pytest.mark.parametrize("seconds", [k / 100 for k in range(12)])
def test_killed_at_any_moment(tried, tmp_path, seconds):
    """What is at the place is whole, and what the killed left is gone after the next save."""
    script = """
        import sys
        from mnst import images
        print("begun", flush=True)
        while True:
            images.write_atomically(sys.argv[1], b"x" * 3_000_000)
    """
    place = tmp_path / "a.bin"
    command = [sys.executable, "-c", textwrap.dedent(script), place]
    with contextlib.ExitStack() as stack:
        writers = [
            stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE)) for _ in range(2)
        ]
        for writer in writers:
            writer.stdout.readline()
        with contextlib.suppress(subprocess.TimeoutExpired):
            writers[0].wait(0.05 + seconds)
        assert [writer.poll() for writer in writers] == [None, None]
        for writer in writers:
            writer.kill()
    assert place.read_bytes() == b"x" * 3_000_000
    images.write_atomically(tmp_path / "b.bin", b"next")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.bin", "b.bin"]
    tried("kills while saving")


@pytest.mark.parametrize("make", [pipe, bound_socket, loop, link_to_a_pipe])
@pytest.mark.parametrize("reads", ["photo", "settings", "mask", "weights", "model", "network"])
def test_nothing_but_files_is_read(tried, tmp_path, make, reads):
    """A pipe without a writer would be waited for, for ever."""
    place = tmp_path / ("odd.npz" if reads == "network" else "odd")
    make(place)
    ways = {
        "photo": lambda: mnst.load_image(place),
        "settings": lambda: mnst.read_settings(place),
        "mask": lambda: mnst.load_mask(place, 9, 9),
        "weights": lambda: mnst.networks.get_backbone("vgg19").find_weights(place),
        "model": lambda: mnst.segment(PICTURE, model=place, progress=False),
        "network": lambda: mnst.networks.get_backbone("vgg19-lite").find_weights(place),
    }
    with pytest.raises(OSError) as caught:  # noqa: PT011, of several kinds
        ways[reads]()
    message = mnst.errors.one_line(caught.value)
    assert message.isprintable()
    assert str(place) in message
    tried("hostile places")
