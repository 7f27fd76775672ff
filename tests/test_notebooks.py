"""The notebooks run top to bottom, small and brief, and their numbers still tell the same story."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"

pytestmark = [pytest.mark.weights, pytest.mark.notebooks]


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Runs a notebook in an empty folder, and more code after it; returns what they printed."""
    monkeypatch.setenv("MNST_NOTEBOOK_SIZE", "80")
    monkeypatch.setenv("MNST_NOTEBOOK_STEPS", "40")
    monkeypatch.setenv("MNST_NOTEBOOK_GAMMAS", "0.25 0.5 0.75")

    def run(name, more=""):
        notebook = nbformat.read(NOTEBOOKS / name, as_version=4)
        notebook.cells.append(nbformat.v4.new_code_cell(more))
        # Its own kernel is the one of this environment, whatever else is installed.
        client = NotebookClient(
            notebook, timeout=900, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
        )
        client.execute()
        outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
        return "".join(output.get("text", "") for output in outputs)

    return run


def test_quickstart(run):
    printed = run("quickstart.ipynb")
    balanced = printed.splitlines()[-2]
    first, second = map(float, re.search(r"improvement ([\d.]+), ([\d.]+)>", balanced).groups())
    assert abs(first / second - 1) < 0.3
    assert "12 frames in 128 steps" in printed


def test_article_figures(run):
    every = "(claim for study in studies.values() for claim in study.claims())"
    printed = run("article_figures.ipynb", f"print(*{every}, sep='\\n')")
    claims = re.findall(r"^\[(.)\] (.*)$", printed, re.MULTILINE)
    assert len(claims) == 3 * 10
    held = [text for mark, text in claims if mark == "x"]
    for claim in ("tell without a run", "equally at gamma = 0.5", "fades in continuously"):
        assert sum(claim in text for text in held) == 3, claim
    # So small, one of the pairs happens to be balanced.
    assert sum("away from gamma = 0.5" in text for text in held) >= 2
    spreads = [float(spread) for spread in re.findall(r"spread ([\d.]+)", printed)]
    assert len(spreads) == 4
    assert spreads[1] < spreads[0]
    assert spreads[3] < spreads[2]


@pytest.mark.deeplab
def test_localized_transfer(run):
    printed = run("localized_transfer.ipynb", "print(*paper.claims(), sep='\\n')")
    composite, guided = map(float, re.findall(r"RI over the painted part ([\d.e+]+)", printed))
    assert guided > composite
    assert re.findall(r"^\[(.)\] ", printed, re.MULTILINE) == ["x"] * 3


def test_paper_figures(run):
    printed = run("paper_figures.ipynb", "print(*paper.claims(), sep='\\n')")
    assert len(re.findall(r"^\[.\] ", printed, re.MULTILINE)) == 7
    assert "[x] more weight on the content keeps more of it" in printed
