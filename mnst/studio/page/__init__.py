"""The studio's front end: scripts, a style sheet and a page, as texts to serve.

The scripts are ES modules that import each other, one subject each. A notebook takes a single one,
and so `module` joins them, in the order in which they build on each other.
"""

import re
from pathlib import Path

_FOLDER = Path(__file__).parent
_SCRIPTS = (
    "dom",
    "link",
    "store",
    "choosing",
    "zoom",
    "stage",
    "mix",
    "settings",
    "strip",
    "studio",
)
_IMPORT = re.compile(r'^import [^;]*? from "\./\w+\.js";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(async )?(function|class|const)\b)", re.MULTILINE)


def module() -> str:
    """Returns the scripts as one ES module.

    It exports `mount` and the links, and as its default what anywidget asks for, `render`.
    """
    scripts = [_EXPORT.sub("", _IMPORT.sub("", _text(f"{name}.js"))) for name in _SCRIPTS]
    exports = ["export { mount, socketLink, modelLink };", "export default { render };"]
    return "\n".join([*scripts, *exports, ""])


def style() -> str:
    """Returns the style sheet, whose rules all lie under the class mnst-studio."""
    return _text("studio.css")


def document() -> str:
    """Returns the page, which asks for studio.css and start.js beside it."""
    return _text("index.html")


def start() -> str:
    """Returns the script start.js, which imports the module as studio.js."""
    return _text("start.js")


def _text(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")
