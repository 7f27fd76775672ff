"""Mixed neural style transfer: one photo, painted in two or more styles at once.

`import mnst` is quick and silent: the public names are those of `__init__.pyi`, each imported when
it is first asked for, and TensorFlow by the first call that needs it.

Example:
    >>> import mnst
    >>> result = mnst.stylize("photo.jpg", ["graffiti.jpg", "ink.jpg"], gamma=0.4)
    ... # doctest: +SKIP
    >>> result.save("out.png")  # doctest: +SKIP
"""

import lazy_loader

__version__ = "0.2.0"
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
