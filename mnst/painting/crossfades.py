"""The crossfader as an animation: every frame goes on from the one before."""

from __future__ import annotations

import io
import math
import os
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from mnst import images
from mnst.checks import check_number, check_whole
from mnst.errors import one_line
from mnst.optimizers import Adam
from mnst.painting.gammas import along, brought_together, plain, shares_of, stations_of
from mnst.painting.options import CrossfadeOptions, RunOptions, check_scene, in_folder, those_of
from mnst.painting.result import Result
from mnst.painting.scene import style_list
from mnst.painting.signatures import takes
from mnst.painting.transfer import prepare
from mnst.recipes import Recipe

if TYPE_CHECKING:
    from typing_extensions import Unpack

# The learning rate that the frames after the first are painted with: small enough that strokes
# stay where they are, large enough to follow gamma. The article's is there after 300 steps.
_CALM_RATE = 12 * 0.6**3
_CALM = 300

# Adam with a rate that does not fall is given one that halves in so many steps: too slowly to show
# in the first frame, but the schedule then has a calm end.
_HARDLY_FALLS = 10**6


@dataclass(frozen=True, eq=False)
class Crossfade:
    """Frames along a path, such as from all style 2 to all style 1.

    Attributes:
        frames: uint8 [H, W, 3] each.
        gammas: What each was painted with, as `stylize` takes it. Of two styles it is the share of
            style 1, a float or a picture, float32 [H, W]; of more those of all, a tuple of floats
            or float32 [K, H, W]. Where a station of the path has names, each is a dict of these.
        relative_improvement: (RI_1, .., RI_K) of each; None, where it was not measured.
        steps: How many steps all of them took together.
        completed: False if it was ended early. The last frame then is as far as it got.
        alpha: How opaque all of them are, uint8 [H, W]: as the photo was. None is all of it.
    """

    frames: tuple[np.ndarray, ...]
    gammas: tuple[Any, ...]
    relative_improvement: tuple[tuple[float, ...], ...] | None
    steps: int
    completed: bool = True
    alpha: np.ndarray | None = None

    def save(
        self, path: str | os.PathLike[str], *, fps: float = 12, back_and_forth: bool = True
    ) -> None:
        """Writes the animation, whole or not at all.

        In WebP it is as transparent as the photo. MP4 has it on white; so has GIF, whose pixels are
        either opaque or not there.

        Args:
            path: Ends in .gif, .webp or .mp4. MP4 needs `pip install 'mnst[video]'`.
            fps: Frames a second, from 0.1 to 100, which is what all three can hold.
            back_and_forth: Append the frames in reverse, so that it loops without a jump.

        Raises:
            ValueError: If the name ends otherwise, or fps is out of range.
            ImportError: If MP4 is asked for without imageio's ffmpeg.
            OSError: If the frames can't be encoded, or the file not be written. What was there
                before is left as it was.
        """
        check_number("fps", fps, lambda value: 0.1 <= value <= 100, "from 0.1 to 100")
        frames = self.frames + self.frames[-2:0:-1] if back_and_forth else self.frames
        target = check_animation(path)
        # The name that was given says the kind; it may be a link to a file of another name.
        kind = Path(path).suffix.lower()
        encode = _ENCODERS[kind]
        laid = images.with_alpha if kind == ".webp" else images.on_white
        frames = tuple(laid(frame, self.alpha) for frame in frames)
        try:
            encoded = encode(frames, fps)
        except (OSError, ValueError) as error:
            raise OSError(f"{path}: the frames can't be encoded ({one_line(error)})") from None
        images.write_atomically(target, encoded)


@takes(CrossfadeOptions)
def crossfade(
    photo: Any,
    styles: Any,
    *,
    path: Sequence[Any] | Callable[[float], Any] | None = None,
    frames: int = 25,
    steps_between: int = 8,
    **options: Unpack[CrossfadeOptions],
) -> Crossfade:
    """Paints a way between styles, frame by frame.

    Every frame starts from the one before, with the optimiser's moments as they are and a small
    learning rate, whatever the recipe's is. So it costs a few steps, and strokes change rather
    than flicker. With sigma="auto" the way is even.

    Args:
        photo: The content image, as in `stylize`.
        styles: Two style images or more, as in `stylize`.
        path: Where gamma goes: a list of stations, two or more, each of them a gamma as `stylize`
            takes it. Frames are spread over it evenly, and between two stations gamma is their
            mean, weighted by how near they are: a number and a dict have a dict between them, a
            number and a picture a picture. Or a function, which is called with 0 for the first
            frame to 1 for the last, and returns the frame's gamma. None leads from all of the last
            style to all of the first, through the others one by one.
        frames: How many frames there are, 2 or more.
        steps_between: How many steps each frame after the first takes; `steps` are the first's.
        **options: Those of `CrossfadeOptions`.

    Returns:
        The frames; `save` writes them as GIF, WebP or MP4.

    Raises:
        ValueError: If an option, a station or a picture is out of range, or there is one style.
        TypeError: If a picture or an option is of another kind than it takes.
        FileNotFoundError: If a picture or the weights aren't there.
        OSError: If a picture can't be downloaded or opened, or there can't be a folder for logs.
        ImportError: If `log_dir` is given without TensorBoard.
        WeightsError: If the weights or DeepLab can't be had, or don't fit.
        DivergenceError: If a loss turns NaN or infinite.

    Example:
        >>> mnst.crossfade("photo.jpg", ["a.jpg", "b.jpg"], sigma="auto").save("fade.gif")
        ... # doctest: +SKIP
        >>> turned = [{"colour": 1, "form": 0}, {"colour": 0, "form": 1}]
        >>> mnst.crossfade("photo.jpg", ["a.jpg", "b.jpg"], path=turned)  # doctest: +SKIP
    """
    frames = check_whole("frames", frames, 2)
    steps_between = check_whole("steps_between", steps_between)
    count = len(style_list(styles))
    recipe, calm = _calmed(check_scene(options))
    stations = stations_of(path, count, recipe, frames)
    stations = brought_together(stations, recipe.groups, recipe.mixed_layers)
    transfer, options = prepare(photo, styles, {**options, "recipe": recipe})
    # All of them are read before the first frame, so that what is wrong with the last is said then.
    photo, sides = transfer.scene.photo, transfer.scene.photo_sides
    read = [shares_of(station, count, photo, sides) for station in stations]
    gammas = [plain(gamma) for gamma in along(read, frames)]
    results: list[Result] = []
    of_next: dict[str, Any] = {}
    for k, gamma in enumerate(gammas, start=1):
        of_run = those_of(RunOptions, in_folder(options, f"frame-{k}"))
        results.append(transfer.run(**{**of_run, "gamma": gamma, **of_next}))
        if not results[-1].completed:
            break
        of_next = {"steps": steps_between, "init": results[-1].image, "warm": calm}
    return Crossfade(
        frames=tuple(result.image for result in results),
        gammas=tuple(gammas[: len(results)]),
        relative_improvement=tuple(result.relative_improvement for result in results),
        steps=sum(result.history[-1].step for result in results),
        completed=results[-1].completed,
        alpha=transfer.scene.alpha,
    )


def _calmed(recipe: Recipe) -> tuple[Recipe, int]:
    """Returns the recipe, and the step of its schedule at which its learning rate is calm."""
    adam = recipe.optimizer
    if not isinstance(adam, Adam):  # others find out by themselves how far to go
        return recipe, _CALM
    if adam.decay_rate == 1:
        adam = replace(adam, decay_rate=0.5, decay_steps=_HARDLY_FALLS)
    step = adam.decay_steps * math.log(_CALM_RATE / adam.learning_rate, adam.decay_rate)
    return recipe.replace(optimizer=adam), max(1, round(step))


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
        from imageio_ffmpeg import get_ffmpeg_exe

        ffmpeg = get_ffmpeg_exe()
    except (ImportError, RuntimeError):  # or the package without the program
        raise ImportError("MP4 needs imageio's ffmpeg: pip install 'mnst[video]'") from None
    height, width = (side // 2 * 2 for side in frames[0].shape[:2])  # what the codec can hold
    taken = f"-f rawvideo -pix_fmt rgb24 -s {width}x{height} -r {fps:f} -i -"
    given = "-an -c:v libx264 -pix_fmt yuv420p -crf 10 -f mp4"
    with tempfile.TemporaryDirectory() as folder:
        # A file, since ffmpeg goes back to its head at the end.
        film = Path(folder) / "film.mp4"
        done = subprocess.run(
            [ffmpeg, "-v", "error", *taken.split(), *given.split(), str(film)],
            input=b"".join(frame[:height, :width].tobytes() for frame in frames),
            capture_output=True,
            check=False,
        )
        encoded = film.read_bytes() if film.is_file() else b""
    if done.returncode or not encoded:
        said = done.stderr.decode(errors="replace").strip() or f"it ended with {done.returncode}"
        raise OSError(f"ffmpeg: {said}")
    return encoded


_ENCODERS = {".gif": _gif, ".webp": _webp, ".mp4": _mp4}
