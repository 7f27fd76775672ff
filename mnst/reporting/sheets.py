"""Contact sheets: pictures side by side in rows, each under its label."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont


def contact_sheet(
    cells: Sequence[tuple[str, Image.Image | None]], *, columns: int, width: int
) -> Image.Image:
    """Returns a sheet of pictures.

    Args:
        cells: A label and a picture each, row by row; a label without a picture is of one that
            failed, and a cell with neither is left empty.
        columns: How many are in a row.
        width: Of a cell, in pixels; pictures are as wide at the most.

    Example:
        >>> from PIL import Image
        >>> from mnst.reporting.sheets import contact_sheet
        >>> red = Image.new("RGB", (100, 50), "red")
        >>> contact_sheet([("a", red), ("b", None)], columns=2, width=100).size
        (221, 78)
    """
    height = max((picture.height for _, picture in cells if picture is not None), default=0)
    line = max(14, width // 14)
    font = ImageFont.load_default(line * 0.8)
    gap = line // 2
    size = (
        columns * (width + gap) + gap,
        math.ceil(len(cells) / columns) * (height + line + gap) + gap,
    )
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    for place, (label, picture) in enumerate(cells):
        x = gap + place % columns * (width + gap)
        y = gap + place // columns * (height + line + gap)
        draw.text((x, y), label, fill="black", font=font)
        if picture is not None:
            sheet.paste(picture, (x, y + line))
        elif label:
            draw.text((x, y + 2 * line), "failed", fill="red", font=font)
    return sheet
