"""What MkDocs can't do by itself; `mkdocs.yml` names this file.

- The notebooks become pages, with the outputs that they were kept with, and can be downloaded.
- README's neighbours, CONTRIBUTING and CHANGELOG, become pages, and links to them lead there.
- `<!-- the command line -->` becomes a description of every command, from the parser itself.
- Formulas become MathML, which browsers draw by themselves, and its font lies beside the pages.
- At the end every page is looked through: none may fetch anything from elsewhere.
"""

import argparse
import base64
import html
import os
import posixpath
import re
import subprocess
import sys
import tempfile
import textwrap
from importlib.util import find_spec
from pathlib import Path

import nbformat
from latex2mathml.converter import convert
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
# Files beside the documentation's folder, and the pages that show them.
PAGES = {
    "CONTRIBUTING.md": "project/contributing.md",
    "CHANGELOG.md": "project/changelog.md",
    **{f"notebooks/{path.name}": f"notebooks/{path.stem}.md" for path in NOTEBOOKS},
}
COMMAND_LINE = "<!-- the command line -->"
AS_IT_WAS_RUN = "*This is a notebook, as it was run.*"
FONT = "assets/STIXTwoMath.woff2"

_LINK = re.compile(r"(\]\()([^)#\s]+)(#[^)\s]*)?(\))")
_FORMULA = re.compile(r'<(span|div) class="arithmatex">\\(\(|\[)(.*?)\\(?:\)|\])</\1>', re.DOTALL)
_DRAWING = re.compile(r'<p><img alt="[^"]*" src="[./]*images/(\w+\.svg)" ?/?></p>')
_FETCHED = re.compile(
    r"<(?:script|img|iframe|source|video|audio|embed)\b[^>]*\bsrc=[\"'](?:https?:)?//[^\"']+"
    r"|<link\b(?=[^>]*\brel=[\"'](?:stylesheet|preconnect|preload|icon)[\"'])"
    r"[^>]*\bhref=[\"'](?:https?:)?//[^\"']+"
)
_FETCHED_BY_CSS = re.compile(r"(?:@import|url\()\s*[\"']?(?:https?:)?//[^\"')]+")


def on_files(files, config):
    """Adds the pages that come from elsewhere, and the font of the formulas."""
    for source, page in PAGES.items():
        path = ROOT / source
        if path.suffix == ".ipynb":
            text, pictures = notebook_page(path)
            text = text.replace(AS_IT_WAS_RUN, f"{AS_IT_WAS_RUN} {_ways_to(path, config)}", 1)
            for name, data in pictures.items():
                files.append(File.generated(config, f"notebooks/{name}", content=data))
            files.append(File.generated(config, source, content=path.read_bytes()))
        else:
            text = path.read_text()
        files.append(File.generated(config, page, content=text))
    files.append(File.generated(config, FONT, content=_math_font()))
    return files


def on_page_markdown(markdown, page, config, files):
    """Leads links that leave the folder to the pages made of what they lead to."""
    here = page.file.src_uri
    written = {shown: source for source, shown in PAGES.items()}.get(here, f"docs/{here}")

    def led(match):
        before, target, anchor, after = match.groups()
        if re.match(r"[a-z]+:", target):
            return match.group()
        meant = posixpath.normpath(posixpath.join(posixpath.dirname(written), target))
        if meant in ("README.md", "LICENSE", "CITATION.cff"):
            meant = "docs/index.md"
        shown = PAGES.get(meant) or meant.removeprefix("docs/")
        led_to = posixpath.relpath(shown, posixpath.dirname(here) or ".")
        return f"{before}{led_to}{anchor or ''}{after}"

    fenced = re.split(r"(^```.*?^```$)", markdown, flags=re.MULTILINE | re.DOTALL)
    text = "".join(part if part.startswith("```") else _LINK.sub(led, part) for part in fenced)
    return text.replace(COMMAND_LINE, command_line()) if COMMAND_LINE in text else text


def on_page_content(content, page, config, files):
    """Draws the formulas, and puts drawings into the page, so that they are as dark as it is.

    A wide table scrolls by the keyboard, too, if it can be reached by it.
    """

    def drawing(match):
        drawn = (ROOT / "docs/images" / match[1]).read_text()
        return f'<div class="drawing" tabindex="0">{drawn}</div>'

    content = _DRAWING.sub(drawing, _FORMULA.sub(_drawn, content))
    return content.replace("<table>", '<table tabindex="0">')


def on_post_page(output, page, config):
    """Names the dialog of the search for those who can't see it, which Material does not."""
    search = 'data-md-component="search" role="dialog"'
    return output.replace(search, f'{search} aria-label="Search"')


def on_post_build(config):
    """Refuses pages that fetch anything from elsewhere, or that show a formula as it was typed."""
    site = Path(config.site_dir)
    for path in site.rglob("*"):
        if path.suffix in (".html", ".css"):
            text = path.read_text()
            pattern = _FETCHED if path.suffix == ".html" else _FETCHED_BY_CSS
            if found := pattern.search(text):
                raise PluginError(f"{path.relative_to(site)} fetches {found.group()}")
            if 'class="arithmatex"' in text:
                raise PluginError(f"{path.relative_to(site)}: a formula was not drawn")


def notebook_page(path):
    """Returns a notebook as Markdown, and its pictures by name."""
    pictures = {}
    parts = []
    for number, cell in enumerate(nbformat.read(path, as_version=4).cells):
        if cell.cell_type == "markdown":
            parts.append(cell.source)
            continue
        if cell.cell_type == "code":
            shown = re.sub(r"^%.*\n", "", cell.source)
            parts.append(f"```python\n{_narrowed(shown)}\n```")
        for place, output in enumerate(cell.get("outputs", ())):
            told, picture = _output(output)
            if picture is not None:
                kind, data = picture
                name = f"{path.stem}_{number}_{place}.{kind}"
                pictures[name] = data
                told = f"![What this cell shows]({name})"
            if told:
                parts.append(told)
    title, _, rest = "\n\n".join(parts).partition("\n")
    return f"{title}\n\n{AS_IT_WAS_RUN}\n{rest}\n", pictures


def _narrowed(code):
    """Returns code in lines of the width of a page, which is less than a notebook's."""
    ruff = [sys.executable, "-m", "ruff", "format", "--line-length", "80", "-"]
    formatted = subprocess.run(ruff, input=code, capture_output=True, text=True, check=True)
    return formatted.stdout.rstrip()


def _ways_to(notebook, config):
    """Returns links to a notebook itself, and to Colab, if it lies where Colab finds it."""
    # Not as Markdown, whose links to notebooks lead to their pages.
    ways = f'<a href="{notebook.name}" download>Download it</a>'
    if repository := config.extra.get("repository"):
        place = repository.removeprefix("https://github.com/").strip("/")
        address = f"https://colab.research.google.com/github/{place}/blob/main/notebooks/"
        ways += f" · [Open it in Colab]({address}{notebook.name})"
    return ways


def _output(output):
    """Returns an output as Markdown, or as the kind and the bytes of a picture."""
    data = output.get("data", {})
    for kind in ("jpeg", "png", "webp", "gif"):
        if encoded := data.get(f"image/{kind}"):
            return "", (kind, base64.b64decode(encoded))
    text = output.get("text") or data.get("text/plain") or ""
    return (f"``` {{.text .printed}}\n{text.rstrip()}\n```" if text.strip() else ""), None


def command_line():
    """Returns every command with its arguments, as Markdown."""
    from mnst.cli import build_parser

    parser = build_parser()
    commands = next(a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    parts = []
    for name, command in commands.choices.items():
        os.environ["COLUMNS"] = "88"
        usage = command.format_help().partition("\n\n")[0].removeprefix("usage: ")
        examples = textwrap.dedent((command.epilog or "").partition("\n")[2])
        shown = f"```text\n{usage}\n```\n" + (f"\n```text\n{examples}\n```\n" if examples else "")
        parts.append(f"## mnst {name}\n\n{command.description}\n\n{shown}")
        for group in command._action_groups:
            rows = [_row(action) for action in group._group_actions if action.dest != "help"]
            if rows:
                title = group.title.removeprefix("positional ").capitalize()
                parts.append(f"| {title} | |\n|---|---|\n" + "\n".join(rows) + "\n")
    return "\n".join(parts)


def _row(action):
    names = ", ".join(action.option_strings) or action.metavar or action.dest
    if action.option_strings and action.nargs != 0 and action.metavar:
        names += f" {action.metavar}"
    if action.required and action.option_strings:
        names += " (needed)"
    told = html.escape((action.help or "").replace("%(default)s", str(action.default)))
    return f"| `{names}` | {told.replace('|', '&#124;')} |"


def _drawn(match):
    tag, _, formula = match.groups()
    drawn = convert(html.unescape(formula).strip(), display="inline" if tag == "span" else "block")
    for bar in ("&#x02016;", "&#x0007C;"):  # of a norm and of a number's size: as high as letters
        drawn = drawn.replace(f"<mo>{bar}</mo>", f"<mi>{bar}</mi>")
    if tag == "div":
        # What a sum runs over belongs below it.
        drawn = re.sub(
            r"<msub>(<mo>&#x02211;</mo>)(.*?)</msub>(?=<)", _below, drawn, flags=re.DOTALL
        )
        return f'<div class="formula" tabindex="0">{drawn}</div>'
    return drawn


def _below(match):
    return f"<munder>{match.group(1)}{match.group(2)}</munder>"


def _math_font():
    """Returns the formulas' font without rare signs: STIX Two Math, SIL Open Font License."""
    from fontTools import subset

    options = subset.Options(flavor="woff2", layout_features=["*"], name_IDs=["*"])
    # Not imported: it draws formulas as pictures, and is here for the font that it comes with.
    source = Path(find_spec("ziamath").origin).parent / "fonts" / "STIXTwoMath-Regular.ttf"
    font = subset.load_font(str(source), options)
    subsetter = subset.Subsetter(options)
    wanted = [
        *range(0x20, 0x17F), *range(0x391, 0x3F6), *range(0x2000, 0x2070), *range(0x2190, 0x2200),
        *range(0x2200, 0x2300), *range(0x27E6, 0x27F0), *range(0x1D400, 0x1D800), 0x2102, 0x211D,
        0x210E,
    ]  # fmt: skip
    subsetter.populate(unicodes=wanted)
    subsetter.subset(font)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "font.woff2"
        subset.save_font(font, str(target), options)
        return target.read_bytes()
