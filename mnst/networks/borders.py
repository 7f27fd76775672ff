"""Networks that see a picture without the zeros that a convolution puts around it."""

from __future__ import annotations

from typing import Any, Literal

from mnst.backend import keras

KEEPS_OR_HALVES = (
    "it may have convolutions of odd kernels that keep the size, and max-pools that halve it"
)


def with_borders(model: keras.Model, borders: Literal["wrap", "mirror"]) -> keras.Model:
    """Returns a model whose convolutions are given something else than zeros beyond the borders.

    With "wrap" that is what lies at the opposite border: the picture goes on in all directions,
    repeating itself. Where its sides are multiples of the deepest layer's cell, no position knows
    where it begins, and of a picture that is rolled by whole cells all features are rolled. With
    "mirror" it is what lies at this border, mirrored: a picture that has borders shows none.

    Args:
        model: Of convolutions and pools as VGG19 has them, such as one from `mnst.vgg_layers`. It
            shares its layers with the new one.
        borders: "wrap" or "mirror".

    Raises:
        ValueError: If it has other layers.

    Example:
        >>> import mnst, numpy as np
        >>> from mnst.networks.borders import with_borders
        >>> vgg19 = mnst.vgg_layers(["block1_conv1"], backbone="vgg19-lite")
        >>> extractor = with_borders(vgg19, "wrap")
        >>> picture = np.random.default_rng(0).uniform(0, 255, (1, 8, 8, 3)).astype("float32")
        >>> seen, rolled = (
        ...     extractor(each)["block1_conv1"] for each in (picture, np.roll(picture, 3, axis=2))
        ... )
        >>> np.allclose(np.roll(seen, 3, axis=2), rolled, atol=1e-3)
        True
    """
    for layer in model.layers:
        if not keeps_or_halves(layer):
            raise ValueError(f"the model can't be seamless at {layer.name!r}: {KEEPS_OR_HALVES}")

    def call(layer: Any, features: Any, *others: Any, **options: Any) -> Any:
        if not isinstance(layer, keras.layers.Conv2D):
            return layer(features, *others, **options)
        rows, columns = (side // 2 for side in layer.kernel_size)
        seen = layer(_around(features, rows, columns, borders))
        return seen[:, rows : -rows or None, columns : -columns or None]

    # Not a clone, but the same layers, called in another way.
    return keras.models.clone_model(model, clone_function=lambda layer: layer, call_function=call)


def keeps_or_halves(layer: Any) -> bool:
    """Whether a layer is one of VGG's: what a position sees lies evenly around it."""
    if isinstance(layer, keras.layers.Conv2D):
        same = layer.padding == "same" and layer.strides == layer.dilation_rate == (1, 1)
        return bool(same and all(side % 2 for side in layer.kernel_size))
    if isinstance(layer, keras.layers.MaxPooling2D):
        return bool(layer.padding == "valid" and layer.pool_size == layer.strides == (2, 2))
    return isinstance(layer, keras.layers.InputLayer)


def _around(features: Any, rows: int, columns: int, borders: str) -> Any:
    """Returns a map, [B, H, W, N], with so many rows and columns around it."""
    for axis, reach in ((1, rows), (2, columns)):
        if reach:
            along = (slice(None),) * axis
            before, behind = (
                features[(*along, slice(-reach, None))],
                features[(*along, slice(reach))],
            )
            if borders == "mirror":
                before, behind = keras.ops.flip(behind, axis), keras.ops.flip(before, axis)
            features = keras.ops.concatenate([before, features, behind], axis=axis)
    return features
