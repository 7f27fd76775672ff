"""The documentation, built, and read from the disk in a real Chromium.

`make test-browser` runs it. It needs what `mnst[docs]` brings; MNST_CHROMIUM names a Chromium, if
it isn't on the path. Where MNST_SCREENSHOTS names a folder, pictures of the pages are put there.
"""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote

import chromium
import pytest

ROOT = Path(__file__).parent.parent
MISSING = [name for name in ("mkdocs", "material", "mkdocstrings", "nbformat", "latex2mathml",
                             "ziamath", "fontTools") if find_spec(name) is None]  # fmt: skip
SIZES = {"desktop": (1280, 800), "phone": (390, 844)}
# Each has something that others lack: code, formulas, signatures, a drawing, a notebook's outputs.
LOOKED_AT = (
    "index.html", "mathematics.html", "api/masks.html", "design.html",
    "notebooks/article_figures.html",
)  # fmt: skip

pytestmark = [
    pytest.mark.browser,
    chromium.NEEDED,
    pytest.mark.skipif(bool(MISSING), reason=f"pip install '.[docs]': no {', '.join(MISSING)}"),
]

# What lies beyond the window, and can't be scrolled into it. Parts of a formula are looked at as
# a whole, since their boxes are wider than what they show.
BEYOND = """() => {
  const edge = document.documentElement.clientWidth
  const scrolls = (e) => ["auto", "scroll"].includes(getComputedStyle(e).overflowX)
  const told = (e, width) => `${e.tagName} ${e.textContent.trim().slice(0, 40)}: ${width} pixels`
  const beyond = []
  if (document.documentElement.scrollWidth > edge) beyond.push("the page scrolls sideways")
  for (const e of document.querySelectorAll("article *")) {
    const box = e.getBoundingClientRect()
    if (!box.width || !box.height || e.parentElement.closest("math, svg")) continue
    let around = e.parentElement
    while (around && !scrolls(around)) around = around.parentElement
    if (around && around !== document.body && around !== document.documentElement) continue
    if (box.right > edge + 1 || box.left < -1) beyond.push(told(e, Math.round(box.right)))
    const cuts = ["hidden", "clip"].includes(getComputedStyle(e).overflowX)
    if (cuts && e.scrollWidth > e.clientWidth + 1) beyond.push(told(e, e.scrollWidth))
  }
  return beyond
}"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder that the site is built into; any warning ends the build, broken links among it."""
    folder = tmp_path_factory.mktemp("site")
    subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", folder],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        check=True,
    )
    return folder


@pytest.fixture
def browse(browser):
    """Opens a window in which nothing can be fetched but files; errors of scripts fail."""
    contexts, wrong = [], []

    def browse(size, **options):
        viewport = {"width": size[0], "height": size[1]}
        contexts.append(browser.new_context(viewport=viewport, **options))
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on(
            "request",
            lambda asked: re.match("file:|data:|blob:", asked.url) or wrong.append(asked.url),
        )
        return page

    yield browse
    for context in contexts:
        context.close()
    assert not wrong


def test_links_lead_somewhere(site):
    """What MkDocs does not look at: links in HTML, and all that pages are made of."""
    for page in site.rglob("*.html"):
        if page.name == "404.html":  # is shown in place of any page
            continue
        for link in re.findall(r'<[^>]+\b(?:href|src)="([^"#?:]+)[#?"]', page.read_text()):
            assert (page.parent / unquote(link)).exists(), f"{page.relative_to(site)}: {link}"


@pytest.mark.parametrize("size", SIZES)
def test_nothing_lies_beyond_the_window(site, browse, size):
    page = browse(SIZES[size])
    beyond = {}
    for path in sorted(site.rglob("*.html")):
        page.goto(path.as_uri())
        if found := page.evaluate(BEYOND):
            beyond[str(path.relative_to(site))] = found[:5]
    assert not beyond


def test_pages_can_be_searched_on_the_disk(site, browse):
    page = browse(SIZES["desktop"])
    page.goto((site / "howto/gamma.html").as_uri())
    page.keyboard.press("/")
    page.locator(".md-search__input:focus").type("crossfader")
    found = page.locator(".md-search-result__item a").first
    found.wait_for()
    address = found.get_attribute("href")
    found.click()
    page.wait_for_url(address)
    assert "crossfader" in page.inner_text("article").lower()


def test_signatures_have_lines(site):
    """Ruff breaks them, and without it nothing is said."""
    text = re.sub("<[^>]+>", "", (site / "api/painting.html").read_text())
    signature = re.search(r"stylize\(\n.*?\n\) -&gt;", text, re.DOTALL)[0]
    assert max(map(len, signature.split("\n"))) <= 80


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", LOOKED_AT)
def test_everybody_can_read_it(site, browse, name, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    for size, pixels in SIZES.items():
        page = browse(pixels, color_scheme=scheme)
        page.goto((site / name).as_uri())
        dark = page.locator("body").get_attribute("data-md-color-scheme") == "slate"
        assert dark == (scheme == "dark")
        if folder := os.environ.get("MNST_SCREENSHOTS"):
            shown = f"{name.replace('/', '-').removesuffix('.html')}-{size}-{scheme}.png"
            page.screenshot(path=Path(folder) / shown)
        found = axe.run(page).response["violations"]
        serious = [each for each in found if each["impact"] in ("serious", "critical")]
        assert not [(each["id"], each["nodes"][0]["html"][:200]) for each in serious]
