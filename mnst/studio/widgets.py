"""The crossfader to play with, in a notebook or on a web page: `mnst.Crossfader`.

Here are the widgets. What they show is painted by `mnst.studio.background`, in a thread, so that
the kernel stays free. ipywidgets is imported when a crossfader is made, and comes with
mnst[notebooks].
"""

from __future__ import annotations

import base64
import html
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mnst import images
from mnst.checks import user_path
from mnst.errors import one_line
from mnst.painting.options import StudioOptions
from mnst.painting.result import Result
from mnst.painting.scene import style_list
from mnst.painting.signatures import takes
from mnst.paintings import glass, swirls
from mnst.studio.background import BackgroundPainter, Listener, Position

if TYPE_CHECKING:
    from typing_extensions import Unpack

UPLOAD_LIMIT = 32 * 2**20
"""How large an uploaded file may be, in bytes. Jupyter's own servers take 10 MiB at once."""

_MOST_WAITING = 4  # uploads of that size, before they are read
_LONGEST = 2048  # of pictures that are kept: more than any full picture here has
_SIZES = (256, 384, 512, 768, 1024)
_THUMBNAIL = 72

_CSS = """<style>
.mnst { max-width: 1100px; }
.mnst .widget-label, .mnst .widget-html-content { line-height: 1.4; }
.mnst .mnst-columns { gap: 24px; align-items: flex-start; }
.mnst .mnst-controls { flex: 1 1 290px; min-width: 0; max-width: 100%; gap: 6px; }
.mnst .mnst-stage { flex: 2 1 320px; min-width: 0; max-width: 100%; gap: 6px; }
.mnst .mnst-title { font-weight: 600; margin-top: 8px; }
.mnst .mnst-row { gap: 6px; align-items: center; overflow: visible; }
.mnst .mnst-picture { width: 100%; height: auto; max-height: 50vh; object-fit: contain;
  object-position: left top; }
.mnst .mnst-thumbnail { display: block; width: 72px; height: 72px; object-fit: cover;
  border-radius: 4px; margin: 0 2px; }
.mnst .mnst-empty .widget-html-content { border: 2px dashed var(--jp-border-color1, #bbb);
  border-radius: 8px; padding: 96px 16px; text-align: center;
  color: var(--jp-ui-font-color2, #666); }
/* Upload buttons would count their files: "Photo (0)". */
.mnst .mnst-upload { font-size: 0; width: auto; padding: 0 14px; }
.mnst .mnst-upload * { display: none; }
.mnst .mnst-photo::after { content: "Choose a photo"; font-size: 13px; }
.mnst .mnst-styles::after { content: "Add styles"; font-size: 13px; }
.mnst .mnst-busy::before { content: ""; display: inline-block; width: 11px; height: 11px;
  margin-right: 8px; border: 2px solid var(--jp-border-color1, #bbb); border-radius: 50%;
  border-top-color: var(--jp-brand-color1, #1976d2); animation: mnst-turn 0.8s linear infinite;
  vertical-align: -2px; }
.mnst .mnst-error { color: var(--jp-error-color1, #c62828); font-weight: 600; }
.mnst .mnst-hint { color: var(--jp-ui-font-color2, #666); font-size: 12px; }
.mnst .mnst-status { min-height: 24px; }
.mnst a.mnst-download { display: inline-block; padding: 0 14px; line-height: 28px;
  background: var(--jp-layout-color2, #eee); color: var(--jp-ui-font-color1, #222);
  text-decoration: none; }
.mnst a.mnst-download:hover { box-shadow: 0 1px 3px rgba(0, 0, 0, 0.4); }
@keyframes mnst-turn { to { transform: rotate(360deg); } }
</style>"""


@takes(StudioOptions)
class Crossfader:
    """Paints a photo between two or more styles while a slider moves.

    Shown by a notebook, it lets one pick pictures, slide gamma, keep people, calibrate, paint the
    full picture, and save it. Previews are painted by vgg19-lite, each from the nearest that is
    painted already. Everything runs beside the kernel, and what goes wrong is said in the widget.

    Args:
        photo: The content image, anything that `mnst.load_image` takes; None to pick one.
        styles: Two or more style images; None for two that the package draws.
        paths: Whether pictures can be picked by path or address and results saved by path. Without
            it, as on a page for others, there are uploads and downloads alone.
        preview_size: The longest side of previews, in pixels.
        **options: Those of `StudioOptions`, for the full picture. What else `stylize` takes is
            what the controls ask for.

    Attributes:
        result: The `Result` that is shown; None before the first. It is a preview until the full
            picture is painted.
        widget: The ipywidgets box, to be put into others.

    Raises:
        ImportError: If ipywidgets isn't installed.
        ValueError: If the recipe or `size` is out of range.

    Example:
        >>> mnst.Crossfader("photo.jpg", ["graffiti.jpg", "ink.jpg"])  # doctest: +SKIP
    """

    def __init__(
        self,
        photo: Any = None,
        styles: Sequence[Any] | None = None,
        *,
        paths: bool = True,
        preview_size: int = 256,
        **options: Unpack[StudioOptions],
    ) -> None:
        self._w = _ipywidgets()
        self._stage = _Stage(self._w, lambda: self._set_rendering(False))
        self._painter = BackgroundPainter(self._stage, preview_size=preview_size, options=options)
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="mnst-reader")
        # Pictures come from the reader's thread, and go by a click in the kernel's. Whoever changes
        # them, or asks for a painting of them, does so alone.
        self._alone = threading.RLock()
        self._waiting = 0  # bytes of uploads that are not read yet
        self._photo: np.ndarray | None = None
        self._styles: tuple[np.ndarray, ...] = ()
        self._drawn: tuple[np.ndarray, ...] = ()  # those of the styles that nobody picked
        self._make_controls(paths, options["size"])
        if styles is None:
            for draw in (swirls, glass):
                self._read(draw, "the styles", self._add_drawn)
        for style in [] if styles is None else style_list(styles):
            self._read(style, images.describe(style), self._add_style)
        if photo is not None:
            self._read(photo, images.describe(photo), self._take_photo)
        self._painter.warm_up()

    @property
    def result(self) -> Result | None:
        """The `Result` that is shown; None before the first."""
        return self._stage.result

    @property
    def position(self) -> Position:
        """Where the controls stand."""
        with self._alone:
            values = [slider.value for slider in self._sliders]
            if len(self._styles) == 2:
                values = [values[0], 1 - values[0]]
        total = sum(values)
        shares = [value / total for value in values] if total else [1 / len(values)] * len(values)
        return Position(tuple(shares), self._calibrate.value, self._keep.value)

    def close(self) -> None:
        """Ends its threads, and removes it from the page."""
        self._reader.shutdown(cancel_futures=True)
        self._painter.close()
        self.widget.close()

    def _repr_mimebundle_(self, **options: Any) -> Any:
        return self.widget._repr_mimebundle_(**options)

    # The controls

    def _make_controls(self, paths: bool, size: int) -> None:
        w = self._w
        self._photo_upload = w.FileUpload(accept="image/*", tooltip="A photo to paint")
        self._photo_upload.observe(self._uploaded(self._take_photo), "value")
        self._style_upload = w.FileUpload(
            accept="image/*", multiple=True, tooltip="Pictures in whose style to paint"
        )
        self._style_upload.observe(self._uploaded(self._add_style), "value")
        for upload, name in ((self._photo_upload, "photo"), (self._style_upload, "styles")):
            upload.add_class("mnst-upload").add_class(f"mnst-{name}")
        self._example = self._button(
            "Try an example",
            lambda: self._read(_example, "the example", self._take_photo),
            tooltip="Grace Hopper, 1984",
        )
        self._photo_shown, self._slider_box = w.HBox(), w.VBox()
        self._styles_shown = w.HBox(layout={"flex_flow": "row wrap", "grid_gap": "8px"})
        self._sliders: list[Any] = []
        self._keep = self._checkbox("Keep people as they are", False)
        self._calibrate = self._checkbox("Calibrate: half way is half of each", True)
        sizes = [(f"{side} pixels", side) for side in sorted({*_SIZES, size})]
        self._size = w.Dropdown(options=sizes, value=size, layout={"width": "120px"})
        self._full = self._button(
            "Paint in full",
            self._render,
            button_style="primary",
            disabled=True,
            tooltip="With VGG19, in the size beside; this takes minutes without a GPU",
        )
        self._stop = self._button("Stop", self._stopped, disabled=True)
        # What is asked for with, but the sliders.
        self._asking = [self._photo_upload, self._style_upload, self._example]
        self._asking += [self._keep, self._calibrate, self._size]
        photo = [_row(w, self._photo_upload, self._example)]
        styles = [_row(w, self._style_upload)]
        keeping = [self._stage.download]
        if paths:
            photo.append(self._path("a photo", self._take_photo))
            styles.append(self._path("a style", self._add_style))
            self._asking += [photo[-1], styles[-1]]
            self._place = w.Text(
                value="painted.png",
                tooltip="Where to save: .png, .jpg, ...",
                layout={"width": "150px"},
            )
            self._save = self._button("Save as", self._saved, disabled=True)
            keeping += [self._save, self._place]
        most = f"{UPLOAD_LIMIT >> 20} MB" if not paths else "10 MB at once; larger ones by path"
        controls = w.VBox(
            [
                _title(w, "Photo"),
                *photo,
                self._photo_shown,
                _title(w, "Styles"),
                *styles,
                self._styles_shown,
                w.HTML(f'<div class="mnst-hint">Uploads: at most {most}.</div>'),
                _title(w, "How"),
                self._calibrate,
                self._keep,
            ]
        )
        painting = _row(w, self._full, self._size, self._stop)
        self._stage.add_below(self._slider_box, painting, _row(w, *keeping))
        columns = w.HBox(
            [controls.add_class("mnst-controls"), self._stage.widget],
            layout={"flex_flow": "row wrap"},
        ).add_class("mnst-columns")
        self.widget = w.VBox([w.HTML(_CSS, layout={"display": "none"}), columns]).add_class("mnst")

    def _button(self, description: str, clicked: Callable[[], None], **options: Any) -> Any:
        layout = {"width": "auto"}
        button = self._w.Button(description=description, layout=layout, **options)
        button.on_click(lambda _: clicked())
        return button

    def _checkbox(self, description: str, value: bool) -> Any:
        layout = {"width": "auto"}
        box = self._w.Checkbox(value=value, description=description, indent=False, layout=layout)
        box.observe(lambda _: self._preview(), "value")
        return box

    def _path(self, what: str, use: Callable[[np.ndarray], None]) -> Any:
        """Makes a field for the path or address of a picture."""
        field = self._w.Text(
            placeholder=f"or the path or address of {what}",
            continuous_update=False,
            layout={"width": "100%", "margin": "2px 0"},
        )

        def entered(change: Any) -> None:
            if change["new"].strip():
                self._read(change["new"].strip(), change["new"].strip(), use)

        field.observe(entered, "value")
        return field

    def _uploaded(self, use: Callable[[np.ndarray], None]) -> Callable[[Any], None]:
        """Returns what is done with the files of an upload."""

        def taken(change: Any) -> None:
            for file in change["new"]:
                self._read_upload(file["content"], str(file["name"]), use)
            if change["new"]:
                change["owner"].value = ()  # its bytes are not needed twice

        return taken

    def _read_upload(self, content: Any, name: str, use: Callable[[np.ndarray], None]) -> None:
        size = len(content)
        if size > UPLOAD_LIMIT:
            self._stage.failed(
                f"{name}: {size / 2**20:.0f} MB is too large; upload at most "
                f"{UPLOAD_LIMIT >> 20} MB"
            )
            return
        with self._alone:
            if self._waiting + size > _MOST_WAITING * UPLOAD_LIMIT:
                self._stage.failed(
                    f"{name}: too many pictures at once; add it when the others are there"
                )
                return
            self._waiting += size
        self._read(bytes(content), name, use)
        self._reader.submit(self._has_read, size)

    def _has_read(self, size: int) -> None:
        with self._alone:
            self._waiting -= size

    def _read(self, source: Any, name: str, use: Callable[[np.ndarray], None]) -> None:
        """Reads or draws a picture in the background, and says what is wrong with it."""

        def read() -> None:
            try:
                picture = source() if callable(source) else source
                use(images.to_uint8(images.load_image(picture, size=_LONGEST, name=name)))
            except Exception as error:
                self._stage.failed(one_line(error))

        self._stage.working(f"Reading {name if len(name) < 60 else name[:20] + '…' + name[-30:]}")
        self._reader.submit(read)

    # What they do

    def _take_photo(self, picture: np.ndarray) -> None:
        with self._alone:
            self._photo = picture
            self._photo_shown.children = [_thumbnail(self._w, picture, "The photo")]
            self._stage.show_photo(picture)
            self._start()

    def _add_drawn(self, picture: np.ndarray) -> None:
        with self._alone:
            self._drawn = (*self._drawn, picture)
            self._show_styles((*self._styles, picture))

    def _add_style(self, picture: np.ndarray) -> None:
        """Takes a style, in the place of one that was only there to begin with."""
        with self._alone:
            if self._drawn:
                out, *rest = self._drawn
                self._drawn = tuple(rest)
                kept = (picture if style is out else style for style in self._styles)
                self._show_styles(tuple(kept))
            else:
                self._show_styles((*self._styles, picture))

    def _remove_style(self, picture: np.ndarray) -> None:
        with self._alone:
            self._drawn = tuple(style for style in self._drawn if style is not picture)
            self._show_styles(tuple(style for style in self._styles if style is not picture))

    def _show_styles(self, styles: tuple[np.ndarray, ...]) -> None:
        """Shows the styles, and a slider for two of them, or one for each of more."""
        w, before, self._styles = self._w, len(self._styles), styles
        cards = []
        for k, style in enumerate(self._styles, start=1):
            remove = w.Button(
                description=f"style {k} \u00d7",
                tooltip=f"Remove style {k}",
                layout={"width": f"{_THUMBNAIL}px", "margin": "0 2px", "padding": "0"},
            )
            remove.on_click(lambda _, style=style: self._remove_style(style))
            cards.append(w.VBox([_thumbnail(w, style, f"Style {k}"), remove]))
        self._styles_shown.children = cards
        if len(styles) != before:
            self._make_sliders(len(styles))
        self._start()

    def _make_sliders(self, count: int) -> None:
        w = self._w
        self._sliders = [self._slider(k, count) for k in range(1, 2 if count == 2 else count + 1)]
        names = [w.HTML(f"style {k}") for k in range(1, count + 1)]
        rows: list[tuple[Any, ...]] = []
        if count == 2:
            rows = [(names[1], self._sliders[0], names[0])]
        elif count > 2:
            rows = list(zip(names, self._sliders, strict=True))
        self._slider_box.children = [_row(w, *row) for row in rows]

    def _slider(self, k: int, count: int) -> Any:
        slider = self._w.FloatSlider(
            value=0.5 if count == 2 else round(1 / count, 2),
            min=0,
            max=1,
            step=0.05 if count == 2 else 0.01,
            readout_format=".2f",
            layout={"width": "auto", "flex": "1 1 120px", "min_width": "0"},
        )
        slider.tooltip = "gamma, the share of style 1" if count == 2 else f"share of style {k}"
        slider.observe(lambda _: self._preview(), "value")
        return slider

    def _start(self) -> None:
        """Starts on other pictures, or says what is still to be picked."""
        ready = self._photo is not None and len(self._styles) >= 2
        self._full.disabled = not ready
        if ready:
            self._painter.open(self._photo, self._styles)
            self._preview()
        elif self._photo is None:
            self._stage.say("Choose a photo, or try an example.")
        else:
            self._stage.say("Add styles: two or more.")

    def _preview(self) -> None:
        with self._alone:
            if not self._full.disabled:
                self._painter.preview(self.position)

    def _render(self) -> None:
        with self._alone:
            self._painter.full_size = self._size.value
            self._set_rendering(True)
            self._stage.working("Preparing the full picture")
            self._painter.render(self.position)

    def _stopped(self) -> None:
        self._stop.disabled = True
        self._stage.working("Stopping")
        self._painter.stop()

    def _set_rendering(self, rendering: bool) -> None:
        """While the full picture is painted, nothing else can be asked for but its end."""
        with self._alone:
            self._stop.disabled = not rendering
            removing = [card.children[-1] for card in self._styles_shown.children]
            for control in (*self._asking, *self._sliders, *removing):
                control.disabled = rendering
            self._full.disabled = rendering or self._photo is None or len(self._styles) < 2
            if hasattr(self, "_save"):
                self._save.disabled = rendering or self.result is None

    def _saved(self) -> None:
        if self.result is None:
            return
        try:
            place = _free(user_path(self._place.value))
            self.result.save(place)
        except Exception as error:
            self._stage.failed(one_line(error))
        else:
            self._stage.say(f"Saved: {place}")


class _Stage(Listener):
    """The picture, and what is said about it."""

    def __init__(self, w: Any, rested: Callable[[], None]) -> None:
        self.result: Result | None = None
        self._rested = rested
        self._empty = w.HTML("Your picture appears here.").add_class("mnst-empty")
        self._picture = w.Image(format="jpeg", layout={"display": "none"})
        self._picture.add_class("mnst-picture")
        self._status = w.HTML().add_class("mnst-status")
        self._bar = w.IntProgress(
            max=1, layout={"visibility": "hidden", "width": "100%", "margin": "0", "height": "10px"}
        )
        self.download = w.HTML()
        self.widget = w.VBox([self._empty, self._picture]).add_class("mnst-stage")

    def add_below(self, slider: Any, *rows: Any) -> None:
        """Adds the slider, close to the picture, and what else is asked with."""
        self.widget.children = [self._empty, self._picture, slider, self._bar, self._status, *rows]

    def show_photo(self, photo: np.ndarray) -> None:
        """Shows what will be painted, until there is something painted."""
        self.result = None
        self.download.value = ""
        self._show(images.to_uint8(images.load_image(photo, size=512)))

    def say(self, text: str, kind: str = "") -> None:
        self._status.value = f'<span class="{kind}">{html.escape(text)}</span>'

    def working(self, what: str) -> None:
        self.say(f"{what} …", "mnst-busy")

    def showing(self, image: np.ndarray, step: int, steps: int) -> None:
        self.download.value = ""
        self._show(image)
        self._bar.max, self._bar.value = steps, step
        self._bar.layout.visibility = "visible"
        self.say(f"Step {step} of {steps}", "mnst-busy")

    def finished(self, result: Result, *, full: bool) -> None:
        self.result = result
        self._show(result.image)
        height, width = result.image.shape[:2]
        improved = ", ".join(f"{value:.2g}" for value in result.relative_improvement)
        what = "Painted in full" if full else "Preview"
        if not result.completed:
            what = f"Stopped after {result.settings['steps']} steps"
        self.say(
            f"{what}: {width} x {height} pixels, by {result.settings['backbone']}; "
            f"the styles' losses fell by factors of {improved}."
        )
        png = images.encode_with_settings(result.image, "PNG", result.settings)
        data = base64.b64encode(png).decode()
        self.download.value = (
            f'<a class="mnst-download" download="{"painted" if full else "preview"}.png" '
            f'href="data:image/png;base64,{data}">Download{"" if full else " preview"}</a>'
        )

    def failed(self, message: str) -> None:
        self.say(message, "mnst-error")

    def resting(self) -> None:
        self._bar.layout.visibility = "hidden"
        if "mnst-busy" in self._status.value:
            self._status.value = ""
        self._rested()

    def _show(self, image: np.ndarray) -> None:
        # With its proportions known, the page does not jump while the browser swaps pictures.
        self._picture.height, self._picture.width = map(str, image.shape[:2])
        self._picture.value = images.encode(image, "JPEG")
        if self._picture.layout.display == "none":
            self._empty.layout.display = "none"
            self._picture.layout.display = None


def _ipywidgets() -> Any:
    """Returns ipywidgets, or says how to get it."""
    try:
        import ipywidgets
    except ImportError:
        raise ImportError(
            "the crossfader needs ipywidgets: pip install 'mnst[notebooks]'"
        ) from None
    return ipywidgets


def _row(w: Any, *children: Any) -> Any:
    return w.HBox(children, layout={"flex_flow": "row wrap"}).add_class("mnst-row")


def _title(w: Any, text: str) -> Any:
    return w.HTML(text).add_class("mnst-title")


def _thumbnail(w: Any, picture: np.ndarray, described: str) -> Any:
    small = images.to_uint8(images.load_image(picture, size=3 * _THUMBNAIL))
    data = base64.b64encode(images.encode(small, "JPEG")).decode()
    # As HTML, since an Image widget has no words for those who can't see it.
    return w.HTML(
        f'<img class="mnst-thumbnail" alt="{described}" src="data:image/jpeg;base64,{data}">',
        layout={"margin": "0"},
    )


def _example() -> str:
    from matplotlib import cbook

    # A public-domain photograph of a person that is on every machine where mnst is.
    return str(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False))


def _free(place: Path) -> Path:
    """Returns a path like this one at which there is no file yet."""
    count, free = 1, place
    while free.exists() and not free.is_dir():
        count += 1
        free = place.with_stem(f"{place.stem}-{count}")
    return free
