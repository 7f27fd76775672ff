"""VGG19 as a feature extractor: a Keras model that gives the outputs of any of its layers."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mnst.weights import VGG19_ADDRESS, WeightsError, fetch_weights, find_weights

if TYPE_CHECKING:
    import keras

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
        >>> from mnst.features import minimum_side
        >>> minimum_side(["block1_conv1", "block5_conv2"])
        16
    """
    pools = VGG19_LAYERS[: VGG19_LAYERS.index(check_layers(layers)[-1]) + 1]
    return int(2 ** sum(name.endswith("pool") for name in pools))


def vgg_layers(
    layers: Iterable[str],
    *,
    weights: str | os.PathLike[str] | None = None,
    dtype: Literal["float32", "bfloat16"] = "float32",
) -> keras.Model:
    """Builds a Keras model that gives the outputs of some of VGG19's layers.

    The model ends behind the deepest of them, its weights are frozen, and the preprocessing (RGB
    to BGR, minus ImageNet's mean colour) is inside. It is TensorFlow's tutorial's `vgg_layers`
    with names on its outputs.

    Args:
        layers: Names such as "block1_conv1"; `VGG19_LAYERS` has them all.
        weights: Path of VGG19's weights without its top, in either of Keras' formats. None looks
            where `find_weights` says.
        dtype: What the convolutions compute in. The outputs have it too.

    Returns:
        A model from float32 [B, H, W, 3], RGB, 0..255, to a dict of layer name to
        [B, H', W', N].

    Raises:
        ValueError: If a layer is unknown.
        FileNotFoundError: If the weights were named but aren't there.
        WeightsError: If they can't be downloaded or aren't VGG19's.

    Example:
        >>> import mnst
        >>> extractor = mnst.vgg_layers(["block1_conv1", "block4_conv2"])  # doctest: +SKIP
        >>> features = extractor(mnst.load_image("photo.jpg"))  # doctest: +SKIP
        >>> features["block4_conv2"].shape  # doctest: +SKIP
        TensorShape([1, 64, 54, 512])
    """
    names = check_layers(layers)
    path = fetch_weights(find_weights(weights))
    from mnst._tensorflow import keras

    rgb, outputs = _vgg19(dtype)
    # The weights belong to the whole network: they are matched to its layers by their order.
    _load(keras.Model(rgb, list(outputs.values())), path)
    model = keras.Model(rgb, {name: outputs[name] for name in names}, name="vgg19")
    model.trainable = False
    return model


def _vgg19(dtype: str) -> tuple[Any, dict[str, Any]]:
    """Builds VGG19 without its top; returns its input and the output of each layer by name."""
    from mnst._tensorflow import keras

    # Everything that a user's keras.json could change is said here.
    rgb = keras.Input((None, None, 3), name="rgb", dtype="float32")
    x = keras.ops.flip(rgb, axis=-1) - keras.ops.array(_MEAN_BGR, "float32")
    outputs = {}
    for block, (convolutions, filters) in _BLOCKS.items():
        for i in range(1, convolutions + 1):
            name = f"block{block}_conv{i}"
            x = outputs[name] = keras.layers.Conv2D(
                filters,
                3,
                padding="same",
                activation="relu",
                data_format="channels_last",
                dtype=dtype,
                name=name,
            )(x)
        name = f"block{block}_pool"
        x = outputs[name] = keras.layers.MaxPooling2D(
            2, data_format="channels_last", dtype=dtype, name=name
        )(x)
    return rgb, outputs


def _load(model: keras.Model, path: Path) -> None:
    try:
        model.load_weights(path)
    except Exception as error:  # Keras and h5py raise what they please on a foreign file
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise WeightsError(
            f"{path}: not VGG19's weights without its top ({reason[0]}); get them from "
            f"{VGG19_ADDRESS}"
        ) from None
