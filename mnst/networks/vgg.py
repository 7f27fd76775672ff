"""Networks of VGG's kind: blocks of 3 x 3 convolutions, each with a max-pool behind it."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from mnst.backend import keras
from mnst.checks import shown
from mnst.errors import WeightsError
from mnst.networks.lite import Width, read_lite
from mnst.networks.weights import KerasFile, LiteFile, WeightsSource, ending_of
from mnst.sources.hubs import check_place


@dataclass(frozen=True)
class VGG:
    """A network of VGG's kind, as configuration; a `Backbone`.

    Attributes:
        name: What it is asked for by.
        blocks: Number of convolutions and their channels, for each block.
        weights: Where its weights come from.
        widths: Channels of its narrow convolutions, by name, with None for one that isn't narrow.
            None for a network that has no narrow ones.
        mean: Colour that is subtracted first, in the order in which VGG was trained, BGR. Without
            another it is ImageNet's.
        fallback: Takes its place where its weights can't be downloaded.
    """

    name: str
    blocks: tuple[tuple[int, int], ...]
    weights: KerasFile | LiteFile
    widths: Mapping[str, Width | None] | None = dataclasses.field(default=None, hash=False)
    mean: tuple[float, float, float] = (103.939, 116.779, 123.68)
    fallback: VGG | None = None
    precision: ClassVar[None] = None

    @property
    def convolutions(self) -> tuple[str, ...]:
        """Names of its convolutions, first to last."""
        return tuple(name for name in self.layers if "conv" in name)

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of its layers, first to last, as Keras has them."""
        return tuple(
            f"block{block}_{layer}"
            for block, (convolutions, _) in enumerate(self.blocks, start=1)
            for layer in (*(f"conv{i}" for i in range(1, convolutions + 1)), "pool")
        )

    @property
    def activations(self) -> float:
        """See `Backbone`.

        What is between the three parts of a narrow convolution need not be held: they are linear.
        """
        return sum(
            (convolutions + 1 / 4) * channels / 4.0**block
            for block, (convolutions, channels) in enumerate(self.blocks)
        )

    def channels(self, name: str) -> int:
        """See `Backbone`.

        Example:
            >>> from mnst.networks import get_backbone
            >>> get_backbone("vgg19").channels("block3_conv1")
            256
        """
        (layer,) = self.check_layers([name])
        return self.blocks[int(layer[len("block")]) - 1][1]

    def check_layers(self, names: Iterable[str]) -> tuple[str, ...]:
        """See `Backbone`.

        Example:
            >>> from mnst.networks import get_backbone
            >>> get_backbone("vgg16").check_layers(["block2_conv1", "block1_pool"])
            ('block1_pool', 'block2_conv1')
        """
        first, *_, last, last_pool = self.layers
        return select_layers(
            names,
            self.layers,
            f"{self.weights.network} has no layer",
            f"give names such as {first} to {last}, or block1_pool to {last_pool}",
        )

    def minimum_side(self, names: Iterable[str]) -> int:
        """See `Backbone`; each of the pools halves the picture and drops an odd row or column.

        Example:
            >>> from mnst.networks import get_backbone
            >>> get_backbone("vgg19").minimum_side(["block1_conv1", "block5_conv2"])
            16
        """
        through = self.layers[: self.layers.index(self.check_layers(names)[-1]) + 1]
        return int(2 ** sum(name.endswith("pool") for name in through))

    def find_weights(self, weights: str | os.PathLike[str] | None = None) -> WeightsSource:
        """Says which weights would be used, without loading or downloading anything.

        Of weights that Keras publishes the first of these is taken: the argument, what the
        environment variable names, Keras' cache, a download. A file that was named but isn't
        there is an error, never a reason to look further.

        Args:
            weights: Path of the network's weights without its top, as Keras saves them (`.h5`); of
                a small network's, as `mnst.distill` saves them (`.npz`); the address of such a file
                on Hugging Face or Kaggle; or None.

        Raises:
            ValueError: If the file is another network's, by its ending, or the address is none.
            TypeError: If `weights` is no path.
            FileNotFoundError: If a named file isn't there.

        Example:
            >>> from mnst.networks import get_backbone
            >>> get_backbone("vgg19-lite").find_weights().origin
            'embedded'
        """
        place = None if weights is None else check_place("weights", weights)
        small = place is not None and ending_of(place) == ".npz"
        if small and self.fallback is not None:
            return self.fallback.find_weights(place)
        if place is not None and small != (self.widths is not None):
            raise ValueError(
                f"weights is {Path(place).name}, but backbone is {self.name!r}: Keras' weights "
                f"end in .h5, those of mnst.distill in .npz"
            )
        source = self.weights.find(dataclasses.replace(self, fallback=None), place)
        fallback = None if self.fallback is None else self.fallback.find_weights()
        return dataclasses.replace(source, fallback=fallback)

    def build(self, path: Path | None, layers: tuple[str, ...], dtype: str) -> keras.Model:
        """See `Backbone`; the model ends behind the deepest of the layers, and is frozen."""
        assert path is not None  # which it isn't in a source that comes from `find_weights`
        rgb, outputs = self._load(path, dtype)
        model = keras.Model(rgb, {name: outputs[name] for name in layers}, name=self.name)
        model.trainable = False
        return model

    def _load(self, path: Path, dtype: str) -> tuple[Any, dict[str, Any]]:
        """Returns what `network` does, with the weights of the file."""
        if isinstance(self.weights, KerasFile):
            rgb, outputs = self.network(dtype)
            try:
                # They belong to the whole network: they are matched to its layers by their order.
                keras.Model(rgb, list(outputs.values())).load_weights(path)
            except Exception as error:  # Keras and h5py raise what they please on a foreign file
                reason = str(error).strip().splitlines() or [type(error).__name__]
                raise WeightsError(
                    f"{path}: not {self.weights.network}'s weights without its top ({reason[0]}); "
                    f"get them from {self.weights.address}"
                ) from None
            return rgb, outputs
        widths, values = read_lite(path)
        try:
            rgb, outputs = self.network(dtype, widths)
            for variable in keras.Model(rgb, list(outputs.values())).variables:
                variable.assign(values[variable.path])
        except (KeyError, ValueError):  # a layer is missing, or has another shape
            raise WeightsError(f"{path}: not a network that mnst.distill made") from None
        return rgb, outputs

    def network(
        self, dtype: str, widths: Mapping[str, Width | None] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Returns the whole network without weights: its input, and each layer's output by name.

        Args:
            dtype: What it computes in; the input is float32, RGB, 0..255.
            widths: Of its convolutions, where some are narrow.
        """
        # Everything that a user's keras.json could change is said here.
        rgb = keras.Input((None, None, 3), name="rgb", dtype="float32")
        x = keras.ops.flip(rgb, axis=-1) - keras.ops.array(self.mean, "float32")
        outputs = {}
        for block, (convolutions, channels) in enumerate(self.blocks, start=1):
            for i in range(1, convolutions + 1):
                name = f"block{block}_conv{i}"
                width = None if widths is None else widths[name]
                for layer in _convolutions(name, channels, width, dtype):
                    x = layer(x)
                outputs[name] = x
            name = f"block{block}_pool"
            x = outputs[name] = keras.layers.MaxPooling2D(
                2, data_format="channels_last", dtype=dtype, name=name
            )(x)
        return rgb, outputs


def select_layers(
    names: Iterable[str], known: Iterable[str], has_none: str, advice: str
) -> tuple[str, ...]:
    """Returns those of the known layers that are named, in their order.

    Raises:
        ValueError: If one is unknown, or there is none.
    """
    try:
        wanted, known = set([names] if isinstance(names, str) else names), tuple(known)
    except TypeError:
        raise ValueError(f"layers is {shown(names)}: give a list of names") from None
    if unknown := sorted(map(shown, wanted.difference(known))):
        raise ValueError(f"{has_none} {unknown[0]}: {advice}")
    if not wanted:
        raise ValueError(f"no layer was named: give at least one, such as {known[0]}")
    return tuple(name for name in known if name in wanted)


def _convolutions(name: str, channels: int, width: Width | None, dtype: str) -> list[Any]:
    """Makes a convolution: VGG's own where `width` is None, else a narrow one, which is three.

    It goes through fewer channels: 1 x 1 down to `width[0]`, 3 x 3 to `width[1]`, 1 x 1 and ReLU up
    to `channels`. There is no ReLU in between, so that the three together are a convolution of low
    rank, and its outputs lie where VGG's do.
    """
    layer = functools.partial(
        keras.layers.Conv2D, padding="same", data_format="channels_last", dtype=dtype
    )
    if width is None:
        return [layer(channels, 3, activation="relu", name=name)]
    return [
        layer(width[0], 1, use_bias=False, name=f"{name}_reduce"),
        layer(width[1], 3, use_bias=False, name=f"{name}_core"),
        layer(channels, 1, activation="relu", name=name),
    ]
