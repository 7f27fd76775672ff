"""The crossfader in a real Chromium: in JupyterLab, and on the page that `mnst app` serves.

`make test-browser` runs it. MNST_CHROMIUM names a Chromium, if it isn't on the path; where
MNST_SCREENSHOTS names a folder, pictures of what was seen are put there.
"""

import base64
import contextlib
import io
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import numpy as np
import pytest
from pages import Site, answer_to, message, until
from PIL import Image

import mnst
from mnst.paintings import dots, glass, ink

CHROMIUM = os.environ.get("MNST_CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
SIDE = 96  # of the pictures that are uploaded, so that a step takes no time
PATIENCE = 180  # seconds, on a machine that is busy otherwise

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as started:
        # Chromium's sandbox needs rights that containers often lack.
        running = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture
def page(browser):
    context = browser.new_context(viewport={"width": 1280, "height": 800}, accept_downloads=True)
    context.set_default_timeout(1000 * PATIENCE)
    yield context.new_page()
    context.close()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Paths of a photo and two styles."""
    folder = tmp_path_factory.mktemp("pictures")
    for name, draw in {"photo": dots, "a": ink, "b": glass}.items():
        mnst.save_image(folder / f"{name}.png", draw(size=SIDE))
    return {name: folder / f"{name}.png" for name in ("photo", "a", "b")}


@pytest.fixture(scope="module")
def serve(tmp_path_factory, random_weights):
    """Starts servers, each in an empty folder; returns its address and the folder."""
    started = []

    def serve(*command):
        folder = tmp_path_factory.mktemp("server")
        variables = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
        own = {name: str(folder / f".{name.lower()}") for name in variables}
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        given = [part.format(port=port) for part in command]
        with (folder / ".log").open("w") as log:
            started.append(
                subprocess.Popen(
                    [sys.executable, "-m", *given],
                    cwd=folder,
                    env={**os.environ, **own, "MNST_VGG19_WEIGHTS": str(random_weights)},
                    stdout=log,
                    stderr=log,
                )
            )
        address = f"http://127.0.0.1:{port}"
        began = time.monotonic()
        while not answers(address):
            assert time.monotonic() - began < PATIENCE, (folder / ".log").read_text()
            time.sleep(0.2)
        return address, folder

    yield serve
    for process in started:
        process.terminate()
        process.wait(30)


def answers(address):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", int(address.rpartition(":")[2]))) == 0


# What somebody does


def upload(page, name, *paths):
    with page.expect_file_chooser() as chooser:
        page.locator(f".mnst-{name}").click()
    chooser.value.set_files(paths)


def status(page, pattern):
    """Waits until the status says something; returns all that it says."""
    page.wait_for_function(
        "pattern => new RegExp(pattern).test(document.querySelector('.mnst-status')?.innerText)",
        arg=pattern,
    )
    return page.locator(".mnst-status").inner_text()


def pixels(page):
    """Returns the pixels of the picture, as the browser draws them."""
    drawn = page.evaluate(
        """async () => {
            const image = document.querySelector("img.mnst-picture");
            while (!(image.complete && image.naturalWidth)) // it is being replaced
                await new Promise(requestAnimationFrame);
            const canvas = document.createElement("canvas");
            canvas.width = image.naturalWidth, canvas.height = image.naturalHeight;
            canvas.getContext("2d").drawImage(image, 0, 0);
            return canvas.toDataURL("image/png");
        }"""
    )
    png = base64.b64decode(drawn.partition(",")[2])
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), np.float32)


def difference(one, other):
    return float("inf") if one.shape != other.shape else float(np.abs(one - other).mean())


def slide(page, steps):
    """Moves the slider by the keyboard, and returns how many seconds the picture took to change."""
    before = pixels(page)
    handle = page.locator(".mnst-stage .noUi-handle").first
    handle.focus()
    began = time.monotonic()
    for _ in range(abs(steps)):
        handle.press("ArrowRight" if steps > 0 else "ArrowLeft")
    while difference(pixels(page), before) < 0.5:
        assert time.monotonic() - began < PATIENCE, "the picture does not change"
        time.sleep(0.05)
    return time.monotonic() - began


def download(page):
    with page.expect_download() as started:
        page.locator("a.mnst-download").click()
    return Path(started.value.path()), started.value.suggested_filename


def look(page, name):
    """Checks that nothing is clipped, on a screen and on a phone, and takes pictures of it."""
    for width, height in ((390, 844), (1280, 800)):
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_timeout(700)
        if folder := os.environ.get("MNST_SCREENSHOTS"):
            page.screenshot(path=Path(folder) / f"{name}-{width}.png")
        if name.startswith("lab"):
            continue  # JupyterLab's own bars leave a phone too little
        beyond = page.evaluate(
            """() => [...document.querySelectorAll(".mnst *")].filter(element => {
                const box = element.getBoundingClientRect();
                return box.width && (box.right > innerWidth + 1 || box.left < -1);
            }).map(element => element.outerHTML.slice(0, 200))"""
        )
        assert not beyond, (width, beyond)


def play(page, pictures, name):
    """Uploads, slides, paints in full and stops; what both pages have in common."""
    upload(page, "photo", pictures["photo"])
    upload(page, "styles", pictures["a"], pictures["b"])
    status(page, "^Preview: 96 x 96 pixels, by vgg19-lite")
    assert difference(pixels(page), dots(size=SIDE).astype(np.float32)) > 5  # it is painted
    seconds = [slide(page, 3), slide(page, -8), slide(page, 14)]
    print(f"{name}: first visible change after", *(f"{second:.2f} s" for second in seconds))
    status(page, "^Preview")
    look(page, name)
    path, suggested = download(page)
    assert suggested == "preview.png"
    assert mnst.read_settings(path)["gamma"] == pytest.approx([0.95, 0.05])
    page.get_by_role("button", name="Paint in full").click()
    status(page, r"^Step \d+ of")
    look(page, f"{name}-rendering")
    page.get_by_role("button", name="Stop").click()
    status(page, r"^Stopped after \d+ steps")


def test_jupyterlab(page, serve, pictures):
    address, folder = serve(
        "jupyterlab", "--no-browser", "--port={port}", "--allow-root", "--IdentityProvider.token="
    )
    cells = [
        "import mnst\n\ncrossfader = mnst.Crossfader(steps=400)\ncrossfader",
        "print('free', 6 * 7)",
    ]
    notebook = nbformat.v4.new_notebook(cells=list(map(nbformat.v4.new_code_cell, cells)))
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(notebook, folder / "play.ipynb")
    page.goto(f"{address}/lab/tree/play.ipynb")
    page.locator(".jp-Notebook .jp-CodeCell").first.click()
    page.wait_for_selector("[data-status=idle]", state="attached")
    page.keyboard.press("Shift+Enter")
    page.wait_for_selector(".mnst-photo")
    play(page, pictures, "lab")

    # The kernel is free while it paints.
    page.get_by_role("button", name="Paint in full").click()
    status(page, r"^Step \d+ of")
    page.locator(".jp-Notebook .jp-CodeCell").nth(1).locator(".cm-content").click()
    page.keyboard.press("Shift+Enter")
    page.get_by_text("free 42").wait_for()
    assert status(page, "^Step").endswith("of 400")
    page.get_by_role("button", name="Stop").click()
    said = status(page, r"^Stopped after \d+ steps")
    steps = int(re.search(r"\d+", said)[0])

    # What is saved is what is shown, and what is downloaded.
    page.get_by_role("button", name="Save as").click()
    status(page, "^Saved: painted.png")
    settings = mnst.read_settings(folder / "painted.png")
    assert (settings["steps"], settings["backbone"]) == (steps, "vgg19")
    saved = np.asarray(Image.open(folder / "painted.png"), np.float32)
    assert difference(pixels(page), saved) < 6  # shown as JPEG
    path, suggested = download(page)
    assert suggested == "painted.png"
    assert path.read_bytes() == (folder / "painted.png").read_bytes()

    # Errors are told in the widget.
    page.get_by_placeholder("or the path or address of a photo").fill("missing.jpg")
    page.keyboard.press("Enter")
    assert status(page, "missing") == "missing.jpg: there is no such file"


@pytest.fixture(scope="module")
def site(tmp_path_factory, random_weights):
    started = Site(tmp_path_factory.mktemp("site"), MNST_VGG19_WEIGHTS=str(random_weights))
    yield started
    started.end()


def test_the_page(page, site, pictures, tmp_path):
    sent = []
    page.on("response", lambda response: sent.append(response.url))
    page.goto(site.address)
    page.wait_for_selector(".mnst-photo")
    assert page.locator(".mnst input[type=text]").count() == 0  # no paths
    play(page, pictures, "page")
    path, _ = download(page)
    assert mnst.read_settings(path)["gamma"] == pytest.approx([0.95, 0.05])
    assert difference(pixels(page), np.asarray(Image.open(path), np.float32)) < 6
    elsewhere = [url for url in sent if not url.startswith((site.address, "data:", "blob:"))]
    assert not elsewhere

    # Too large for the page, and no picture at all.
    large = tmp_path / "large.png"
    large.write_bytes(bytes(33 * 2**20))
    upload(page, "photo", large)
    assert status(page, "large.png: ") == "large.png: 33 MB is too large; upload at most 32 MB"
    (tmp_path / "text.png").write_text("no picture")
    upload(page, "photo", tmp_path / "text.png")
    assert "not a picture of a kind that mnst reads" in status(page, "text.png: ")


def test_a_tab_has_one_kernel_until_it_is_closed(page, site):
    until(lambda: not site.kernels, 30)  # of other tests
    soon = 8  # seconds, and so by the tab's last word: a lost connection is waited for longer
    for _ in range(3):  # opened, and reloaded
        page.goto(site.address)
        page.wait_for_selector(".mnst-photo")
        until(lambda: len(site.kernels) == 1, soon)
    page.close(run_before_unload=True)
    until(lambda: not site.kernels, soon)


def test_a_tab_that_is_lost_ends_its_kernel_too(browser, site):
    context = browser.new_context()
    page = context.new_page()
    page.goto(site.address)
    page.wait_for_selector(".mnst-photo")
    with contextlib.suppress(Exception):  # this page doesn't answer any more
        page.goto("chrome://crash", timeout=2000)
    until(lambda: not site.kernels, 30)
    context.close()


def test_pages_elsewhere_start_no_kernel(page, site):
    """Not by pictures, frames, scripts or forms, whether they know the secret or not."""
    outside = f"http://127.0.0.1:{site.port}/"
    for address in (outside, site.address):
        page.set_content(
            f'<img src="{address}"><iframe src="{address}"></iframe><script src="{address}">'
            f'</script><form action="{address}" method="post"></form>'
        )
        page.evaluate("document.forms[0].target = '_blank', document.forms[0].submit()")
        page.evaluate("address => fetch(address, {mode: 'no-cors'}).catch(String)", address)
        page.wait_for_timeout(1000)
    assert site.kernels == []


def test_the_page_serves_nothing_else(site):
    paths = ("app.ipynb", "", "../../etc/passwd", "/etc/passwd", "%2e%2e/%2e%2e/etc/passwd")
    for path in paths:
        assert site.ask(f"voila/files/{path}")[0] in (403, 404), path
    for path in ("app.ipynb", "etc/passwd", "voila/tree", "voila/render/app.ipynb", "api/contents"):
        for address in (path, f"/{path}"):
            assert site.ask(address)[0] in (403, 404), address
    assert site.ask(Host="elsewhere.example")[0] == 403
    with socket.socket() as probe:  # this machine alone
        other = socket.gethostbyname(socket.gethostname())
        if not other.startswith("127."):
            assert probe.connect_ex((other, site.port)) != 0


def test_a_hundred_pages_leave_nothing_behind(browser, site):
    """Most without a browser, three at a time; those that are closed in Chromium are ten."""

    def visit(_):
        opened = site.open()
        connection = opened.connect()
        connection.send_binary(message("kernel_info_request"))
        answer_to(connection, "kernel_info_reply")
        seen.append((len(site.kernels), site.memory))
        connection.close()
        assert opened.beacon() == 204

    def server():
        return site.server.memory_info().rss, site.server.num_fds()

    seen = []
    with ThreadPoolExecutor(3) as visitors:  # what a server makes once
        list(visitors.map(visit, range(10)))
    until(lambda: not site.kernels)
    before = server()
    sizes = [before[0]]  # by tens
    with ThreadPoolExecutor(3) as visitors:
        for _ in range(9):
            list(visitors.map(visit, range(10)))
            sizes.append(server()[0])
    for _ in range(10):
        page = browser.new_page()
        page.goto(site.address)
        page.wait_for_selector(".mnst-photo", timeout=1000 * PATIENCE)
        seen.append((len(site.kernels), site.memory))
        page.close(run_before_unload=True)
    until(lambda: not site.kernels, 30)
    after = server()
    kernels, memory = map(max, zip(*seen, strict=True))
    print(
        f"at most {kernels} kernels and {memory >> 20} MB; the server {before[0] >> 20} MB and "
        f"{before[1]} files before, {after[0] >> 20} MB and {after[1]} after; by tens",
        *(size >> 20 for size in (*sizes, after[0])),
    )
    assert kernels <= 4
    # Jupyter's timer of a minute (`kernel_info_timeout`) holds every connection, 0.1 MB, so that it
    # levels off: there are only so many pages in a minute.
    assert after[0] < before[0] + 40 * 2**20
    assert after[0] < sizes[5] + 15 * 2**20  # after 60 pages
    assert after[1] <= before[1] + 5
