"""The trainers that were used last, one for each size, kept for the next picture of their kind.

To load the network and to compile the steps takes seconds, and neither depends on the pictures.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable

from mnst.engine.trainer import Trainer

Trainers = tuple[Trainer, ...]

_SPARE: dict[Hashable, Trainers] = {}  # of one kind at the most, and never any that are in use


def borrow_trainers(owner: object, kind: Hashable, make: Callable[[], Trainers]) -> Trainers:
    """Returns the trainers that are kept, if they are of this kind, or else new ones.

    Args:
        owner: Who uses them: once nothing refers to that any more, they are kept.
        kind: All that they depend on.
        make: Makes new ones.
    """
    trainers = _SPARE.pop(kind, None)
    clear_cache()
    if trainers is None:
        trainers = make()
    for trainer in trainers:
        trainer.optimizer.begin(0)
    weakref.finalize(owner, _keep, kind, trainers).atexit = False
    return trainers


def _keep(kind: Hashable, trainers: Trainers) -> None:
    global _SPARE  # replaced at once, whatever other threads do to it
    _SPARE = {kind: trainers}


def clear_cache() -> None:
    """Lets go of the network and the compiled steps that are kept for the next picture.

    What a `StyleTransfer` uses stays with it.

    Example:
        >>> import mnst
        >>> mnst.clear_cache()
    """
    _SPARE.clear()
