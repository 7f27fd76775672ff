"""The command line: what it refuses, what it writes, what it shows, how it ends."""

import contextlib
import errno
import fcntl
import io
import os
import re
import shlex
import signal
import struct
import subprocess
import sys
import termios
import zlib
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import mnst
from mnst.cli import build_parser, main

pytestmark = pytest.mark.usefixtures("clean_environment")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A photo and two styles, and many files that are no pictures."""
    folder = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(4)
    for name in ("photo", "a", "b"):
        pixels = random.integers(0, 256, (24, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{name}.png")
    Image.fromarray(pixels).save(folder / "whole.jpg")
    whole = (folder / "whole.jpg").read_bytes()
    (folder / "half.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "text.jpg").write_text("Dear all,\nplease find attached\n")
    (folder / "empty.png").touch()
    Image.new("RGB", (1, 1)).save(folder / "dot.png")
    Image.new("RGB", (20000, 3)).save(folder / "line.png")
    bomb = bytearray((folder / "photo.png").read_bytes())
    bomb[16:24] = 2 * (30000).to_bytes(4, "big")  # width and height, and behind them the checksum
    bomb[29:33] = zlib.crc32(bomb[12:29]).to_bytes(4, "big")
    (folder / "bomb.png").write_bytes(bomb)
    frames = [Image.new("L", (32, 32), level) for level in (0, 255)]
    frames[0].save(folder / "animation.gif", save_all=True, append_images=frames[1:])
    return folder


@pytest.fixture
def pictures(folder, tmp_path, monkeypatch):
    """The photo and the styles for a command line, whose output goes to an empty folder."""
    monkeypatch.chdir(tmp_path)
    return [str(folder / name) for name in ("photo.png", "a.png", "b.png")]


@pytest.fixture
def stylize(pictures, random_weights):
    """Runs `mnst stylize` in this process, 2 steps with random weights; returns the exit code."""

    def run(*options, output="out.png"):
        given = ["-o", str(output), "--weights", str(random_weights), "--steps", "2", *options]
        return main(["stylize", *pictures, *given])

    return run


def pixels_of(path):
    with Image.open(path) as image:
        return np.asarray(image)


# What it refuses


GOOD = "photo.png a.png b.png -o out.png"
BAD = {
    "missing photo": ("missing.png a.png -o out.png", "missing.png: there is no such file"),
    "missing style": ("photo.png missing.png -o out.png", "missing.png: there is no such file"),
    "folder": (". a.png -o out.png", ".: is a folder"),
    "text": ("text.jpg a.png -o out.png", "text.jpg: not a picture"),
    "broken off": ("half.jpg a.png -o out.png", "half.jpg: damaged or broken off"),
    "empty": ("photo.png empty.png -o out.png", "empty.png: not a picture"),
    "one pixel": ("dot.png a.png -o out.png", "dot.png: 1 x 1 pixels .* too small"),
    "line": ("photo.png line.png -o out.png", "line.png: 512 x 1 pixels .* too small"),
    "bomb": ("bomb.png a.png -o out.png", "bomb.png: claims more than"),
    "no style": ("photo.png -o out.png", "required: style"),
    "no output": ("photo.png a.png", "required: -o/--output"),
    "unknown option": (f"{GOOD} --speed 3", "unrecognized arguments: --speed 3"),
    "gamma above 1": (f"{GOOD} --gamma 1.5", "gamma is 1.5: .* between 0 and 1"),
    "gamma below 0": (f"{GOOD} --gamma -0.5", "gamma is -0.5: .* between 0 and 1"),
    "gamma nan": (f"{GOOD} --gamma nan", "gamma is nan: .* between 0 and 1"),
    "gamma word": (f"{GOOD} --gamma half", "half: there is no such file"),
    "gamma words": (f"{GOOD} --gamma half,half", "--gamma: 'half,half': give numbers"),
    "gamma share below 0": (f"{GOOD} --gamma=-0.5,1.5", "gamma is -0.5, 1.5: .* between 0 and 1"),
    "gamma sum": (f"{GOOD} --gamma 0.5,0.6", "in sum 1.1: shares must sum to 1"),
    "too many gammas": (f"{GOOD} --gamma 0.5,0.3,0.2", "gamma has 3 shares for 2 styles"),
    "one gamma for 3": (f"photo.png {GOOD} --gamma 0.5", "one number, 0.5, for 3 styles"),
    "sigma 0": (f"{GOOD} --sigma 1,0", "sigma is 1, 0: give numbers above 0"),
    "too few sigmas": (f"{GOOD} --sigma 1.9", "sigma has 1 numbers for 2 styles"),
    "steps 0": (f"{GOOD} --steps 0", "steps is 0: give a whole number, 1 or more"),
    "steps word": (f"{GOOD} --steps many", "--steps: invalid int value: 'many'"),
    "size 0": (f"{GOOD} --size 0", "size is 0: give a whole number"),
    "size too small": (f"{GOOD} --size 8", "8 x 6 pixels .with size=8. is too small"),
    "unknown recipe": (
        f"{GOOD} --recipe soup",
        "recipe is 'soup': give one of fine, draft, fast, article, paper",
    ),
    "unknown field": (f"{GOOD} --recipe article,salt=1", "recipe has 'salt=1': give FIELD=VALUE"),
    "field out of range": (f"{GOOD} --recipe paper,alpha=-1", "alpha is -1.0: .* 0 or more"),
    "field word": (f"{GOOD} --recipe paper,alpha=hot", "alpha takes a number"),
    "unknown backbone": (f"{GOOD} --backbone vgg11", "backbone is 'vgg11': give one of"),
    "unknown precision": (f"{GOOD} --precision half", "precision is 'half': give one of"),
    "unknown init": (f"{GOOD} --init soup", "soup: there is no such file"),
    "seed below 0": (f"{GOOD} --init noise --seed -1", "seed is -1"),
    "missing weights": (f"{GOOD} --weights no.h5", "no.h5: there is no such file"),
    "unknown ending": ("photo.png a.png -o out.bmp", "out.bmp: the name must end in one of"),
    "missing folder": ("photo.png a.png -o no/out.png", "no/out.png: there is no folder"),
    "folder as output": ("photo.png a.png -o .", ".: the name must end in one of|is a folder"),
}


@pytest.mark.parametrize(("arguments", "reason"), BAD.values(), ids=BAD)
def test_bad_input_is_refused_in_one_line(refused, folder, monkeypatch, arguments, reason):
    monkeypatch.chdir(folder)
    assert re.search(reason, refused("stylize", *arguments.split()))
    assert not (folder / "out.png").exists()


def test_good_input_trips_the_wire(tripwire, folder, monkeypatch):
    monkeypatch.chdir(folder)
    with pytest.raises(SystemExit, match=r"^TensorFlow was imported$"):
        main(["stylize", *GOOD.split()])


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (f"{GOOD} --gamma 1.5", 2, "mnst: gamma is 1.5: .*"),
        (GOOD, 1, "TensorFlow was imported"),  # so the wire works
    ],
    ids=["bad input", "good input"],
)
def test_a_process_refuses_before_it_imports_tensorflow(
    folder, clean_environment, tmp_path, arguments, code, said
):
    for name in ("tensorflow", "keras"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('TensorFlow was imported')")
    paths = [str(tmp_path), *filter(None, [clean_environment.get("PYTHONPATH")])]
    finished = subprocess.run(
        [sys.executable, "-m", "mnst", "stylize", *arguments.split()],
        env={**clean_environment, "PYTHONPATH": os.pathsep.join(paths)},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert re.fullmatch(f"{said}\n", finished.stderr)
    assert (finished.returncode, finished.stdout) == (code, "")


def test_weights_that_the_variable_names_but_are_missing(refused, pictures, monkeypatch):
    monkeypatch.setenv("MNST_VGG19_WEIGHTS", "no.h5")
    said = refused("stylize", *pictures, "-o", "out.png")
    assert re.match("mnst: no.h5: .* MNST_VGG19_WEIGHTS names it", said)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["paint"], "invalid choice: 'paint': give one of stylize, crossfade"),
        (["stylise"], "invalid choice: 'stylise': .*; did you mean 'stylize'\\?"),
        (["figures", "papers"], "invalid choice: 'papers': .*; did you mean 'paper'\\?"),
        (
            ["stylize", "a.png", "b.png", "-o", "c.png", "--gama=1"],
            "--gama=1; did you mean '--gamma'",
        ),
        (["stylize", *GOOD.split(), "--recipe", "fst"], "'fst': .*; did you mean 'fast'\\?"),
        (["info", "more"], "mnst info: unrecognized arguments: more"),
        (["demo", "a.png"], "folder is a.png: a.png is no folder; give another"),
        (["figures", "paper", "--folder", "a.png"], "folder is a.png: a.png is no folder"),
        (["figures", "article", "--folder", "a.png/b"], "folder is a.png/b: a.png is no folder"),
        (["sweep", "photo.png", "a.png", "--folder", ""], "folder is '': give a path"),
    ],
)
def test_bad_commands_are_refused_in_one_line(refused, folder, monkeypatch, arguments, reason):
    monkeypatch.chdir(folder)
    assert re.search(reason, refused(*arguments))


@pytest.mark.filterwarnings("default")
def test_warnings_are_notes(folder, tmp_path, capsys):
    animation, missing = str(folder / "animation.gif"), str(folder / "missing.png")
    assert main(["stylize", animation, missing, "-o", str(tmp_path / "out.png")]) == 2
    assert capsys.readouterr().err.splitlines() == [
        f"mnst: note: {animation}: has several frames, the first is taken",
        f"mnst: {missing}: there is no such file",
    ]


# Commands that make many runs


@pytest.fixture
def brief(random_weights):
    return ["--weights", str(random_weights), "--steps", "2", "--no-progress"]


@pytest.mark.slow
def test_calibrate_prints_what_it_found_last(pictures, brief, capfd):
    assert main(["calibrate", *pictures, *brief, "--refine", "2", "--method", "pilot"]) == 0
    shown = capfd.readouterr()
    assert shown.err == ""
    *runs, predicted, within, sigma = shown.out.splitlines()
    assert 2 <= len(runs) <= 3
    assert all(re.match(r"run with sigma .*, 2 steps in \d+ s$", run) for run in runs)
    assert predicted.startswith("predicted relative improvement")
    assert within in ("within the tolerance of 0.05: True", "within the tolerance of 0.05: False")
    assert re.fullmatch(r"sigma 1,[\d.]+", sigma)


@pytest.mark.slow
def test_sweep_keeps_its_runs(pictures, brief, tmp_path, capfd):
    given = ["--gamma", "0,0.5,1", "--sigma", "auto", "--folder", "runs"]
    assert main(["sweep", *pictures, *brief, *given]) == 0
    assert capfd.readouterr().out == "3 runs in runs\n"
    assert len(list(Path("runs").glob("*-gamma*.png"))) == 3
    assert Path("runs/sweep.csv").is_file()
    assert main(["sweep", *pictures, pictures[0], *brief, "--gamma", "1,0,0;0,0.5,0.5",
                 "--folder", "three"]) == 0  # fmt: skip
    assert len(list(Path("three").glob("*-gamma*.png"))) == 2


@pytest.fixture
def four(pictures):
    """A folder of four photos."""
    Path("photos").mkdir()
    for k in range(4):
        mnst.save_image(f"photos/{k}.png", np.roll(pixels_of(pictures[0]), k, axis=1))
    return [*pictures[1:]]


def test_several_photos_are_painted_into_a_folder(four, brief, capfd):
    photos = [f"photos/{k}.png" for k in range(4)]
    given = [*brief, "--gamma", "0.3", "-o", "painted"]
    assert main(["stylize", *photos, "--styles", *four, *given]) == 0
    assert capfd.readouterr().out == "4 runs in painted\n"
    alone = ["--gamma", "0.3", "-o", "out.png"]
    assert main(["stylize", photos[2], *four, *brief, *alone]) == 0
    (third,) = Path("painted").glob("2-*.png")
    np.testing.assert_array_equal(pixels_of(third), pixels_of("out.png"))


@pytest.mark.parametrize("photos", ["photos", "photos/*.png"])
def test_a_sweep_takes_a_folder_and_a_pattern(four, brief, capfd, photos):
    assert main(["sweep", photos, *four, *brief, "--folder", "runs"]) == 0
    assert capfd.readouterr().out == "4 runs in runs\n"
    assert sorted(path.name[0] for path in Path("runs").glob("*-gamma*.png")) == [*"0123"]


def test_several_photos_need_a_folder(four, brief, capfd):
    assert main(["stylize", "photos/0.png", "--styles", *four, "-o", "out.png"]) == 2
    said = "mnst: -o is out.png: with --styles, give a folder\n"
    assert capfd.readouterr().err == said


@pytest.mark.slow
def test_crossfade_writes_an_animation(pictures, brief, capfd):
    given = ["--frames", "3", "--steps-between", "1", "-o", "fade.gif", "--recipe", "article"]
    assert main(["crossfade", *pictures, *brief, *given]) == 0
    assert capfd.readouterr().out == "fade.gif: 3 frames, 4 steps\n"
    with Image.open("fade.gif") as image:
        assert image.n_frames == 4


def test_crossfade_refuses_a_name_before_it_paints(pictures, capfd):
    assert main(["crossfade", *pictures, "-o", "fade.avi"]) == 2
    assert "must end in one of .gif, .webp, .mp4" in capfd.readouterr().err


@pytest.mark.slow
def test_live_writes_an_animation_and_what_it_learnt(pictures, brief, capfd):
    brief = [*brief, "-o", "fade.gif", "--recipe", "article", "--save", "live.npz", "--size", "32"]
    given = [*brief, "--frames", "3", "--path", "colour=1,form=0", "0"]
    assert main(["live", *pictures, *given]) == 0
    size, fade = capfd.readouterr().out.splitlines()
    assert re.fullmatch(r"live\.npz: \d\.\d MB", size)
    said = r"fade\.gif: 3 frames, learnt in 2 steps, \d+\.\d% of the photo's loss is left"
    assert re.fullmatch(said, fade)
    with Image.open("fade.gif") as image:
        assert image.n_frames == 4
    assert mnst.open_live("live.npz").steps == 2
    more = ["--steps", "3", "--resume", "live.npz"]
    assert main(["live", *pictures, *brief, *more]) == 0
    assert "learnt in 3 steps" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["-o", "fade.avi"], "must end in one of .gif, .webp, .mp4"),
        (["-o", "fade.gif", "--save", "live.h5"], "must end in .npz"),
        (["-o", "fade.gif", "--path", "0", "2"], "path[1] is 2"),
        (["-o", "fade.gif", "--path", "0", "radial"], "path[1] is 'radial': give numbers"),
        (["-o", "fade.gif", "--strength", "0.5", "--recipe", "article"], "the recipe has none"),
        (["-o", "fade.gif", "--resume", "none.npz"], "none.npz: there is no such file"),
    ],
)
def test_live_refuses_before_it_learns(refused, given, said):
    assert said in refused("live", "photo.png", "a.png", "b.png", *given)


@pytest.mark.slow
def test_figures_draws_and_prints_claims(pictures, random_weights, monkeypatch, capfd):
    monkeypatch.setenv("MNST_VGG19_WEIGHTS", str(random_weights))
    given = ["--recipe", "article,steps=1", "--folder", "drawn", "--no-progress"]
    assert main(["figures", "article", *pictures, *given]) == 0
    shown = capfd.readouterr().out.splitlines()
    drawn = [line for line in shown if line.endswith(".png")]
    assert len(drawn) == 5
    assert all(Path(path).is_file() for path in drawn)
    assert len([line for line in shown if re.match(r"\[[ x]\] ", line)]) == 10


def test_figures_need_two_styles_or_none(pictures, capfd):
    assert main(["figures", "paper", *pictures[:2]]) == 2
    assert "1 styles were given: give two" in capfd.readouterr().err


# What it writes


def test_picture_and_settings_are_what_was_asked_for(stylize, pictures, random_weights, capfd):
    options = (
        "--gamma 0.25 --sigma 1,1.9 --recipe tutorial,alpha=3 --init noise --seed 7 --size 24 "
        "--precision float32 --backbone vgg19 --no-progress"
    )
    assert stylize(*options.split(), output="out.tif") == 0
    shown = capfd.readouterr()
    assert re.fullmatch(
        r"out.tif: 24 x 18 pixels, 2 steps in \d+ s, relative improvement [\d.]+, [\d.]+\n",
        shown.out,
    )
    assert shown.err == ""
    expected = mnst.stylize(
        pictures[0],
        pictures[1:],
        gamma=[0.25, 0.75],
        sigma=[1, 1.9],
        recipe=mnst.TUTORIAL.replace(alpha=3.0),
        steps=2,
        size=24,
        init="noise",
        seed=7,
        weights=random_weights,
        precision="float32",
        progress=False,
    )
    np.testing.assert_array_equal(pixels_of("out.tif"), expected.image)
    settings = mnst.read_settings("out.tif")
    assert settings["gamma"] == [0.25, 0.75]
    assert settings["sigma"] == [1, 1.9]
    assert settings["steps"] == 2
    assert mnst.Recipe.from_dict(settings["recipe"]) == mnst.TUTORIAL.replace(alpha=3.0, steps=2)
    assert settings["init"] == "noise"
    assert settings["seed"] == 7
    assert settings["backbone"] == "vgg19"
    assert settings["precision"] == "float32"


# What it shows


@pytest.fixture
def fake_gpu(tmp_path, monkeypatch):
    """An NVIDIA driver that knows of a GPU, which TensorFlow does not use."""
    from mnst.backend import tf

    if tf.config.list_physical_devices("GPU"):
        pytest.skip("TensorFlow uses a GPU here")
    tool = tmp_path / "bin" / "nvidia-smi"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\necho 'GPU 0: NVIDIA H200 (UUID: GPU-1)'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}:{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.mark.slow
def test_a_process_shows_plain_lines(pictures, random_weights, clean_environment):
    finished = subprocess.run(
        [
            *(sys.executable, "-m", "mnst", "stylize", *pictures, "-o", "out.png"),
            *("--weights", random_weights, "--steps", "2"),
        ],
        env=clean_environment,
        capture_output=True,
        text=True,
        check=True,
    )
    heading, about, *steps = finished.stderr.splitlines()
    assert re.match(
        r"mnst .*: vgg19 \(weights argument\), vgg19-lite on (CPU|GPU) .*, (float32|bf)", heading
    )
    assert about == "32 x 24 pixels, styles in shares 0.5, 0.5, 2 steps"
    assert [line.split()[:2] for line in steps] == [["step", f"{k}/2"] for k in range(3)]
    assert all("style_1" in line and "\r" not in line for line in steps)
    assert finished.stdout.startswith("out.png: 32 x 24 pixels, 2 steps in ")
    assert pixels_of("out.png").shape == (24, 32, 3)


@pytest.mark.slow
def test_a_terminal_shows_a_bar(stylize, monkeypatch, capfd):
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", 24, 100, 0, 0))
    with open(slave, "w", buffering=1) as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        assert stylize() == 0
    shown = b""
    with (
        open(master, "rb", buffering=0) as screen,
        contextlib.suppress(OSError),
    ):  # its end on Linux
        while part := screen.read(2**16):
            shown += part
    shown = shown.decode()
    assert shown.startswith(f"mnst {mnst.__version__}: vgg19")
    assert "\r" in shown.rstrip().replace("\r\n", "\n")
    assert "100%" in shown
    assert "2/2" in shown
    assert "step 1/2" not in shown
    assert capfd.readouterr().err == ""


@pytest.mark.slow
def test_run_tells_of_an_unused_gpu(stylize, fake_gpu, capfd):
    assert stylize() == 0
    assert "NVIDIA H200 is there, but TensorFlow does not use it" in capfd.readouterr().err


def test_info_says_what_it_runs_on(random_weights, monkeypatch, capfd):
    monkeypatch.setenv("MNST_VGG19_WEIGHTS", str(random_weights))
    assert main(["info"]) == 0
    shown = capfd.readouterr()
    assert shown.err == ""
    lines = dict(line.split(maxsplit=1) for line in shown.out.splitlines())
    for package in ("mnst", "tensorflow", "keras", "numpy", "pillow"):
        assert lines[package] == metadata.version(package)
    assert lines["device"].startswith(("CPU ", "GPU "))
    assert lines["precision"] in ("float32", "bfloat16")
    assert lines["weights"] == f"vgg19 from MNST_VGG19_WEIGHTS, {random_weights}"


@pytest.mark.slow
def test_info_names_the_unused_gpu_and_what_tensorflow_says(fake_gpu, capfd):
    assert main(["info"]) == 0
    (unused,) = re.findall(r"^unused +(.*)$", capfd.readouterr().out, re.MULTILINE)
    assert re.match(r"NVIDIA H200: .*(cuda|CUDA|GPU).*mnst\[gpu\]", unused)


def test_info_names_the_variable_that_hides_the_gpu(fake_gpu, monkeypatch, capfd):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert main(["info"]) == 0
    (unused,) = re.findall(r"^unused +(.*)$", capfd.readouterr().out, re.MULTILINE)
    assert unused.startswith("NVIDIA H200: ")
    assert "CUDA_VISIBLE_DEVICES='-1'" in unused


def test_version_from_the_installed_command():
    script = Path(sys.executable).with_name("mnst")
    shown = subprocess.run([script, "--version"], capture_output=True, text=True, check=True).stdout
    assert shown == f"mnst {metadata.version('mnst')}\n"


# How it ends


@pytest.mark.slow
def test_interrupt_keeps_the_picture_so_far_beside_a_finished_one(pictures, clean_environment):
    Path("out.png").write_bytes(b"finished before")
    # Python leaves SIGINT ignored where a shell in the background started the tests.
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from mnst.cli import main; sys.exit(main())"
    )
    with subprocess.Popen(
        [
            *(sys.executable, "-c", code, "stylize", *pictures, "-o", "out.png"),
            *("--backbone", "vgg19-lite", "--steps", "100000"),
        ],
        env=clean_environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            for line in process.stderr:
                if line.startswith("step "):
                    process.send_signal(signal.SIGINT)
                    break
            stdout, stderr = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 130
    assert re.match(r"out.partial.png: 32 x 24 pixels, \d+ steps in \d+ s, ended early", stdout)
    assert "Traceback" not in stderr
    assert pixels_of("out.partial.png").shape == (24, 32, 3)
    assert mnst.read_settings("out.partial.png")["steps"] < 100000
    assert Path("out.png").read_bytes() == b"finished before"


@pytest.mark.filterwarnings("default")
def test_a_run_of_a_sweep_that_fails_is_said_at_the_end(pictures, random_weights, capfd):
    """Of two: in float32 the second one's total is no number."""
    given = ["--folder", "runs", "--weights", str(random_weights), "--steps", "1", "--no-progress"]
    odd = ["--recipe", "article", "--alpha-beta", "0.1,1e45"]
    assert main(["sweep", *pictures, *given, *odd]) == 1
    shown = capfd.readouterr()
    assert shown.out == "1 runs in runs, 1 failed\n"
    note = (
        r"mnst: note: photo-article-alpha2e_43-.* failed and is left out: .* loss became nan .*\n"
    )
    assert re.fullmatch(note, shown.err)
    assert len([*Path("runs").glob("*-gamma*.png")]) == 1


@pytest.fixture
def full_disk(tmp_path):
    """A disk without room, where root may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", folder]
    try:
        subprocess.run(command, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("may not mount a small disk here")
    with open(folder / "filler", "wb", buffering=0) as filler, contextlib.suppress(OSError):
        while True:
            filler.write(bytes(1024))
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.slow
def test_full_disk_is_one_line(stylize, full_disk, capfd):
    output = full_disk / "out.png"
    assert stylize("--no-progress", output=output) == 2
    assert capfd.readouterr() == ("", f"mnst: {output}: the disk is full\n")
    assert [path.name for path in full_disk.iterdir()] == ["filler"]


def test_failed_run_is_one_line_and_exit_code_1(stylize, capfd):
    # In float32 the total loss is infinite from the start, so there is no picture to keep.
    assert stylize("--no-progress", "--recipe", "article,beta=1e38") == 1
    shown = capfd.readouterr()
    assert re.fullmatch(r"mnst: the total loss became inf after step 0; .*\n", shown.err)
    assert shown.out == ""
    assert not Path("out.png").exists()


# What becomes of a run whose words nobody can read


class Full(io.StringIO):
    """A stream on a full disk."""

    def write(self, text):
        raise OSError(errno.ENOSPC, "No space left on device")

    def flush(self):
        self.write("")

    def fileno(self):
        return os.open(os.devnull, os.O_WRONLY)


@pytest.mark.slow
@pytest.mark.parametrize("closed", [False, True])
def test_a_run_ends_well_without_standard_error(stylize, monkeypatch, capsys, closed):
    stream = Full()
    if closed:
        stream.close()
    monkeypatch.setattr(sys, "stderr", stream)
    assert stylize() == 0
    assert capsys.readouterr().out.startswith("out.png: 32 x 24 pixels")
    assert pixels_of("out.png").shape == (24, 32, 3)


@pytest.mark.slow
def test_what_was_found_but_can_not_be_told_is_a_failure(stylize, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdout", Full())
    assert stylize("--no-progress") == 1
    said = "mnst: standard output can't be written (No space left on device)\n"
    assert capsys.readouterr().err == said
    assert pixels_of("out.png").shape == (24, 32, 3)


def test_names_that_the_output_can_not_encode_are_escaped(stylize, monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    for name, shown in (("k\u00e4fer.png", rb"k\xe4fer.png: "), ("\udcff.png", rb"\udcff.png: ")):
        assert stylize("--no-progress", output=name) == 0
        assert shown in stream.buffer.getvalue()
        assert pixels_of(name).shape == (24, 32, 3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("redirections", "code"),
    [
        ("2>&-", 0),
        ("2> >(exec 0<&-)", 0),
        ("2>> full", 0),
        (">&-", 0),
        (">&- 2>&- <&-", 0),
        ("| head -c0", 0),
        (">> full", 1),  # the picture is there, but what is said of it is lost
        (">> full 2>> full", 1),
    ],
)
def test_a_process_saves_its_picture_whoever_listens(
    pictures, random_weights, clean_environment, redirections, code
):
    """A file that has reached the limit of files' sizes stands for one on a full disk."""
    Path("full").write_bytes(bytes(2**20))
    command = [
        *(sys.executable, "-m", "mnst", "stylize", *pictures, "-o", "out.png", "--steps", "1"),
        *("--weights", str(random_weights)),
    ]
    script = f"ulimit -f 1024; {shlex.join(command)} {redirections}; exit ${{PIPESTATUS[0]}}"
    finished = subprocess.run(
        ["bash", "-c", script], env=clean_environment, capture_output=True, text=True, check=False
    )
    assert finished.returncode == code, finished.stderr
    assert "Traceback" not in finished.stdout + finished.stderr
    assert "Exception ignored" not in finished.stderr
    assert pixels_of("out.png").shape == (24, 32, 3)


def test_help_is_shown_whoever_listens():
    script = f"{sys.executable} -m mnst stylize --help | head -c0; exit ${{PIPESTATUS[0]}}"
    ended = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_without_a_command_it_shows_what_there_is(capsys):
    assert main([]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    assert re.match(r"usage: mnst .*\n", shown.out)
    assert re.search(r"^ +stylize +paint a photo", shown.out, re.MULTILINE)


def test_help_lists_every_command_once_and_everyday_ones_first(capsys):
    main([])
    everyday, _, others = capsys.readouterr().out.partition("commands for research")
    commands = build_parser()._actions[-1].choices
    listed = [re.findall(r"^ {2}(\w+) {2,}\S", part, re.MULTILINE) for part in (everyday, others)]
    assert "stylize" in listed[0]
    assert "distill" in listed[1]
    assert listed[0] + listed[1] == [*commands]


def test_examples_in_the_help_are_right(capsys):
    shown = []
    for command in ("stylize", "crossfade", "live", "sweep", "segment", "app", "demo"):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        _, _, examples = capsys.readouterr().out.partition("examples:\n")
        shown += examples.splitlines()
        assert re.match(f"  mnst {command}\\b", examples)
    for line in shown:
        build_parser().parse_args(shlex.split(line)[1:])


@pytest.mark.parametrize("command", [[], *([name] for name in ("stylize", "distill", "figures"))])
def test_help_shows_nothing_of_the_program(capsys, command):
    with contextlib.suppress(SystemExit):
        main([*command, "--help"])
    assert not re.search(r"inspect\.|_empty|SUPPRESS|<class|\bNone\)", capsys.readouterr().out)


def test_a_traceback_is_shown_where_it_is_asked_for(folder, monkeypatch, tripwire, capfd):
    monkeypatch.chdir(folder)
    assert main(["stylize", *GOOD.split(), "--gamma", "2", "--traceback"]) == 2
    *traced, said = capfd.readouterr().err.splitlines()
    assert traced[0] == "Traceback (most recent call last):"
    assert "in style_shares" in "\n".join(traced)
    assert said == "mnst: gamma is 2.0: give a number, between 0 and 1"


_TOLD = """
import os, sys
import mnst.__main__ as command
command.main = lambda: print(os.environ.get("TF_CPU_ALLOCATOR_USE_BFC")) or 0
command.run()
"""


@pytest.mark.parametrize(("name", "told"), [("stylize", "true"), ("app", "None")])
def test_what_ends_soon_keeps_tensorflows_memory(name, told):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TF_CPU_")}
    ran = subprocess.run(
        [sys.executable, "-c", _TOLD, name],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.strip() == told


def test_kept_memory_makes_no_other_picture(pictures):
    arguments = ["--backbone", "vgg19-lite", "--recipe", "fine,steps=4"]
    made = []
    for kept in ("true", "false"):
        subprocess.run(
            [sys.executable, "-m", "mnst", "stylize", *pictures, *arguments, "-o", f"{kept}.png"],
            env={**os.environ, "TF_CPU_ALLOCATOR_USE_BFC": kept},
            check=True,
        )
        made.append(mnst.load_image(f"{kept}.png"))
    np.testing.assert_array_equal(*made)
