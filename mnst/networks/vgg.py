"""VGG19 as a feature extractor: a Keras model that gives the outputs of any of its layers.

And `vgg19-lite`, a small network of the same shape that was trained to give nearly the same.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal

from mnst.backend import keras
from mnst.errors import WeightsError
from mnst.networks.weights import (
    VGG19_ADDRESS,
    WeightsSource,
    Width,
    fetch_weights,
    find_weights,
    read_lite,
)

_BLOCKS = {1: (2, 64), 2: (2, 128), 3: (4, 256), 4: (4, 512), 5: (4, 512)}  # convolutions, filters

VGG19_LAYERS = tuple(
    f"block{block}_{layer}"
    for block, (convolutions, _) in _BLOCKS.items()
    for layer in (*(f"conv{i}" for i in range(1, convolutions + 1)), "pool")
)
"""Names of VGG19's layers, first to last, as Keras has them."""

# ImageNet's mean colour in the order in which VGG was trained, BGR.
_MEAN_BGR = (103.939, 116.779, 123.68)


def check_layers(layers: Iterable[str]) -> tuple[str, ...]:
    """Returns the layer names in VGG19's order, each once.

    Raises:
        ValueError: If one is unknown, or there is none.
    """
    wanted = set(layers)
    unknown = sorted(wanted - set(VGG19_LAYERS))
    if unknown:
        raise ValueError(
            f"VGG19 has no layer {unknown[0]!r}: give names such as block1_conv1 to block5_conv4, "
            f"or block1_pool to block5_pool"
        )
    if not wanted:
        raise ValueError("no layer was named: give at least one, such as block1_conv1")
    return tuple(name for name in VGG19_LAYERS if name in wanted)


def minimum_side(layers: Iterable[str]) -> int:
    """Returns the shortest side in pixels for which every layer still has a position.

    Each of VGG19's pools halves the picture and drops an odd row or column.

    Example:
        >>> from mnst.networks.vgg import minimum_side
        >>> minimum_side(["block1_conv1", "block5_conv2"])
        16
    """
    pools = VGG19_LAYERS[: VGG19_LAYERS.index(check_layers(layers)[-1]) + 1]
    return int(2 ** sum(name.endswith("pool") for name in pools))


def vgg_layers(
    layers: Iterable[str],
    *,
    backbone: str = "vgg19",
    weights: str | os.PathLike[str] | None = None,
    dtype: Literal["float32", "bfloat16"] = "float32",
) -> keras.Model:
    """Builds a Keras model that gives the outputs of some of VGG19's layers.

    The model ends behind the deepest of them, its weights are frozen, and the preprocessing (RGB
    to BGR, minus ImageNet's mean colour) is inside. It is TensorFlow's tutorial's `vgg_layers`
    with names on its outputs.

    Args:
        layers: Names such as "block1_conv1"; `VGG19_LAYERS` has them all.
        backbone: "vgg19"; "vgg19-lite", the small network that comes with mnst and gives nearly
            the same outputs; or "auto", which is VGG19 where it can be had.
        weights: Path of VGG19's weights without its top, in either of Keras' formats, or of a
            student's, as `mnst.distill` writes them. None looks where `find_weights` says.
        dtype: What the convolutions compute in. The outputs have it too.

    Returns:
        A model from float32 [B, H, W, 3], RGB, 0..255, to a dict of layer name to
        [B, H', W', N].

    Raises:
        ValueError: If a layer or the backbone is unknown.
        FileNotFoundError: If the weights were named but aren't there.
        WeightsError: If they can't be downloaded or aren't the backbone's.

    Example:
        >>> import mnst
        >>> extractor = mnst.vgg_layers(["block1_conv1", "block4_conv2"], backbone="vgg19-lite")
        >>> features = extractor(mnst.load_image("photo.jpg"))  # doctest: +SKIP
        >>> features["block4_conv2"].shape  # doctest: +SKIP
        TensorShape([1, 64, 54, 512])
    """
    names = check_layers(layers)
    return build_layers(names, fetch_weights(find_weights(weights, backbone=backbone)), dtype)


def build_layers(
    layers: tuple[str, ...], source: WeightsSource, dtype: Literal["float32", "bfloat16"]
) -> keras.Model:
    """Builds what `vgg_layers` returns from weights that `fetch_weights` has found."""
    if source.backbone == "vgg19-lite":
        rgb, outputs = _lite(source.path, dtype)
    else:
        rgb, outputs = vgg19(lambda name, filters: _convolution(name, filters, dtype), dtype)
        # They belong to the whole network: they are matched to its layers by their order.
        _load(keras.Model(rgb, list(outputs.values())), source.path)
    model = keras.Model(rgb, {name: outputs[name] for name in layers}, name=source.backbone)
    model.trainable = False
    return model


def build_surrogate(
    layers: tuple[str, ...],
    source: WeightsSource,
    dtype: Literal["float32", "bfloat16"],
    surrogate: str,
) -> keras.Model | None:
    """Builds the network that takes the steps for the one from `source`; None for itself."""
    if surrogate in ("none", source.backbone):
        return None
    return build_layers(layers, fetch_weights(find_weights(None, backbone=surrogate)), dtype)


def vgg19(
    convolution: Callable[[str, int], Callable[[Any], Any]], dtype: str
) -> tuple[Any, dict[str, Any]]:
    """Builds VGG19 without its top, of any kind of convolution.

    Args:
        convolution: Given a layer's name and its number of channels, makes the layer.
        dtype: What the pools compute in.

    Returns:
        The network's input, RGB in 0..255, and the output of each layer by name.
    """
    # Everything that a user's keras.json could change is said here.
    rgb = keras.Input((None, None, 3), name="rgb", dtype="float32")
    x = keras.ops.flip(rgb, axis=-1) - keras.ops.array(_MEAN_BGR, "float32")
    outputs = {}
    for block, (convolutions, filters) in _BLOCKS.items():
        for i in range(1, convolutions + 1):
            name = f"block{block}_conv{i}"
            x = outputs[name] = convolution(name, filters)(x)
        name = f"block{block}_pool"
        x = outputs[name] = keras.layers.MaxPooling2D(
            2, data_format="channels_last", dtype=dtype, name=name
        )(x)
    return rgb, outputs


def lite_convolution(name: str, filters: int, width: Width | None, dtype: str) -> Any:
    """Makes a convolution of the small network: VGG19's own where `width` is None, else narrow.

    A narrow one goes through fewer channels: 1 x 1 down to `width[0]`, 3 x 3 to `width[1]`, 1 x 1
    and ReLU up to `filters`. There is no ReLU in between, so that the three together are a VGG19
    convolution of low rank, and its outputs lie where VGG19's do.
    """
    if width is None:
        return _convolution(name, filters, dtype)
    reduce, core, widen = (
        _convolution(f"{name}_reduce", width[0], dtype, side=1, linear=True),
        _convolution(f"{name}_core", width[1], dtype, linear=True),
        _convolution(name, filters, dtype, side=1),
    )
    return lambda x: widen(core(reduce(x)))


def _lite(path: Path, dtype: str) -> tuple[Any, dict[str, Any]]:
    """Builds a small network from its file; returns its input and the output of each layer."""
    widths, values = read_lite(path)
    try:
        rgb, outputs = vgg19(
            lambda name, filters: lite_convolution(name, filters, widths[name], dtype), dtype
        )
        for variable in keras.Model(rgb, list(outputs.values())).variables:
            variable.assign(values[variable.path])
    except (KeyError, ValueError):  # a layer is missing, or has another shape
        raise WeightsError(f"{path}: not a network that mnst.distill made") from None
    return rgb, outputs


def _convolution(
    name: str, filters: int, dtype: str, *, side: int = 3, linear: bool = False
) -> Any:
    return keras.layers.Conv2D(
        filters,
        side,
        padding="same",
        activation=None if linear else "relu",
        use_bias=not linear,
        data_format="channels_last",
        dtype=dtype,
        name=name,
    )


def _load(model: keras.Model, path: Path) -> None:
    try:
        model.load_weights(path)
    except Exception as error:  # Keras and h5py raise what they please on a foreign file
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise WeightsError(
            f"{path}: not VGG19's weights without its top ({reason[0]}); get them from "
            f"{VGG19_ADDRESS}"
        ) from None
