"""The trainers that were used last, one for each size, kept for the next picture of their kind.

To load the network and to compile the steps takes seconds, and neither depends on the pictures.
What the network sees of the styles is kept, too, since many photos are painted in the same ones.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable, Iterable, Iterator

import numpy as np

from mnst.backend import tf
from mnst.engine.trainer import Trainer
from mnst.objective.losses import Statistics
from mnst.painting.digests import digest

Trainers = tuple[Trainer, ...]

_SPARE: dict[Hashable, Trainers] = {}  # of one kind at the most, and never any that are in use

MOST_KEPT = 50_000_000
"""Bytes of what a trainer has seen of styles that are kept.

They hold what a content term sees, too, which grows with the picture, and so do the steps beside
which it takes no time to look at a style again.
"""
_SEEN: weakref.WeakKeyDictionary[Trainer, dict[str, Statistics]] = weakref.WeakKeyDictionary()


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


def seen_of_styles(trainer: Trainer, pictures: Iterable[np.ndarray]) -> Iterator[Statistics]:
    """Yields what a trainer's network sees of styles; of those that it saw last, it is known.

    Pictures are the same if their values are, so that a painting in another size is another.

    Args:
        trainer: Whose network; each has a recipe and a size of its own.
        pictures: Float32 [1, H, W, 3] each, 0..255; they are taken one at a time.
    """
    before = _SEEN.get(trainer, {})
    now: dict[str, Statistics] = {}
    _SEEN[trainer] = now
    room = MOST_KEPT
    for picture in pictures:
        name = digest(picture)
        seen = before.get(name)
        if seen is None:
            seen = trainer.style_evaluator.statistics(picture)
        room -= sum(of.shape.num_elements() * of.dtype.size for of in tf.nest.flatten(seen))
        if room >= 0:
            now[name] = seen
        yield seen


def clear_cache() -> None:
    """Lets go of the network and the compiled steps that are kept for the next picture.

    What a `StyleTransfer` uses stays with it.

    Example:
        >>> import mnst
        >>> mnst.clear_cache()
    """
    _SPARE.clear()
