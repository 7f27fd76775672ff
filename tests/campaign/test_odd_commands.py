"""Odd command lines: each is refused in a line, before TensorFlow is loaded, or does what it says.

Commands and switches are read off the parser, so that a new one is attacked by itself.
"""

import argparse
import os
import re
import shutil

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from mnst import cli, images
from mnst.masks import hub, models
from mnst.sources import tfhub

ODD = (
    *("", " ", "-1", "0", "-0", "1", "2", "nan", "inf", "-inf", "1e400", "1e-400", "1e300"),
    *("9" * 400, "9" * 5000, "0." + "0" * 400 + "1", "\u0663", "\u00bd", "\u00b2", "0x10", "1_000"),
    *(
        "+3",
        "3.0",
        "3.5",
        "1,",
        ",",
        ",,",
        "0.5,0.5",
        "0.5,nan",
        "1;0",
        ";",
        "1,0;0,1",
        "x",
        "X" * 5000,
    ),
    *("None", "True", "auto", "none", "article", "article,", "article,steps", "article,steps=0"),
    *("article,steps=\u0663", "article,name=x", "article,=", "article,alpha=nan", "article,gama=1"),
    *(
        "person",
        "persn",
        "person,",
        "15",
        "99",
        "-",
        "--",
        "---",
        ".",
        "..",
        "/",
        "folder",
        "folder/",
    ),
    *("missing", "missing/there", "text.txt", "text.txt/there", "photo.png", "./photo.png"),
    *(
        "~",
        "~nobody",
        "*",
        "%s%n{0}",
        "a\nb",
        "\r\x1b[31m",
        "\u00e9",
        "\u202e",
        "\udcff",
        "\U0001f431",
    ),
    *(
        "http://",
        "http://[",
        "https://127.0.0.1:1/x",
        "file:///etc/passwd",
        "8GB",
        "0GB",
        "0.5",
        "1e3B",
    ),
    *("9" * 400 + "TB", "-8GB", "out.bmp", "out.png", "folder/out.png", "fade.gif", ".png"),
)
assert len(ODD) == len(set(ODD))

# What a command is given beside the switch that is attacked: as little as it asks for.
PICTURES = ["photo.png", "a.png", "b.png"]
WHOLE = {
    "stylize": [*PICTURES, "--output=out.png"],
    "calibrate": PICTURES,
    "sweep": [*PICTURES, "--folder=runs"],
    "crossfade": [*PICTURES, "--output=fade.gif"],
    "live": [*PICTURES, "--output=fade.gif"],
    "plan": PICTURES,
    "segment": ["photo.png", "--keep=person", "--output=out.png"],
    "figures": ["article", *PICTURES],
    "demo": ["demo"],
    "distill": ["folder", "--folder=student"],
    "app": ["--visitors=2"],
}

PARSER = cli.build_parser()
(COMMANDS,) = (a.choices for a in PARSER._actions if isinstance(a, argparse._SubParsersAction))


def switches(command):
    """The switches of a command that take a value, by their long names."""
    return [
        action.option_strings[-1]
        for action in COMMANDS[command]._actions
        if action.option_strings and action.nargs != 0
    ]


@pytest.fixture
def folder(tmp_path, monkeypatch, tripwire, clean_environment):
    """A working folder with pictures and what is none; a DeepLab that may be asked for names."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    random = np.random.default_rng(4)
    (tmp_path / "folder").mkdir()
    for name in ("photo", "a", "b", "folder/photo"):
        pixels = random.integers(0, 256, (24, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(f"{name}.png")
    (tmp_path / "text.txt").write_text("Dear all,\n")
    (tmp_path / "deeplab.tflite").write_bytes(b"....TFL3")
    os.mkfifo("fifo")
    described = models.SegmentationModel("", models.PASCAL_VOC, 513, (127.5, -1))
    fingerprint = hub.fingerprint(tmp_path / "deeplab.tflite")
    monkeypatch.setitem(models.KNOWN_CONTENTS, fingerprint, described)
    monkeypatch.setenv("MNST_DEEPLAB", str(tmp_path / "deeplab.tflite"))
    monkeypatch.setattr(tfhub, "RETRY_PAUSES", ())
    return tmp_path


class Loaded(BaseException):
    """Something that takes seconds was begun: all that was given has been taken."""


@pytest.fixture
def run(folder, capfd, monkeypatch):
    """Runs a command; returns "refused" with its line, "taken", or "done", else what went wrong."""

    def load(*_, **__):
        raise Loaded

    monkeypatch.setattr(hub, "load", load)
    monkeypatch.setattr(images, "download_into", load)
    monkeypatch.setattr("mnst.studio.server.run", load)
    # What takes longer than a refusal.
    monkeypatch.setattr(cli, "build_parser", lambda: PARSER)
    for name in ("swirls", "glass"):
        monkeypatch.setattr(cli.paintings, name, lambda: np.zeros((64, 64, 3), np.uint8))
    for name in ("keras", "tf"):
        monkeypatch.setattr(f"mnst.backend.{name}._load", load)

    before = set(folder.iterdir())

    def attempt(*arguments):
        try:
            code = cli.main(arguments)
        except SystemExit as ended:
            code = ended.code
        except Loaded:
            code = "taken"
        except Exception as error:
            return f"{type(error).__name__} escaped", str(error)
        shown = capfd.readouterr()
        new = set(folder.iterdir()) - before
        for path in new:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        if code in ("taken", 0):
            return ("taken" if code else "done"), shown.out
        said = shown.err.removesuffix("\n")
        odd = [
            f"code {code}" * (code != 2),
            "more or less than a line" * ("\n" in said or not said.startswith("mnst")),
            "something on standard output" * bool(shown.out),
            "something was written" * bool(new and arguments[0] != "demo"),
            "Python's own words"
            * bool(re.search(r"object is not|argument must be|Traceback|<class|invalid _", said)),
        ]
        return ", ".join(filter(None, odd)) or "refused", said

    return attempt


def is_whole(text, least=0):
    try:
        return least <= int(text) < 2**63
    except ValueError:
        return False


def is_number(text, least=0.0, most=1e308):
    try:
        return least <= float(text) <= most
    except ValueError:
        return False


# Which of the odd values are right, by switch: those alone may be taken.
RIGHT = {
    "--alpha-beta": lambda text: is_number(text) or text == "0.5,0.5",
    "--backbone": {"auto"}.__contains__,
    # A folder is made; under a file there can be none.
    "--folder": lambda text: text not in ("", "photo.png", "./photo.png") and "text" not in text,
    "--frames": lambda text: is_whole(text, 2),
    "--gamma": lambda text: (
        text in ("0.5,0.5", "1,0;0,1", "1;0", "photo.png", "./photo.png") or is_number(text, most=1)
    ),
    "--host": {"", "0"}.__contains__,
    "--init": {"photo.png", "./photo.png"}.__contains__,
    "--keep": {"person", "0", "1", "2", "15"}.__contains__,
    "--learning-rate": lambda text: is_number(text, 1e-320),
    "--localize": set().__contains__,
    "--colours": {"1", "2"}.__contains__,
    "--feather": lambda text: is_number(text, most=1e6),
    "--memory": lambda text: (
        text in ("8GB", "\u0663") or (is_number(text, 1, 1e9) and text != "1_000")
    ),
    "--method": set().__contains__,
    "--model": {"http://", "http://[", "https://127.0.0.1:1/x"}.__contains__,
    "--output": lambda text: text.endswith((".png", ".gif")) and text != ".png",
    "--port": lambda text: is_whole(text, 1) and int(text) < 2**16,
    "--precision": {"auto"}.__contains__,
    "--recipe": {"article", "article,steps=\u0663"}.__contains__,
    "--resume": set().__contains__,
    "--save": set().__contains__,
    "--seconds": lambda text: is_number(text, 1e-320),
    "--sigma": {"auto", "0.5,0.5"}.__contains__,
    "--strength": lambda text: is_number(text, most=1),
    "--style-size": lambda text: text == "0.5,0.5" or is_number(text, 0.05, 20),
    "--tolerance": lambda text: is_number(text, 1e-320),
    "--visitors": lambda text: is_whole(text, 1),
    "--weights": {"photo.png", "./photo.png", "text.txt"}.__contains__,
}
RIGHT |= {"--log-dir": RIGHT["--folder"], "--only": RIGHT["--keep"], "--mask": RIGHT["--init"]}


@pytest.mark.parametrize("command", WHOLE)
def test_a_whole_command_is_taken(run, command):
    """Otherwise nothing that follows would tell anything."""
    assert run(command, *WHOLE[command])[0] == "taken"


@pytest.mark.parametrize("command", WHOLE)
def test_odd_values_of_every_switch(run, tried, command):
    wrong = []
    for switch in switches(command):
        others = [each for each in WHOLE[command] if not each.startswith(f"{switch}=")]
        right = RIGHT.get(switch, is_whole)
        for value in ODD:
            outcome, said = run(command, *others, f"{switch}={value}")
            if outcome != "refused" and not (outcome == "taken" and right(value)):
                wrong.append((switch, value[:60], outcome, said[:200]))
            tried("odd command lines")
    assert not wrong


@pytest.mark.parametrize("command", WHOLE)
def test_what_is_refused_names_its_switch(run, command):
    """Or the thing that stands there, where that is a name."""
    wrong = []
    for switch in switches(command):
        others = [each for each in WHOLE[command] if not each.startswith(f"{switch}=")]
        outcome, said = run(command, *others, f"{switch}=,")
        name = switch.strip("-")
        named = re.search(f"--{name}|{name.replace('-', '_')}|^mnst: ,: ", said)
        if outcome == "refused" and not named:
            wrong.append((switch, said))
    assert not wrong


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_odd_arguments_that_no_switch_takes(run, tried, command):
    """More of them, fewer, unknown ones, and switches without their value."""
    whole = WHOLE.get(command, [])
    known = [option for each in COMMANDS[command]._actions for option in each.option_strings]
    lines = [
        [*whole, "--x"],
        [*whole, "--gama=0.5"],
        [*whole, "--" + "x" * 5000],
        [*whole, "-z"],
        [*whole, "--\udcff=1"],
        *([*whole, switch] for switch in (switches(command) if command in WHOLE else ())),
        *([*whole, f"{option}s"] for option in known if len(option) > 2),
        *([*whole[:keep]] for keep in range(min(1, len(whole)))),
    ]
    if command not in (
        "stylize",
        "calibrate",
        "sweep",
        "crossfade",
        "live",
        "plan",
        "distill",
        "figures",
    ):
        lines.append([*whole, "one", "more"])
    wrong = []
    for line in lines:
        outcome, said = run(command, *line)
        # A demo asks for nothing, and so has nothing that could be missing.
        if outcome != "refused" and line:
            wrong.append((line, outcome, said[:200]))
        tried("odd command lines")
    assert not wrong


@pytest.mark.parametrize("value", ODD)
def test_odd_commands(run, tried, value):
    outcome, said = run(value) if value else ("refused", "")
    assert outcome == "refused", said
    for switch in ("--version=", "--help=", "--traceback="):
        assert run(f"{switch}{value}")[0] == "refused"
    tried("odd command lines", 4)


PAIRS = st.lists(
    st.tuples(
        st.sampled_from([s for s in switches("stylize") if s not in ("--output", "--log-dir")]),
        st.sampled_from(ODD),
    ),
    min_size=2,
    max_size=4,
)


@settings(max_examples=500, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(given=PAIRS)
def test_odd_values_together(run, tried, given):
    outcome, said = run("stylize", *WHOLE["stylize"], *(f"{s}={value}" for s, value in given))
    last = dict(given)  # of a switch that is given twice, the last counts
    right = all(RIGHT.get(switch, is_whole)(value) for switch, value in last.items())
    assert outcome == "refused" or (outcome == "taken" and right), said
    tried("odd command lines")
