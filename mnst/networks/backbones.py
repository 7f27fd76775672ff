"""The networks that measure pictures: those that are known by name, and anybody's own."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from mnst.backend import keras
from mnst.checks import check_choice, did_you_mean, shown
from mnst.networks.lite import LITE_WIDTHS
from mnst.networks.models import KerasBackbone
from mnst.networks.vgg import VGG
from mnst.networks.weights import Backbone, KerasFile, LiteFile
from mnst.sources.releases import RELEASES


def _keras_file(name: str) -> KerasFile:
    return KerasFile(name.upper(), RELEASES[name], variable=f"MNST_{name.upper()}_WEIGHTS")


VGG19: VGG = VGG(
    "vgg19",
    blocks=((2, 64), (2, 128), (4, 256), (4, 512), (4, 512)),
    weights=_keras_file("vgg19"),
)

VGG16 = VGG(
    "vgg16",
    blocks=((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)),
    weights=_keras_file("vgg16"),
)

VGG19_LITE = dataclasses.replace(
    VGG19,
    name="vgg19-lite",
    widths=LITE_WIDTHS,
    weights=LiteFile(
        Path(__file__).with_name("vgg19-lite.npz"),
        sha256="9da573fa7bd1aa6e921944ed311d7c6d56fe5d27aad6e3887443d5dab7a12ba8",
    ),
)

BACKBONES = {backbone.name: backbone for backbone in (VGG19, VGG16, VGG19_LITE)}
"""The networks that have names."""


def get_backbone(value: Any) -> Backbone:
    """Returns a network, given its name, a Keras model, or a `Backbone`.

    Args:
        value: A name in `BACKBONES`; "auto", which is VGG19, and `vgg19-lite` where its download
            fails; a Keras model that `KerasBackbone` takes; or a `Backbone`, which is returned.

    Raises:
        ValueError: If it is none of these.

    Example:
        >>> from mnst.networks import get_backbone
        >>> get_backbone("vgg16").minimum_side(["block5_conv1"])
        16
    """
    if isinstance(value, str):
        if value == "auto":
            return dataclasses.replace(BACKBONES["vgg19"], fallback=BACKBONES["vgg19-lite"])
        if value in BACKBONES:
            return BACKBONES[value]
    # Who has a Keras model has imported Keras, which is not imported for those who have none.
    elif isinstance(value, getattr(sys.modules.get("keras"), "Model", ())):
        return KerasBackbone(value)
    if isinstance(value, Backbone) and not isinstance(value, type):
        return value
    known = ["auto", *BACKBONES]
    raise ValueError(
        f"backbone is {shown(value)}: give one of {', '.join(known)}, a Keras model, or an object "
        f"with the methods of mnst.networks.Backbone{did_you_mean(value, known)}"
    )


def vgg_layers(
    layers: Iterable[str],
    *,
    backbone: str | Backbone = "vgg19",
    weights: str | os.PathLike[str] | None = None,
    dtype: Literal["float32", "bfloat16"] = "float32",
) -> keras.Model:
    """Builds a Keras model that gives the outputs of some of VGG19's or another network's layers.

    The model ends behind the deepest of them, its weights are frozen, and the preprocessing (RGB
    to BGR, minus ImageNet's mean colour) is inside. It is TensorFlow's tutorial's `vgg_layers`
    with names on its outputs.

    Args:
        layers: Names such as "block1_conv1"; `mnst.networks.VGG19.layers` has all of VGG19's.
        backbone: "vgg19"; "vgg16"; "vgg19-lite", the small network that comes with mnst and gives
            nearly the same outputs as VGG19; "auto", which is VGG19 where it can be had; or a
            `Backbone`.
        weights: Path of the network's weights without its top, in either of Keras' formats, or of
            a student's, as `mnst.distill` writes them; or their address, `hf://...` or
            `kaggle://...`. None looks where `VGG.find_weights` says.
        dtype: What the convolutions compute in. The outputs have it too.

    Returns:
        A model from float32 [B, H, W, 3], RGB, 0..255, to a dict of layer name to
        [B, H', W', N].

    Raises:
        ValueError: If a layer, the backbone or the dtype is unknown.
        TypeError: If `weights` is no path.
        FileNotFoundError: If the weights were named but aren't there.
        OSError: If their file can't be opened.
        WeightsError: If they can't be downloaded or aren't the backbone's.

    Example:
        >>> import mnst
        >>> extractor = mnst.vgg_layers(["block1_conv1", "block4_conv2"], backbone="vgg19-lite")
        >>> features = extractor(mnst.load_image("photo.jpg"))  # doctest: +SKIP
        >>> features["block4_conv2"].shape  # doctest: +SKIP
        TensorShape([1, 64, 54, 512])
    """
    check_choice("dtype", dtype, ("float32", "bfloat16"))
    network = get_backbone(backbone)
    names = network.check_layers(layers)
    return network.find_weights(weights).fetch().build(names, dtype)
