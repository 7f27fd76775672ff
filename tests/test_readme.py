"""What README and docs tell people to type works."""

import os
import re
from pathlib import Path

import pytest

import mnst
from mnst.paintings import dots, glass, ink

ROOT = Path(__file__).parent.parent


def blocks(page, language):
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", (ROOT / page).read_text(), re.M | re.S)
    return [block for kind, block in fenced if kind == language]


@pytest.fixture
def pictures(tmp_path, monkeypatch, random_weights):
    """An empty folder with the pictures that the examples name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MNST_VGG19_WEIGHTS", str(random_weights))
    for name, draw in {"photo": dots, "graffiti": glass, "ink": ink}.items():
        mnst.save_image(f"{name}.jpg", draw(size=32))


@pytest.mark.notebooks
@pytest.mark.filterwarnings("ignore:no person was found")
@pytest.mark.parametrize("page", ["README.md", "docs/calibration.md", "docs/people.md"])
def test_python_examples_run(page, pictures):
    examples = blocks(page, "python")
    assert examples
    known = {"mnst": mnst, "photo": "photo.jpg", "a": "graffiti.jpg", "b": "ink.jpg"}
    for example in examples:
        if "mnst.segment(" in example and not os.environ.get("MNST_DEEPLAB"):
            continue  # would be a download
        exec(compile(example, page, "exec"), known)


def test_commands_parse():
    """Every `mnst ...` line of the README is one that the command line takes."""
    from mnst.cli import build_parser

    typed = [line for block in blocks("README.md", "") for line in block.splitlines()]
    lines = [line for line in typed if line.startswith("mnst ")]
    assert lines
    for line in lines:
        build_parser().parse_args(line.split()[1:])


@pytest.mark.parametrize(
    "page",
    ["README.md", "CONTRIBUTING.md", "docs/design.md", "docs/calibration.md", "docs/people.md"],
)
def test_links_lead_somewhere(page):
    text = (ROOT / page).read_text()
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
    missing = [link for link in links if not (ROOT / page).parent.joinpath(link).exists()]
    assert not missing
