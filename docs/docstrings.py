"""Shows docstrings as readers see them in `help()`: examples as code, options one by one."""

import inspect
import re
from importlib import import_module
from typing import get_type_hints

import griffe

from mnst.painting.options import StylizeOptions


class Docstrings(griffe.Extension):
    """What griffe, which reads the source, can't see in it."""

    def on_object(self, *, obj, **_):
        """Called with every object that is read."""
        if obj.docstring is None:
            return
        if "**options:" in obj.docstring.value and not obj.is_module:
            self._write_out_options(obj)
        # Griffe knows a section of that name in the plural alone.
        obj.docstring.value = re.sub(
            r"^( *)Example:$", r"\1Examples:", obj.docstring.value, flags=re.MULTILINE
        )

    def _write_out_options(self, obj):
        """Puts the options that `mnst.painting.options.takes` adds into docstring and signature."""
        defined = import_module(obj.module.path)
        for name in obj.path.removeprefix(f"{obj.module.path}.").split("."):
            defined = getattr(defined, name)
        if not hasattr(defined.__init__ if obj.is_class else defined, "__wrapped__"):
            return
        obj.docstring.value = inspect.cleandoc(defined.__doc__)
        called = obj.members["__init__"] if obj.is_class else obj
        del called.parameters["options"]
        for name, parameter in inspect.signature(defined).parameters.items():
            if name not in called.parameters:
                called.parameters.add(
                    griffe.Parameter(
                        name,
                        annotation=_written_type(name),
                        kind=griffe.ParameterKind.keyword_only,
                        default=repr(parameter.default),
                    )
                )


def _written_type(option):
    """Returns the type of an option as it is written, without the modules of its parts."""
    written = inspect.formatannotation(get_type_hints(StylizeOptions)[option])
    return re.sub(r"\b(?:\w+\.)+(?=\w)", "", written)
