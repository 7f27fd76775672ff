"""What is kept of a photo: `keep`, `only` and `mask`, as everything that paints takes them.

DeepLab's modules are imported where classes are given. A mask of one's own does without them.
"""

from __future__ import annotations

from typing import Any

from mnst import images
from mnst.checks import user_path
from mnst.masks import Classes


def check_classes(classes: Classes, name: str = "keep", model: Any = None) -> None:
    """Checks that `segment(photo).mask(classes)` could be made, without running the model.

    Args:
        classes: What shall be found.
        name: What to call them in errors.
        model: Which model, as `segment` takes it.

    Raises:
        ValueError: If the model doesn't know a class. If it isn't in the table and has yet to be
            downloaded, that is found out later.
        FileNotFoundError: If MNST_DEEPLAB names a file that isn't there.
        WeightsError: If MNST_DEEPLAB names a file that is no model.
    """
    from mnst.masks import models

    model = models.find_model(model)
    if not images.is_address(model.address):
        model = models.complete_by_contents(model, models.fetch_model(model))
    elif not model.names:
        return
    models.label_numbers(classes, name, model.names, models.display_name(model))


def classes_by(*classes: Classes | None) -> str | None:
    """Returns what stands for the model that would find classes, or None where none are given.

    It is a hash of the model's file, or its address where it may have to be downloaded.
    """
    if all(each is None for each in classes):
        return None
    from mnst.masks import hub, models

    address = models.find_model().address
    return address if images.is_address(address) else hub.fingerprint(user_path(address))


def find_mask(
    photo: Any, *, keep: Classes | None = None, only: Classes | None = None, mask: Any = None
) -> Any:
    """Returns the mask of what `keep`, `only` or `mask` say is kept, for `load_mask`, or None.

    The photo is labelled at its own size, whatever it is painted at: small people are still seen.
    """
    classes = keep if only is None else only
    if classes is None:
        return mask
    from mnst.masks import segmentation

    kept = segmentation.segment(photo, progress=False).mask(classes, invert=only is not None)
    if only is not None and kept.min() == 1:
        raise ValueError(f"only is {only!r}, but the photo shows none: nothing to paint")
    return kept
