"""The crossfader as an animation: every frame goes on from the one before."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from mnst import images
from mnst.checks import check_whole
from mnst.objective.mixing import style_shares
from mnst.painting.options import CrossfadeOptions, RunOptions, in_folder, those_of
from mnst.painting.result import Result
from mnst.painting.scene import style_list
from mnst.painting.signatures import takes
from mnst.painting.transfer import prepare

if TYPE_CHECKING:
    from typing_extensions import Unpack

# The schedule's step whose learning rate the frames after the first are painted with: small
# enough that strokes stay where they are, large enough to follow gamma. The article's rate is
# 12 * 0.6^(300/100) = 2.6 there.
_CALM = 300


@dataclass(frozen=True, eq=False)
class Crossfade:
    """Frames from all style 2 to all style 1.

    Attributes:
        frames: uint8 [H, W, 3] each.
        gammas: The share of style 1 in each.
        relative_improvement: (RI_1, RI_2) of each.
        steps: How many steps all of them took together.
    """

    frames: tuple[np.ndarray, ...]
    gammas: tuple[float, ...]
    relative_improvement: tuple[tuple[float, ...], ...]
    steps: int

    def save(
        self, path: str | os.PathLike[str], *, fps: float = 12, back_and_forth: bool = True
    ) -> None:
        """Writes the animation, whole or not at all.

        Args:
            path: Ends in .gif, .webp or .mp4. MP4 needs `pip install 'mnst[video]'`.
            fps: Frames a second.
            back_and_forth: Append the frames in reverse, so that it loops without a jump.

        Raises:
            ValueError: If the name ends otherwise.
            ImportError: If MP4 is asked for without imageio and its ffmpeg.
            OSError: If the file can't be written.
        """
        frames = self.frames + self.frames[-2:0:-1] if back_and_forth else self.frames
        target = check_animation(path)
        # The name that was given says the kind; it may be a link to a file of another name.
        encode = _ENCODERS[Path(path).suffix.lower()]
        images.write_atomically(target, encode(frames, fps))


@takes(CrossfadeOptions)
def crossfade(
    photo: Any,
    styles: Any,
    *,
    frames: int = 25,
    steps_between: int = 8,
    **options: Unpack[CrossfadeOptions],
) -> Crossfade:
    """Paints the way from style 2 to style 1, frame by frame.

    Every frame starts from the one before, with the optimiser's moments as they are and a small
    learning rate. So it costs a few steps, and strokes change rather than flicker. With
    sigma="auto" the way is even.

    Args:
        photo: The content image, as in `stylize`.
        styles: Two style images, as in `stylize`.
        frames: How many frames there are, with gamma from 0 to 1, 2 or more.
        steps_between: How many steps each frame after the first takes; `steps` are the first's.
        **options: Those of `CrossfadeOptions`.

    Returns:
        The frames; `save` writes them as GIF, WebP or MP4.

    Raises:
        ValueError: If an option is out of range, or there are not two styles.

    Example:
        >>> mnst.crossfade("photo.jpg", ["a.jpg", "b.jpg"], sigma="auto").save("fade.gif")
        ... # doctest: +SKIP
    """
    check_whole("frames", frames, 2)
    check_whole("steps_between", steps_between)
    style_shares(0.0, len(style_list(styles)))
    gammas = np.linspace(0, 1, frames).tolist()
    transfer, options = prepare(photo, styles, options)
    results: list[Result] = []
    of_next: dict[str, Any] = {}
    for k, gamma in enumerate(gammas):
        of_run = those_of(RunOptions, in_folder(options, f"frame-{k + 1}"))
        results.append(transfer.run(**{**of_run, "gamma": gamma, **of_next}))
        if not results[-1].completed:
            break
        of_next = {"steps": steps_between, "init": results[-1].image, "warm": _CALM}
    return Crossfade(
        frames=tuple(result.image for result in results),
        gammas=tuple(gammas[: len(results)]),
        relative_improvement=tuple(result.relative_improvement for result in results),
        steps=sum(result.history[-1].step for result in results),
    )


def check_animation(path: str | os.PathLike[str]) -> Path:
    """Returns where an animation would be written, or raises what stands against it."""
    if Path(path).suffix.lower() not in _ENCODERS:
        raise ValueError(f"{path}: the name must end in one of {', '.join(_ENCODERS)}")
    return images.check_place(path)


def _gif(frames: Sequence[np.ndarray], fps: float) -> bytes:
    # One palette for all frames, and no dithering: both would flicker.
    sample = np.concatenate([frame[::4, ::4].reshape(-1, 3) for frame in frames])
    palette = Image.fromarray(sample[np.newaxis]).quantize(256, Image.Quantize.MEDIANCUT)
    return _animated(
        [
            Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE)
            for frame in frames
        ],
        fps,
        "GIF",
        optimize=False,
    )


def _webp(frames: Sequence[np.ndarray], fps: float) -> bytes:
    return _animated([Image.fromarray(frame) for frame in frames], fps, "WEBP", quality=90)


def _animated(pictures: list[Image.Image], fps: float, kind: str, **options: Any) -> bytes:
    encoded = io.BytesIO()
    pictures[0].save(
        encoded,
        format=kind,
        save_all=True,
        append_images=pictures[1:],
        duration=round(1000 / fps),
        loop=0,
        **options,
    )
    return encoded.getvalue()


def _mp4(frames: Sequence[np.ndarray], fps: float) -> bytes:
    try:
        import imageio.v3 as imageio
        import imageio_ffmpeg  # noqa: F401
    except ImportError:
        raise ImportError("MP4 needs imageio and its ffmpeg: pip install 'mnst[video]'") from None
    height, width = (side // 2 * 2 for side in frames[0].shape[:2])  # what the codec can hold
    even = np.stack([frame[:height, :width] for frame in frames])
    encoded: bytes = imageio.imwrite(
        "<bytes>", even, extension=".mp4", plugin="FFMPEG", fps=fps, macro_block_size=2, quality=8
    )
    return encoded


_ENCODERS = {".gif": _gif, ".webp": _webp, ".mp4": _mp4}
