"""The studio in a real Chromium: on the page that `mnst app` serves, and in JupyterLab.

`make test-browser` runs it. MNST_CHROMIUM names a Chromium, if it isn't on the path; where
MNST_SCREENSHOTS names a folder, pictures of what was seen are put there.
"""

import base64
import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import chromium
import nbformat
import numpy as np
import pytest
from pages import SMALL, Site, free_port, until
from PIL import Image

import mnst
from mnst.paintings import dots, glass, ink, swirls

PATIENCE = 240  # seconds, on a machine that is busy otherwise
SIDE = 96  # of the pictures that are uploaded, so that a step takes no time
RED, BLUE = (220, 30, 30), (30, 60, 200)
DESKTOP, PHONE, SMALLEST = (1280, 800), (390, 844), (320, 640)
LEAST = 44  # pixels of what a finger has to hit

pytestmark = [
    pytest.mark.browser,
    chromium.NEEDED,
]


@pytest.fixture
def browse(browser):
    """Opens a page in a browser that knows nothing yet; what goes wrong in its scripts fails."""
    contexts, wrong = [], []

    def browse(size=DESKTOP, **options):
        viewport = {"width": size[0], "height": size[1]}
        contexts.append(browser.new_context(viewport=viewport, **options))
        contexts[-1].set_default_timeout(1000 * PATIENCE)
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda said: said.type == "error" and wrong.append(said.text))
        page.wrong = wrong
        return page

    yield browse
    for context in contexts:
        context.close()
    assert not wrong


@pytest.fixture
def new_site(tmp_path):
    """Starts a server that keeps nothing of others."""
    started = []

    def new_site(*options):
        started.append(Site(tmp_path, *(options or SMALL)))
        return started[-1]

    yield new_site
    for site in started:
        site.end()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A server for tests that bring what they need."""
    started = Site(tmp_path_factory.mktemp("site"))
    yield started
    started.end()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Paths of pictures: two photos and some styles."""
    folder = tmp_path_factory.mktemp("pictures")
    sea = np.full((SIDE, SIDE, 3), BLUE, np.uint8)
    boat = sea.copy()
    boat[16:80, 24:72] = RED
    pictures = {"boat": boat, "sea": sea}
    pictures |= {draw.__name__: draw(size=SIDE) for draw in (swirls, glass, ink, dots)}
    for name, picture in pictures.items():
        mnst.save_image(folder / f"{name}.png", picture)
    return {name: folder / f"{name}.png" for name in pictures}


@pytest.fixture
def laid(site, files, browse):
    """Opens a page on which a photo and two styles lie, and no painting."""

    def laid(photo="boat", styles=("ink", "glass"), **options):
        with site.open() as client:
            client.do("hello")
            client.hear(lambda client: client.state)
            client.do("stop")
            client.do("clear")
            for style in client.state["styles"]:
                client.do("remove_style", style=style["id"])
            client.hear(lambda client: not (client.state["styles"] or client.state["history"]))
            usual = {"strength": 0.6, "stroke": 1, "linked": True, "quality": "draft"}
            client.do("set", controls={**usual, "keep_people": False, "keep_colours": False})
            client.do("photo", files[photo].read_bytes(), name=f"{photo}.png")
            names = [f"{name}.png" for name in styles]
            client.do("add_styles", *(files[name].read_bytes() for name in styles), names=names)
            client.hear(lambda client: len(client.state["styles"]) == len(styles))
            client.hear(lambda client: (client.state["photo"] or {}).get("name") == photo)
            client.do("dismiss")
            client.hear(lambda client: not (client.state["note"] or client.state["error"]))
        page = browse(**options)
        page.goto(site.address)
        badge(page, "Preview")
        return page

    return laid


# What somebody sees


def badge(page, text):
    page.locator(".badge", has_text=text).wait_for()


def pixels(page, what=".after img", mode="RGB"):
    """Returns the pixels of a picture, as the browser draws them, float32 [H, W, C]."""
    drawn = page.locator(what).evaluate(
        """async image => {
            while (!(image.complete && image.naturalWidth)) // it is being replaced
                await new Promise(requestAnimationFrame);
            const canvas = document.createElement("canvas");
            canvas.width = image.naturalWidth, canvas.height = image.naturalHeight;
            canvas.getContext("2d").drawImage(image, 0, 0);
            return canvas.toDataURL("image/png");
        }"""
    )
    png = base64.b64decode(drawn.partition(",")[2])
    return np.asarray(Image.open(io.BytesIO(png)).convert(mode), np.float32)


def screen(page, what):
    """Returns the pixels of a part of the screen, float32 [H, W, 3]."""
    shot = page.locator(what).screenshot()
    return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB"), np.float32)


def difference(one, other):
    return float("inf") if one.shape != other.shape else float(np.abs(one - other).mean())


def changes(page, act, least=3.0):
    """Does something, and returns how many seconds the picture took to change by it."""
    before = pixels(page)
    act()
    return until(lambda: difference(pixels(page), before) > least, PATIENCE)


def painted(page, count):
    """Waits until so many paintings and films are in the history, and nothing is being painted."""
    page.wait_for_function(
        """count => document.querySelectorAll(".strip .painting").length === count + 1
            && document.querySelector(".paint").innerText.startsWith("Paint it")""",
        arg=count,
    )


def styles(page):
    return page.locator(".styles b").all_inner_texts()


def shares(page):
    return [int(said.split()[0]) for said in page.locator(".share").all_inner_texts()]


def toast(page, pattern):
    page.locator(".toast", has_text=re.compile(pattern)).wait_for()


def look(page, name):
    """Puts a picture of the page where somebody asked for it."""
    if folder := os.environ.get("MNST_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png")


# What somebody does


def press(page, name, **options):
    page.get_by_role("button", name=name, **options).click()


def choose_files(page, name, *paths):
    with page.expect_file_chooser() as chooser:
        press(page, name)
    chooser.value.set_files(paths)


def transfer(page, *paths):
    """Returns files as a browser hands them to a page on which they are dropped or pasted."""
    given = [[path.name, base64.b64encode(path.read_bytes()).decode()] for path in paths]
    return page.evaluate_handle(
        """files => {
            const held = new DataTransfer();
            for (const [name, data] of files) {
                const bytes = Uint8Array.from(atob(data), letter => letter.charCodeAt(0));
                held.items.add(new File([bytes], name, {type: "image/png"}));
            }
            return held;
        }""",
        given,
    )


def drop(page, where, *paths):
    held = transfer(page, *paths)
    page.dispatch_event(where, "dragover", {"dataTransfer": held})
    page.dispatch_event(where, "drop", {"dataTransfer": held})


def paste(page, *paths):
    page.evaluate(
        """held => document.body.dispatchEvent(
            new ClipboardEvent("paste", {clipboardData: held, bubbles: true}))""",
        transfer(page, *paths),
    )


def save(page, kind=None):
    """Saves what is shown; returns where it lies, and the name that was suggested."""
    if kind is not None:
        page.get_by_role("combobox", name="Save as").select_option(kind)
    with page.expect_download() as started:
        press(page, "Save", exact=True)
    return Path(started.value.path()), started.value.suggested_filename


def slide(page, name, value):
    page.get_by_role("slider", name=name, exact=True).fill(str(value))


# Pictures come


def test_an_empty_page_offers_samples(new_site, browse):
    site, page = new_site(), browse()
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(site.address)
    page.get_by_text("Drop a photo here").wait_for()
    page.locator(".samples .card").first.click()
    badge(page, "Preview")
    assert len(styles(page)) == 2  # to begin with
    assert shares(page) == [50, 50]
    elsewhere = [url for url in asked if not url.startswith((site.address, "data:", "blob:", "ws"))]
    assert not elsewhere
    look(page, "sample")


def test_pictures_are_chosen_dropped_and_pasted(laid, files, tmp_path):
    page = laid()
    press(page, "Change photo")
    choose_files(page, "Choose a file", files["sea"])
    until(lambda: "sea" in (page.locator(".after img").get_attribute("alt") or ""))
    drop(page, ".wall", files["boat"])
    until(lambda: "boat" in (page.locator(".after img").get_attribute("alt") or ""))

    drop(page, ".mix", files["dots"])
    page.locator(".styles b", has_text="dots").wait_for()
    paste(page, files["swirls"])
    page.locator(".styles b", has_text="swirls").wait_for()
    assert styles(page) == ["ink", "glass", "dots", "swirls"]
    assert sum(shares(page)) == pytest.approx(100, abs=2)
    assert page.get_by_role("button", name="Add a style").count() == 0  # four are the most
    paste(page, files["sea"])
    toast(page, "4 styles are the most")
    press(page, "Dismiss")

    # What a file is called is no part of the page.
    evil = tmp_path / "<img src=x onerror=alert(1)>.png"
    evil.write_bytes(files["sea"].read_bytes())
    press(page, "Remove swirls")
    press(page, "Remove dots")
    until(lambda: len(styles(page)) == 2)
    drop(page, ".mix", evil)
    until(lambda: len(styles(page)) == 3)
    assert "<img src=x" in styles(page)[2]
    assert page.locator("img[src=x]").count() == 0


def test_ones_own_photo_in_ones_own_styles_takes_five_clicks(new_site, browse, files):
    site, page = new_site(), browse()
    page.goto(site.address)
    choose_files(page, "Choose a photo", files["boat"])
    until(lambda: styles(page) == ["Swirls", "Glass"])  # to begin with
    press(page, "Add a style")
    choose_files(page, "Choose files", files["ink"], files["dots"], files["glass"])
    page.locator("dialog[open]").wait_for(state="hidden")
    until(lambda: styles(page) == ["ink", "dots", "glass"])
    toast(page, "took the place of the samples")
    press(page, "Paint it")
    painted(page, 1)
    page.get_by_role("button", name="Save", exact=True).wait_for()
    _, suggested = save(page)
    assert suggested == "boat in ink and dots and glass.png"


def test_a_gallery_adds_with_one_click(laid):
    page = laid()
    press(page, "Add a style")
    card = page.locator("dialog[open] .card", has_text="Dots")
    card.click()
    page.locator("dialog[open] .card[aria-pressed=true]", has_text="Dots").wait_for()
    look(page, "gallery")
    card.click()  # and takes away with another
    page.locator("dialog[open] .card[aria-pressed=false]", has_text="Dots").wait_for()
    choosing = page.locator("dialog[open]")
    choosing.get_by_role("button", name="Done").click()
    choosing.wait_for(state="hidden")
    assert styles(page) == ["ink", "glass"]


# Styles are mixed


def test_the_crossfader_mixes_two(laid):
    page = laid()
    mix = page.get_by_role("slider", name="Mix")
    mix.focus()
    seconds = [changes(page, lambda: mix.press("Home")), changes(page, lambda: mix.press("End"))]
    print("first visible change after", *(f"{second:.2f} s" for second in seconds))
    until(lambda: mix.get_attribute("aria-valuetext") == "0 % ink, 100 % glass")
    until(lambda: shares(page) == [0, 100])

    def alone(key):
        changes(page, lambda: mix.press(key))
        return pixels(page)

    def look_like_themselves():
        ink_alone, glass_alone = alone("Home"), alone("End")
        lighter = ink_alone.mean() > glass_alone.mean()
        greyer = np.ptp(ink_alone.mean((0, 1))) < np.ptp(glass_alone.mean((0, 1)))
        return lighter and greyer

    until(look_like_themselves, PATIENCE)  # which the preview has to learn
    changes(page, lambda: mix.press("Home"))
    until(lambda: shares(page) == [100, 0])

    press(page, "Swap the two")
    until(lambda: styles(page) == ["glass", "ink"])
    assert shares(page) == [0, 100]  # shares go with their styles


def test_colours_and_forms_part(laid):
    page = laid()
    press(page, "Separate colours and forms")
    colours = page.get_by_role("slider", name="Colours", exact=True)
    changes(page, lambda: colours.fill("100"))
    assert page.get_by_role("slider", name="Forms", exact=True).input_value() == "50"
    ends = page.locator(".fader .ends span")
    until(lambda: ends.all_inner_texts() == ["0 % · 100 %", "50 % · 50 %"])
    look(page, "apart")
    press(page, "Join colours and forms")
    page.get_by_role("slider", name="Mix").wait_for()
    assert shares(page) == [50, 50]


def test_three_have_a_share_each(laid):
    page = laid(styles=("ink", "glass", "dots"))
    slide(page, "Share of glass", 60)
    until(lambda: shares(page) == [20, 60, 20])
    press(page, "Move dots before glass")
    until(lambda: styles(page) == ["ink", "dots", "glass"])
    assert shares(page) == [20, 20, 60]
    page.get_by_role("button", name="Remove ink").press("Alt+ArrowDown")
    until(lambda: styles(page) == ["dots", "ink", "glass"])
    page.locator(".thumb").nth(2).drag_to(page.locator(".thumb").nth(0))
    until(lambda: styles(page) == ["glass", "dots", "ink"])
    press(page, "Remove glass")
    toast(page, "removed")
    press(page, "Undo")
    until(lambda: len(styles(page)) == 3)


def test_one_style_is_enough(laid):
    page = laid(styles=("ink",))
    page.get_by_text("One style paints the whole picture").wait_for()
    assert page.get_by_role("slider", name="Mix").count() == 0
    press(page, "Paint it")
    painted(page, 1)


def test_controls_say_what_they_do(laid):
    page = laid()
    photo = pixels(page, ".picture > img:not(.people)")

    def far(strength):
        changes(page, lambda: slide(page, "Strength", strength))
        return difference(pixels(page), photo)

    until(lambda: far(100) > 1.2 * far(0), PATIENCE)  # which the preview has to learn
    changes(page, lambda: slide(page, "Strength", 100))
    changes(page, lambda: page.get_by_role("switch", name="Keep the photo's own colours").check())
    strokes = page.get_by_role("slider", name="Strokes")
    strokes.fill("50")  # which is the most
    said = "100 % from finer to broader"
    until(lambda: strokes.get_attribute("aria-valuetext") == said)


@pytest.mark.deeplab
def test_people_stay_as_they_are(laid, files):
    page = laid()
    press(page, "Change photo")
    page.locator("dialog[open] .card", has_text="Grace Hopper").click()
    until(lambda: "Hopper" in (page.locator(".after img").get_attribute("alt") or ""))
    press(page, "Show the people that are found")
    page.locator("img.people").wait_for()
    tick = page.get_by_role("switch", name="Leave people as they are")
    tick.check()
    page.get_by_text(re.compile(r"Found: \d+ ?% of the photo")).wait_for()
    look(page, "people")
    tint = pixels(page, "img.people", "RGBA")[..., 3]
    photo = pixels(page, ".picture > img:not(.people)")

    def is_kept():
        size = photo.shape[1::-1]
        painted = Image.fromarray(pixels(page).astype(np.uint8)).resize(size)
        error = np.abs(np.asarray(painted, np.float32) - photo).mean(-1)
        people = np.asarray(Image.fromarray(tint).resize(size)) > 0.9 * tint.max()
        return error[people].mean() < 0.5 * error[~people].mean()

    until(is_kept)
    drop(page, ".wall", files["sea"])
    until(lambda: "sea" in page.locator(".after img").get_attribute("alt"))
    tick.check()
    page.get_by_text("No people were found in this photo.").wait_for()
    until(lambda: not tick.is_checked())


# Paintings are made, and kept


def test_paintings_stay(laid, site, browse):
    page = laid()
    page.locator(".after img").evaluate(
        """image => {
            window.wasEmpty = false;
            const watch = () => { window.wasEmpty ||= image.hidden; };
            new MutationObserver(watch).observe(image, { attributes: true });
        }"""
    )
    press(page, "Paint it")
    page.get_by_role("progressbar").wait_for()
    painted(page, 1)
    page.locator(".badge", has_text="boat in ink and glass").wait_for()
    until(lambda: page.locator(".strip img").evaluate_all("all => all.every(each => each.src)"))
    first = pixels(page)
    assert not page.evaluate("window.wasEmpty")  # not even while it is fetched
    page.get_by_role("slider", name="Mix").press("End")  # nothing is lost by that
    badge(page, "Preview")
    press(page, "Paint it")
    painted(page, 2)
    until(lambda: page.locator(".strip [aria-current=true]").count() == 1)
    second = page.locator(".strip .painting").nth(1).get_attribute("aria-label")
    assert re.search(r"glass", second)
    assert not re.search(r"ink \d", second)

    page.reload()
    page.locator(".strip .painting").nth(2).click()
    until(lambda: difference(pixels(page), first) < 4)  # shown as WebP
    tab = browse()
    tab.goto(site.address)
    tab.locator(".strip .painting").nth(2).wait_for()
    look(page, "history")

    # Two under one line
    page.locator(".actions").get_by_role("button", name="Compare").click()
    page.locator(".line").wait_for()
    until(lambda: difference(pixels(page, ".picture > img:not(.people)"), first) > 4)
    page.locator(".actions").get_by_role("button", name="Compare").click()

    # Its controls come back.
    press(page, "Paint like this")
    badge(page, "Preview")
    until(lambda: shares(page) == [50, 50])

    # One goes, and comes back; all go.
    page.locator(".strip .painting").nth(1).click()
    press(page, "Remove it from the history")
    toast(page, "removed")
    until(lambda: tab.locator(".strip .painting").count() == 2)
    press(page, "Undo")
    until(lambda: tab.locator(".strip .painting").count() == 3)
    press(page, "Clear all")
    press(page, "Keep them")
    press(page, "Clear all")
    press(page, "Delete them all")
    until(lambda: tab.locator(".strip .painting").count() == 1)


def test_a_painting_is_saved_with_its_settings(laid, tmp_path):
    page = laid()
    slide(page, "Mix", 25)
    press(page, "Paint it")
    painted(page, 1)
    page.get_by_role("button", name="Save", exact=True).wait_for()
    for kind in ("png", "jpg", "webp"):
        path, suggested = save(page, kind)
        assert suggested == f"boat in ink and glass.{kind}"
        file = shutil.copy(path, tmp_path / f"saved.{kind}")
        assert mnst.read_settings(file)["gamma"] == pytest.approx([0.75, 0.25])
        saved = np.asarray(Image.open(file).convert("RGB"), np.float32)
        assert difference(pixels(page), saved) < 8  # shown as WebP, and so small
    width = pixels(page).shape[1]
    press(page, "Remove it")
    page.get_by_role("button", name="Undo").click()
    page.locator(".strip .painting").nth(1).click()
    until(lambda: pixels(page).shape[1] == width)


def test_again_larger(laid):
    page = laid()
    page.get_by_role("radio", name="Draft").check()
    press(page, "Paint it")
    painted(page, 1)
    before = pixels(page).shape
    larger = min(SIDE, 2 * max(before))
    press(page, f"{round(larger / max(before), 1):g}\u00d7 as large")
    painted(page, 2)
    until(lambda: max(pixels(page).shape) == larger)


def test_stop_keeps_what_is_there(new_site, files, browse):
    site = new_site("--backbone", "vgg19-lite", "--size", "96", "--steps", "4000")
    page = browse()
    page.goto(site.address)
    page.get_by_text("Drop a photo here").wait_for()
    drop(page, ".stage", files["boat"])
    badge(page, "Preview")
    page.get_by_role("radio", name="Fine").check()
    press(page, "Paint it")
    badge(page, "Painting")
    page.locator(".running", has_text="left").wait_for()
    bar = page.get_by_role("progressbar")
    assert bar.bounding_box()["height"] >= 8
    until(lambda: float(bar.get_attribute("value") or 0) > 0)
    look(page, "painting")
    page.get_by_role("slider", name="Mix").press("End")  # it goes on
    badge(page, "Preview")
    press(page, "Stop")
    painted(page, 1)
    page.locator(".strip .painting").nth(1).click()
    page.locator(".bar", has_text="stopped after").wait_for()


def test_a_film(laid, tmp_path):
    page = laid()
    press(page, "Film …")
    slide(page, "Length", 2)
    page.get_by_role("combobox", name="Kind of file").select_option("gif")
    press(page, "Make the film")
    painted(page, 1)
    page.get_by_role("button", name="Save", exact=True).wait_for()
    path, suggested = save(page)
    assert suggested.endswith(".gif")
    with Image.open(path) as film:
        assert film.n_frames > 10
        first = np.asarray(film.convert("RGB"), np.float32)
        film.seek(film.n_frames // 2)
        assert difference(first, np.asarray(film.convert("RGB"), np.float32)) > 3
    look(page, "film")


# How it is looked at


def test_before_and_after(laid):
    page = laid(has_touch=True)
    line = page.get_by_role("slider", name="Line between before and after")
    assert line.count() == 0
    page.keyboard.press("b")
    line.wait_for()
    at = lambda: int(line.get_attribute("aria-valuenow"))  # noqa: E731
    assert at() == 50
    look(page, "compared")

    line.press("End")  # all of it is the photo
    until(lambda: at() == 100)
    box = page.locator(".picture").bounding_box()
    photo = screen(page, ".picture")
    middle = photo[int(box["height"] // 2), int(box["width"] * 0.5)]
    assert np.abs(middle - RED).max() < 25
    line.press("Home")
    until(lambda: at() == 0)
    assert difference(screen(page, ".picture"), photo) > 3

    def drag(x):
        handle = line.bounding_box()
        page.mouse.move(handle["x"] + handle["width"] / 2, 300)
        page.mouse.down()
        page.mouse.move(x, 300, steps=4)
        page.mouse.up()

    drag(box["x"] + 0.25 * box["width"])
    until(lambda: at() == pytest.approx(25, abs=2))

    touches = page.context.new_cdp_session(page)
    start = line.bounding_box()["x"] + 22
    for kind, x in (("Start", start), ("Move", start + 40), ("Move", start + 80), ("End", None)):
        points = [] if x is None else [{"x": x, "y": 300}]
        touches.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": points})
    until(lambda: at() == pytest.approx(25 + 100 * 80 / box["width"], abs=2))

    page.keyboard.press("b")
    line.wait_for(state="hidden")


def test_zoom(laid):
    page = laid(has_touch=True)
    width = lambda: page.locator(".picture").bounding_box()["width"]  # noqa: E731
    fitted = width()
    press(page, "Zoom in")
    until(lambda: width() == pytest.approx(1.5 * fitted))
    page.keyboard.press("-")
    until(lambda: width() == pytest.approx(fitted))
    page.keyboard.press("+")
    until(lambda: width() > fitted)
    top = lambda: page.locator(".picture").bounding_box()["y"]  # noqa: E731
    before = top()
    page.locator(".wall").focus()
    page.keyboard.press("ArrowDown")
    until(lambda: top() < before)
    before = top()
    page.mouse.move(400, 300)
    page.mouse.down()
    page.mouse.move(400, 320, steps=3)
    page.mouse.up()
    until(lambda: top() == pytest.approx(before + 20, abs=1))
    page.keyboard.press("0")
    until(lambda: width() == pytest.approx(fitted))
    page.mouse.wheel(0, -400)
    until(lambda: width() > 1.5 * fitted)
    page.locator(".wall").dblclick(position={"x": 450, "y": 300})
    until(lambda: width() == pytest.approx(fitted))

    touches = page.context.new_cdp_session(page)
    for kind, apart in (("Start", 40), ("Move", 60), ("Move", 80), ("End", 0)):
        points = [{"x": 450 + x, "y": 300, "id": id} for id, x in enumerate((-apart, apart))]
        given = points if apart else []
        touches.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": given})
    until(lambda: width() == pytest.approx(2 * fitted, rel=0.05))

    page.keyboard.press("f")
    until(lambda: page.evaluate("document.fullscreenElement?.className") == "stage")
    page.keyboard.press("f")
    until(lambda: page.evaluate("document.fullscreenElement") is None)


# What goes wrong is said


def test_errors_are_told_in_words(laid, tmp_path):
    page = laid()
    text = tmp_path / "text.png"
    text.write_text("no picture")
    drop(page, ".wall", text)
    toast(page, "not a picture")
    assert page.locator(".toast[role=alert]").count() == 1
    look(page, "error")
    press(page, "Dismiss")
    page.locator(".toast").wait_for(state="hidden")
    large = tmp_path / "large.png"
    large.write_bytes(bytes(33 * 2**20))
    press(page, "Change photo")
    choose_files(page, "Choose a file", large)
    toast(page, "large.png: 33 MB is too large; at most 32 MB")
    badge(page, "Preview")  # what was there is there


def test_a_lost_connection_comes_back(site, laid, browse):
    laid()
    page = browse()
    # As where drawing is slow: what the server tells comes before what was moved is sent.
    page.add_init_script(
        "const draw = requestAnimationFrame;"
        "window.requestAnimationFrame = (call) => setTimeout(() => draw(call), 300);"
    )
    links = []

    def through(link):
        links.append(link)
        link.connect_to_server()

    page.route_web_socket(re.compile("/link$"), through)
    page.goto(site.address)
    badge(page, "Preview")
    links[-1].close(code=4000)
    toast(page, "The connection is lost")
    slide(page, "Mix", 80)  # which isn't forgotten
    page.get_by_role("button", name="Paint it").dispatch_event("click")  # nor is this, after it
    page.locator(".toast").wait_for(state="hidden")
    assert len(links) > 1
    painted(page, 1)
    painting = page.locator(".strip .painting").nth(1).get_attribute("aria-label")
    assert "ink 20 %, glass 80 %" in painting.replace("\N{NO-BREAK SPACE}", " ")
    with site.open() as client:
        client.do("hello")
        client.hear(lambda client: client.state)
        client.hear(lambda client: client.state["controls"]["form"] == pytest.approx([0.2, 0.8]))
    assert shares(page) == [20, 80]


# How it looks


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE, SMALLEST])
def test_nothing_is_clipped_or_hard_to_use(laid, size, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = laid(size=size, color_scheme=scheme, styles=("ink", "glass", "dots"))
    picture = page.locator(".picture").bounding_box()
    assert picture["y"] + picture["height"] <= size[1]  # above the fold
    assert picture["width"] > 0.6 * min(size[0] - 360 if size == DESKTOP else size[0], size[1] / 2)
    assert page.evaluate("getComputedStyle(document.querySelector('main')).colorScheme")
    light = screen(page, ".mix").mean() > 128
    assert light == (scheme == "light")
    states = {
        "preview": lambda: None,
        "apart": lambda: press(page, "Separate colours and forms"),
        "gallery": lambda: press(page, "Add a style"),
        "film": lambda: (page.keyboard.press("Escape"), press(page, "Film …")),
        "painted": lambda: (page.keyboard.press("Escape"), press(page, "Paint it")),
    }
    for name, act in states.items():
        act()
        if name == "painted":
            painted(page, 1)
            page.get_by_role("button", name="Save", exact=True).wait_for()
        look(page, f"{name}-{size[0]}-{scheme}")
        assert not page.evaluate(
            """() => [...document.querySelectorAll(".mnst-studio *")].filter(element => {
                const box = element.getBoundingClientRect();
                return box.width && box.height && (box.right > innerWidth + 1 || box.left < -1)
                    && !element.closest(".strip ul, .samples, .wall, .unseen");
            }).map(element => element.outerHTML.slice(0, 200))"""
        ), name
        assert not page.evaluate(
            """least => [...document.querySelectorAll(
                ".mnst-studio :is(button, select, input, [role=slider])")].filter(element => {
                const box = (element.closest("label") ?? element).getBoundingClientRect();
                return element.checkVisibility() && Math.min(box.width, box.height) < least;
            }).map(element => element.outerHTML.slice(0, 200))""",
            LEAST,
        ), name
        found = axe.run(page).response["violations"]
        assert not [each["id"] for each in found if each["impact"] in ("serious", "critical")], name


# What is left of it


def test_pages_leave_nothing_behind(laid, site, browser):
    laid()

    def server():
        process = site.server
        return process.num_threads(), process.num_fds(), len(process.children(recursive=True))

    def visit():
        page = browser.new_page()
        page.goto(site.address)
        badge(page, "Preview")
        page.close()

    visit()
    before = server()
    for _ in range(20):
        visit()
    # A thread pool may have grown by a thread or two on the way; not by one for each visit.
    until(lambda: all(now <= then + 4 for now, then in zip(server(), before, strict=True)), 30)


# In a notebook


@pytest.fixture
def jupyterlab(tmp_path):
    """Starts JupyterLab in an empty folder; returns its address."""
    variables = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    own = {name: str(tmp_path / f".{name.lower()}") for name in variables}
    port = free_port()
    options = ("--no-browser", f"--port={port}", "--allow-root", "--IdentityProvider.token=")
    log = tmp_path / ".log"
    with log.open("w") as written:
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *options],
            cwd=tmp_path,
            env={**os.environ, **own, "MNST_STUDIO": str(tmp_path / "studio")},
            stdout=written,
            stderr=written,
        )
    until(lambda: "is running at" in log.read_text())
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait(30)


def test_two_widgets_in_one_notebook(jupyterlab, browser, files, tmp_path):
    small = "backbone='vgg19-lite', size=64, steps=6"
    cells = [
        "import mnst",
        *(
            f"mnst.Crossfader({str(files[photo])!r}, {[str(files[style])]!r}, folder={photo!r}, "
            f"{small})"
            for photo, style in (("boat", "ink"), ("sea", "glass"))
        ),
        "print('free', 6 * 7)",
    ]
    notebook = nbformat.v4.new_notebook(cells=list(map(nbformat.v4.new_code_cell, cells)))
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(notebook, tmp_path / "play.ipynb")
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.set_default_timeout(1000 * PATIENCE)
    page.goto(f"{jupyterlab}/lab/tree/play.ipynb")
    page.locator(".jp-Notebook .jp-CodeCell").first.click()
    page.wait_for_selector("[data-status=idle]", state="attached")
    for _ in cells:
        page.keyboard.press("Shift+Enter")
    page.get_by_text("free 42").wait_for()
    first, second = page.locator(".mnst-studio").nth(0), page.locator(".mnst-studio").nth(1)
    for widget, style in ((first, "ink"), (second, "glass")):
        widget.scroll_into_view_if_needed()
        widget.locator(".badge", has_text="Preview").wait_for()
        assert widget.locator(".styles b").all_inner_texts() == [style]
        assert widget.get_by_role("radio", name="Fine").is_checked()
    look(page, "notebook")

    # One paints, the other doesn't; and keys are the widget's, not the notebook's.
    first.scroll_into_view_if_needed()
    count = page.locator(".jp-Notebook .jp-Cell").count()
    first.get_by_role("button", name="Zoom in").press("b")
    first.locator(".line").wait_for()
    assert page.locator(".jp-Notebook .jp-Cell").count() == count
    assert not second.locator(".line").is_visible()
    first.get_by_role("button", name="Paint it").click()
    first.get_by_role("button", name="Save", exact=True).wait_for()
    assert first.locator(".strip .painting").count() == 2
    assert second.locator(".strip .painting").count() == 1
    with page.expect_download() as started:
        first.get_by_role("button", name="Save", exact=True).click()
    file = shutil.copy(started.value.path(), tmp_path / "saved.png")
    assert mnst.read_settings(file)["backbone"] == "vgg19-lite"
    page.close()
