"""What a picture would take, without painting it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mnst.engine.planning import duration, tiles_named
from mnst.painting.options import PlanOptions, SceneOptions, check_scene, check_steps, those_of
from mnst.painting.scene import check_kept, open_scene
from mnst.painting.signatures import takes

if TYPE_CHECKING:
    from typing_extensions import Unpack


@dataclass(frozen=True)
class Plan:
    """What a run will take.

    Attributes:
        height: Of the picture, in pixels.
        width: Of the picture, in pixels.
        steps: How many.
        tile: Side of its tiles, in pixels; None where it is painted as a whole.
        memory: Bytes at the most. On a GPU those of the GPU, else those of the whole process.
        limit: Bytes that it may take.
        seconds: Of all steps together.
        sizes: The long sides of the sizes that it goes through, in pixels, coarse to fine.
        network: What measures, in which precision, on which device.
    """

    height: int
    width: int
    steps: int
    tile: int | None
    memory: int
    limit: int
    seconds: float
    sizes: tuple[int, ...]
    network: str

    def __str__(self) -> str:
        return "\n".join(
            [
                f"{self.width} x {self.height} pixels, {self.steps} steps, {self.network}",
                f"{tiles_named(self.tile)}: {self.memory / 1e9:.1f} GB of memory, where "
                f"{self.limit / 1e9:.1f} GB may be taken",
                f"{duration(self.seconds)}: {self._steps}",
            ]
        )

    @property
    def _steps(self) -> str:
        if len(self.sizes) == 1:
            return f"{self.seconds / self.steps:.3g} s a step"
        return f"coarse to fine, at {', '.join(map(str, self.sizes))} pixels"


@takes(PlanOptions)
def plan(photo: Any, styles: Any = None, **options: Unpack[PlanOptions]) -> Plan:
    """Says what a run of `stylize` would take, without painting.

    It opens the scene as `stylize` does, but looks for nobody in the photo: what is kept makes no
    difference. Then it times a few steps on a small picture. So it takes seconds, and wants the
    machine as idle as it will be then.

    Args:
        photo: The content image, anything that `mnst.load_image` takes.
        styles: The style images; one that is larger than the photo decides whether tiles are
            needed. None are of the photo's size. How many there are makes no difference, unless
            each has its own mask.
        **options: Those of `PlanOptions`.

    Returns:
        The plan; printed, it is three lines.

    Raises:
        ValueError: If an option or a picture is out of range, or the memory too little.
        TypeError: If a picture or an option is of another kind than it takes.
        FileNotFoundError: If a picture or the weights aren't there.
        OSError: If a picture can't be downloaded or opened.
        WeightsError: If the weights or DeepLab can't be had, or don't fit.

    Example:
        >>> import mnst
        >>> print(mnst.plan("photo.jpg", size=4096, memory="8GB"))  # doctest: +SKIP
        4096 x 3277 pixels, 100 steps, vgg19 in bfloat16 on CPU AMD EPYC, 2 cores
        in tiles of 1024 pixels: 4.9 GB of memory, where 8.0 GB may be taken
        2 h 20 min: 84 s a step
    """
    given = photo if styles is None else styles
    recipe = check_steps(options["steps"], check_scene(those_of(SceneOptions, options)))
    check_kept(options)
    settled = {"recipe": recipe, "keep": None, "only": None}
    if styles is None:
        settled["colours"] = None  # which take no time, and may be those of a style
    scene, _ = open_scene(photo, given, those_of(SceneOptions, {**options, **settled}))
    height, width = scene.sides
    return Plan(
        height,
        width,
        recipe.steps,
        scene.tile,
        scene.memory,
        scene.memory_limit,
        scene.seconds(recipe.steps, scene.pace(*scene.networks())),
        tuple(max(canvas.sides) for canvas in scene.canvases),
        f"{scene.weights.backbone.name} in {scene.precision} on {scene.device}",
    )
