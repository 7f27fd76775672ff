"""What README and docs tell people to type works, and what they link to is there.

A block that can't be run here says so in its page's source, with the reason, in the line above it:

    <!-- not run: needs a cluster -->
"""

import functools
import glob
import inspect
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest

import mnst
from mnst import cli, paintings
from mnst.learning import live as live_module
from mnst.networks import distillation, get_backbone
from mnst.painting import crossfades
from mnst.paintings import dots, glass, ink, swirls

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    str(path.relative_to(ROOT))
    for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"))
    if path.name != "CHANGELOG.md"
)
MOST_STEPS, MOST_FRAMES = 2, 4
NOT_RUN = re.compile(r"<!-- not run: (.{10,}) -->")


def blocks(page):
    """Yields language, text and the first line's number of every fenced block that is to be run."""
    text = (ROOT / page).read_text()
    for found in re.finditer(r"^```(\w*)[^\n]*\n(.*?)^```$", text, re.M | re.S):
        above = text[: found.start()].rstrip("\n").rpartition("\n")[2]
        if not NOT_RUN.fullmatch(above):
            yield found[1], found[2], text.count("\n", 0, found.start()) + 2


def commands(page):
    """Returns the `mnst ...` lines of a page's shell blocks, lines that go on put together."""
    shell = [text for language, text, _ in blocks(page) if language in ("", "sh", "shell")]
    lines = [line for text in shell for line in text.replace("\\\n", " ").splitlines()]
    # "…" stands for what a reader puts there.
    return [line for line in lines if line.startswith("mnst ") and "…" not in line]


def of_python(page):
    return [(text, line) for language, text, line in blocks(page) if language == "python"]


WITH_PYTHON = [page for page in PAGES if of_python(page)]
WITH_COMMANDS = [page for page in PAGES if commands(page)]


@pytest.fixture(scope="session")
def drawn():
    """The package's paintings, small."""
    return {draw.__name__: draw(size=32) for draw in (dots, glass, ink, swirls)}


@pytest.fixture
def scratch(tmp_path, monkeypatch, random_weights, drawn):
    """A folder with the pictures that the pages name, and all that takes long made short.

    Pictures have 32 pixels, VGG19's weights are random, no run has more than two steps, and no
    crossfade more than four frames. DeepLab and the training of a student, which have tests of
    their own, have stand-ins.
    """
    from mnst.backend import tf

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MNST_VGG19_WEIGHTS", str(random_weights))
    named = {"photo": "swirls", "graffiti": "glass", "ink": "ink", "dots": "dots"}
    for name, painting in named.items():
        mnst.save_image(f"{name}.jpg", drawn[painting])
    mnst.save_image("other.jpg", drawn["swirls"][:, ::-1])
    Path("photos").mkdir()
    for name in ("beach", "harbour"):
        mnst.save_image(f"photos/{name}.jpg", np.roll(drawn["swirls"], len(name), axis=1))
    faint = np.linspace(0, 255, 32).astype("uint8") * np.ones((32, 1), "uint8")
    mnst.save_image("cutout.png", np.dstack([drawn["swirls"], faint]))
    mnst.save_image(
        "mask.png", np.repeat([[[255] * 3] * 16 + [[0] * 3] * 16], 32, 0).astype("uint8")
    )
    for name, painting in drawn.items():
        monkeypatch.setattr(paintings, name, lambda painting=painting, **_: painting)
    _make_brief(monkeypatch)
    _see_a_person(monkeypatch)
    # For two steps, compiling takes longer than running.
    tf.config.run_functions_eagerly(True)
    for module in (mnst, cli):
        monkeypatch.setattr(module, "distill", _distill)
        monkeypatch.setattr(module, "crossfade", _crossfade)
        monkeypatch.setattr(module, "live", _live)
    yield
    tf.config.run_functions_eagerly(False)


@functools.wraps(distillation.distill)
def _distill(sources, *, folder, **options):
    """Takes what `mnst.distill` takes, and gives back a student that is there already."""
    inspect.signature(distillation.distill).bind(sources, folder=folder, **options)
    student = Path(folder) / "student.npz"
    student.parent.mkdir(exist_ok=True)
    shutil.copy(get_backbone("vgg19-lite").find_weights().path, student)
    return student


@functools.wraps(crossfades.crossfade)
def _crossfade(*given, frames=MOST_FRAMES, **options):
    """Takes what `mnst.crossfade` takes, and paints a few frames of it."""
    return crossfades.crossfade(*given, frames=min(frames, MOST_FRAMES), **options)


@functools.wraps(live_module.live)
def _live(*given, steps=MOST_STEPS, size=32, **options):
    """Takes what `mnst.live` takes, and learns for a few steps in a small size."""
    return live_module.live(*given, steps=min(steps, MOST_STEPS), size=min(size, 32), **options)


def _make_brief(monkeypatch):
    from mnst.engine.trainer import Trainer
    from mnst.painting.transfer import StyleTransfer

    paint, run, init = StyleTransfer.run, Trainer.run, StyleTransfer.__init__

    def briefly(self, *, recipe=None, steps=None, **options):
        steps = min(steps or (recipe or self.scene.recipe).steps, MOST_STEPS)
        return paint(self, recipe=recipe, steps=steps, **options)

    # `plan` times as many steps as hold one of FINE's corrections.
    longest = mnst.FINE.correct_every + 2

    def shortly(self, *given, steps, **options):
        return run(self, *given, steps=steps if steps <= longest else MOST_STEPS, **options)

    def small(self, *given, size=512, **options):
        init(self, *given, size=min(size, 32), **options)

    monkeypatch.setattr(StyleTransfer, "run", briefly)
    monkeypatch.setattr(StyleTransfer, "__init__", small)
    monkeypatch.setattr(Trainer, "run", shortly)


def _see_a_person(monkeypatch):
    from mnst.masks import hub
    from mnst.sources import tfhub

    side = 32

    def label(square):
        labels = np.zeros((side, side), np.int64)
        labels[8:24, 8:24] = 15
        return labels

    monkeypatch.delenv("MNST_DEEPLAB", raising=False)
    monkeypatch.setattr(tfhub, "fetch", lambda address, **_: Path("photo.jpg"))
    monkeypatch.setattr(hub, "load", lambda path, *, size, scaling: (label, side))


@pytest.mark.notebooks
@pytest.mark.parametrize("page", WITH_PYTHON)
def test_python_runs(page, scratch):
    """The blocks of a page are one program."""
    from mnst.backend import tf

    # Where a page compiles itself, it may.
    tf.config.run_functions_eagerly("tf.function" not in (ROOT / page).read_text())
    left = np.zeros((32, 32), np.float32)
    left[:, :16] = 1
    # Names that pages use without saying that they are pictures and masks.
    known = {"mnst": mnst, "photo": "photo.jpg", "a": "graffiti.jpg", "b": "ink.jpg"}
    known |= {"person": left * left.T, "sky": left, "ground": 1 - left, "__name__": "page"}
    for text, line in of_python(page):
        # With the page's own lines, so that a traceback leads to them.
        exec(compile("\n" * (line - 1) + text, str(ROOT / page), "exec"), known)
    if page == "docs/tutorial.md":
        # What it says of its two loops: TensorFlow's and the library's take the same path.
        totals = [record.losses["total"] for record in known["records"]]
        assert known["by_hand"] == pytest.approx(totals[:10], rel=1e-3)


@pytest.mark.notebooks
@pytest.mark.parametrize("page", WITH_COMMANDS)
def test_commands_run(page, scratch, capsys):
    for line in commands(page):
        words = shlex.split(line, comments=True)[1:]
        words = [name for word in words for name in sorted(glob.glob(word)) or [word]]  # noqa: PTH207
        assert cli.main(words) == 0, f"{line}: {capsys.readouterr().err}"


@pytest.mark.parametrize("page", WITH_COMMANDS)
def test_commands_parse(page):
    for line in commands(page):
        cli.build_parser().parse_args(shlex.split(line, comments=True)[1:])


def test_blocks_are_of_a_kind_that_is_tested():
    kinds = {language for page in PAGES for language, _, _ in blocks(page)}
    assert kinds <= {"", "python"}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    text = re.sub(r"^```.*?^```$", "", (ROOT / page).read_text(), flags=re.M | re.S)
    links = re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)", text)
    for path, anchor in links:
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), f"{page}: {path}"
        if anchor and target.suffix == ".md":
            headings = re.findall(r"^#+ (.*)$", target.read_text(), re.M)
            assert anchor in map(_slug, headings), f"{page}: {path}#{anchor}"


def _slug(heading):
    plain = re.sub(r"[^\w\s-]", "", heading.replace("`", "")).strip().lower()
    return re.sub(r"\s+", "-", plain)


def test_every_page_has_its_place():
    config = (ROOT / "mkdocs.yml").read_text()
    for page in PAGES:
        if page.startswith("docs/"):
            assert re.search(rf"- (\w+: )?{page.removeprefix('docs/')}\n", config), page


def test_every_public_name_is_described():
    pages = "".join(path.read_text() for path in (ROOT / "docs" / "api").glob("*.md"))
    described = set(re.findall(r"^::: mnst\.(\w+)$", pages, re.M))
    recipes = set(re.search(r"members: \[(ARTICLE.*?)\]", pages)[1].split(", "))
    assert set(mnst.__all__) <= described | recipes


def test_every_picture_of_the_gallery_is_made_by_the_program():
    made = set(re.findall(r"^def (gallery_\w+)", (ROOT / "docs" / "pictures.py").read_text(), re.M))
    shown = set(re.findall(r"images/(gallery_\w+)\.jpg", (ROOT / "docs/gallery.md").read_text()))
    assert made == shown == {path.stem for path in (ROOT / "docs/images").glob("gallery_*.jpg")}


def test_the_large_pictures_of_the_gallery_are_those_of_the_program():
    source = (ROOT / "docs" / "gallery.py").read_text()
    named = set(re.findall(r'^    Piece\(\s*"(\w+)"', source, re.M))
    made = named | {f"{name}_from" for name in named} | {"lighthouse_crop"}
    shown = re.findall(r"images/large/(\w+)\.jpg", (ROOT / "docs/gallery.md").read_text())
    assert made == set(shown) == {path.stem for path in (ROOT / "docs/images/large").iterdir()}


def test_large_pictures_say_what_they_were_painted_with():
    for path in (ROOT / "docs/images/large").glob("*.jpg"):
        if not path.stem.endswith(("_from", "_crop")):
            settings = mnst.read_settings(path)
            assert settings["recipe"]["name"] == "fine", path
            assert settings["backbone"] == "vgg19", path
            assert max(settings["sizes"][-1]) >= 1024, path


def test_pictures_are_few_megabytes():
    pictures = [path for path in (ROOT / "docs" / "images").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in pictures) < 12e6
