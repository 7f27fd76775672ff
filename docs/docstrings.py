"""Shows what stands under `Example:` in a docstring as code, as `Examples:` is shown."""

import re

import griffe


class ExampleSections(griffe.Extension):
    """Griffe knows a section of that name in the plural alone."""

    def on_object(self, *, obj, **_):
        """Called with every object that is read."""
        if obj.docstring is not None:
            obj.docstring.value = re.sub(
                r"^( *)Example:$", r"\1Examples:", obj.docstring.value, flags=re.MULTILINE
            )
