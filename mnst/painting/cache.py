"""The trainer that was used last, kept for the next picture of its kind.

To load the network and to compile the step takes seconds, and neither depends on the pictures.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable

from mnst.engine.trainer import Trainer

_SPARE: dict[Hashable, Trainer] = {}  # one at the most, and never one that is in use


def borrow_trainer(owner: object, kind: Hashable, make: Callable[[], Trainer]) -> Trainer:
    """Returns the trainer that is kept, if it is of this kind, or else a new one.

    Args:
        owner: Who uses it: once nothing refers to that any more, the trainer is kept.
        kind: All that it depends on.
        make: Makes a new one.
    """
    trainer = _SPARE.pop(kind, None)
    clear_cache()
    if trainer is None:
        trainer = make()
    trainer.optimizer.begin(0)
    weakref.finalize(owner, _keep, kind, trainer).atexit = False
    return trainer


def _keep(kind: Hashable, trainer: Trainer) -> None:
    global _SPARE  # replaced at once, whatever other threads do to it
    _SPARE = {kind: trainer}


def clear_cache() -> None:
    """Lets go of the network and the compiled step that are kept for the next picture.

    What a `StyleTransfer` uses stays with it.

    Example:
        >>> import mnst
        >>> mnst.clear_cache()
    """
    _SPARE.clear()
