"""The studio in a notebook: `mnst.Crossfader`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mnst.painting.options import StudioOptions
from mnst.painting.result import Result
from mnst.painting.scene import style_list
from mnst.painting.signatures import takes
from mnst.studio.messages import MessageError
from mnst.studio.store import Store, default_folder
from mnst.studio.studio import Studio

if TYPE_CHECKING:
    from typing_extensions import Unpack


@takes(StudioOptions, size=1024)
class Crossfader:
    """The studio as a widget: paints a photo between its styles while sliders move.

    Shown by a notebook, it lets one choose pictures, move the mixture, leave people as they are,
    paint in full, go back to what was painted before, and save it. It is the page that `mnst app`
    serves. Everything runs beside the kernel's own thread, and what goes wrong is said in the
    widget.

    Args:
        photo: The content image, anything that `mnst.load_image` takes; None is what was left on
            the table, or nothing.
        styles: One to four style images; None is what was left on the table, or two that the
            package draws.
        folder: Where paintings are kept, and what lies on the table; MNST_STUDIO, or where programs
            keep their data, if not given.
        **options: Those of `StudioOptions`, for paintings. What else `stylize` takes is what the
            controls ask for.

    Attributes:
        widget: The widget, to be put into others.

    Raises:
        ImportError: If anywidget isn't installed.
        ValueError: If an option is out of range, or a picture isn't one.
        TypeError: If a picture is of another kind.
        OSError: If a picture can't be read.

    Example:
        >>> crossfader = mnst.Crossfader("photo.jpg", ["graffiti.jpg", "ink.jpg"])  # doctest: +SKIP
        >>> crossfader  # shows itself  # doctest: +SKIP
        >>> crossfader.result.save("out.png")  # doctest: +SKIP
        >>> mnst.stylize("other.jpg", ["graffiti.jpg", "ink.jpg"], **crossfader.options)
        ... # doctest: +SKIP
    """

    def __init__(
        self,
        photo: Any = None,
        styles: Any = None,
        *,
        folder: str | os.PathLike[str] | None = None,
        **options: Unpack[StudioOptions],
    ) -> None:
        make = _widget_class()
        given: Sequence[Any] | None = None if styles is None else style_list(styles)
        store = Store(default_folder() if folder is None else folder)
        self._studio = Studio(store, photo=photo, styles=given, options=options)
        self.widget = make(self._studio)

    @property
    def result(self) -> Result | None:
        """The painting that was finished last; None before the first."""
        return self._studio.result

    @property
    def image(self) -> np.ndarray | None:
        """The live picture, uint8 [H, W, 3]; None before there is one."""
        return self._studio.image

    @property
    def options(self) -> dict[str, Any]:
        """What `stylize` takes, beside photo and styles, to paint what is wished for now."""
        return self._studio.options

    def close(self) -> None:
        """Ends what it is at, and takes it off the notebook."""
        self.widget.close()
        self._studio.close()

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        return self.widget._repr_mimebundle_(**kwargs)


def _widget_class() -> Any:
    """Returns the widget's class, which needs anywidget, or says how to get it."""
    try:
        import anywidget
    except ImportError:
        raise ImportError("the widget needs anywidget: pip install 'mnst[notebooks]'") from None
    from mnst.studio import page

    class Widget(anywidget.AnyWidget):  # type: ignore[misc]
        _esm = page.module()
        _css = page.style()

        def __init__(self, studio: Studio) -> None:
            super().__init__()
            looker = studio.join(self._tell)

            def heard(_: Any, message: Any, buffers: list[Any]) -> None:
                try:
                    studio.do(looker, message, [bytes(each) for each in buffers])
                except MessageError as error:
                    said = f"this page is of another version of mnst: {error}"
                    self._tell({"is": "end", "text": said}, [])

            self.on_msg(heard)

        def _tell(self, message: dict[str, Any], parts: list[bytes]) -> None:
            self.send(message, buffers=parts)

    return Widget
