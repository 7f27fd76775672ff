"""The house that mnst/ is: rooms one upon the other, and imports that go down and never up."""

import ast
import graphlib
from pathlib import Path

import pytest

import mnst

# Folders and single modules, the ground first. A room takes from itself and from those before it.
ROOMS = (
    "checks",
    "errors",
    "backend",
    "images",
    "sources",
    "networks",
    "objective",
    "optimizers",
    "pyramid",
    "recipes",
    "engine",
    "reporting",
    "masks",
    "maps",
    "painting",
    "sweeping",
    "learning",
    "paintings",
    "figures",
    "studio",
    "cli",
    "__main__",
)

HOUSE = Path(mnst.__file__).parent
FILES = {
    ".".join(["mnst", *path.relative_to(HOUSE).with_suffix("").parts]).removesuffix(".__init__"): (
        path
    )
    for path in sorted(HOUSE.rglob("*.py"))
}


def imports_of(module, text):
    """The modules of mnst that a module's text imports from, wherever in it that stands.

    Those under TYPE_CHECKING count like all others: who reads a signature has to know what it
    names, and none of them would be circular. `from mnst import stylize` and `import mnst` are
    imports of "mnst", whose names come from all rooms; its `__version__` alone is everybody's.
    """
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively: name the module in full"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                if inner != "mnst.__version__":
                    found.add(inner if inner in FILES else node.module)
    return {name for name in found if name.partition(".")[0] == "mnst"}


def storey(module):
    """How high a module's room is; that of mnst/__init__.py, with names of all rooms, is highest.

    What is no room is lower than all, where nobody may import from it.
    """
    if module == "mnst":
        return len(ROOMS)
    room = module.split(".")[1]
    return ROOMS.index(room) if room in ROOMS else -1


def upward(module, text):
    return {name for name in imports_of(module, text) if storey(name) > storey(module)}


def test_every_room_has_its_place():
    assert {name.split(".")[1] for name in FILES if name != "mnst"} == set(ROOMS)


@pytest.mark.parametrize("module", FILES)
def test_imports_go_down(module):
    assert upward(module, FILES[module].read_text()) == set()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("import mnst.engine.trainer", {"mnst.engine.trainer"}),
        ("from mnst.painting.transfer import stylize", {"mnst.painting.transfer"}),
        ("from mnst.painting import transfer", {"mnst.painting.transfer"}),
        ("def late():\n    from mnst import figures", {"mnst.figures"}),
        ("if TYPE_CHECKING:\n    from mnst.recipes import Recipe", {"mnst.recipes"}),
        ("from mnst import Recipe", {"mnst"}),
        ("import mnst", {"mnst"}),
        ("from mnst import __version__, images, checks\nimport numpy, mnstx", set()),
    ],
)
def test_an_import_that_goes_up_is_found(text, found):
    """Of a file in the room of networks."""
    assert upward("mnst.networks.another", text) == found


def test_nobody_imports_the_command_line_but_what_runs_it():
    who = {name for name, path in FILES.items() if "mnst.cli" in imports_of(name, path.read_text())}
    assert who == {"mnst.__main__"}


def test_no_file_imports_itself_by_way_of_others():
    graph = {name: imports_of(name, path.read_text()) for name, path in FILES.items()}
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which names the files


@pytest.mark.parametrize("module", FILES)
def test_every_room_and_every_file_says_what_it_is(module):
    """In a line; a folder says it in its __init__.py."""
    assert FILES[module].parent == HOUSE or (FILES[module].parent / "__init__.py").is_file()
    if module == "mnst.__main__":
        return  # five lines that say it themselves
    docstring = ast.get_docstring(ast.parse(FILES[module].read_text()))
    assert docstring
    assert docstring.splitlines()[0].endswith((".", ":"))
