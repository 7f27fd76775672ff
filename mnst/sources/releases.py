"""What is published, and under which addresses: one table of all that mnst downloads.

An address stands here only if it has been seen elsewhere: in Keras' and TensorFlow's own code, or
in that of people who use it. Where nobody publishes a hash, there is none.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mnst import images
from mnst.errors import WeightsError, calls_within_mnst
from mnst.sources import hubs


@dataclass(frozen=True)
class Release:
    """A model that is published in one or in several places.

    Attributes:
        title: What messages call it.
        addresses: Where it is, in the order in which they are asked: http(s), hf:// or kaggle://.
        digest: Of its file, as "md5:..." or "sha256:..." in hex; None where nobody says.
    """

    title: str
    addresses: tuple[str, ...]
    digest: str | None = None

    def fetch(self, download: Callable[[str], Path], ending: str) -> Path:
        """Returns where the model lies, from the first address that has it.

        A warning says that one has failed, and which is asked instead.

        Args:
            download: Fetches from an http(s) address, and checks what came; raises a DownloadError.
            ending: Of its file's name; see `hubs.fetch`.

        Raises:
            WeightsError: If all have failed; the message says why each did.
        """
        failed: list[tuple[str, str]] = []
        for address in self.addresses:
            if failed:
                last, reason = failed[-1]
                warnings.warn(
                    f"{self.title} can't be had from {images.describe(last)} ({reason}); "
                    f"{images.describe(address)} is asked",
                    stacklevel=1 + calls_within_mnst(),
                )
            try:
                if not hubs.is_hub_address(address):
                    return download(address)
                place = hubs.fetch(address, ending)
                self.check(address, functools.partial(images.file_digest, place))
                return place
            except images.DownloadError as error:
                failed.append((address, error.reason))
        reasons = [reason for _, reason in failed]
        if len(failed) > 1:
            reasons = [f"{reason}, from {images.describe(address)}" for address, reason in failed]
        raise WeightsError(f"{self.title} can't be downloaded ({'; '.join(reasons)})")

    def check(self, address: str, digest_by: Callable[[str], str]) -> None:
        """Raises a DownloadError if what came from an address is another file.

        Args:
            address: Where it came from.
            digest_by: Gives the file's digest, in hex, by an algorithm's name.
        """
        algorithm, _, expected = (self.digest or "").partition(":")
        if self.digest is not None and digest_by(algorithm) != expected:
            raise images.DownloadError(address, "what came is another file, by its hash")


def release_at(address: str) -> Release:
    """Returns the release that is asked for by its first address, or one that has only this."""
    known = (release for release in RELEASES.values() if release.addresses[0] == address)
    return next(known, Release(images.describe(address), (address,)))


def _keras_applications(name: str, md5: str) -> Release:
    """A network's weights without its top: where Keras has them, and where Keras 2.0 had them."""
    file = f"{name}_weights_tf_dim_ordering_tf_kernels_notop.h5"
    return Release(
        f"{name.upper()}'s weights",
        (
            f"https://storage.googleapis.com/tensorflow/keras-applications/{name}/{file}",
            f"https://github.com/fchollet/deep-learning-models/releases/download/v0.1/{file}",
        ),
        f"md5:{md5}",
    )


def _deeplab(*addresses: str, digest: str | None = None) -> Release:
    return Release(addresses[0], addresses, digest)


TENSORFLOW_HUB = "https://tfhub.dev/"
_SAYAK = f"{TENSORFLOW_HUB}sayakpaul/lite-model/deeplabv3"
_SAYAK_KAGGLE = "kaggle://spsayakpaul/deeplabv3-mobilenetv2/tfLite"
_EDGE_TPU = f"{TENSORFLOW_HUB}google/edgetpu/vision/deeplab-edgetpu/default_argmax"

RELEASES = {
    "vgg19": _keras_applications("vgg19", "253f8cb515780f3b799900260a226db6"),
    "vgg16": _keras_applications("vgg16", "6d6bbae143d832006294945121d1f1fc"),
    "deeplabv3-mobilenetv2": _deeplab(
        f"{_SAYAK}-mobilenetv2/1/default/1", f"{_SAYAK_KAGGLE}/default"
    ),
    # Not from TensorFlow Hub, whose addresses lead to Kaggle now: users report HTTP 403 from there.
    "deeplabv3-mobilenetv2-quant": _deeplab(
        "https://raw.githubusercontent.com/google-coral/test_data/"
        "104342d2d3480b3e66203073dac24f4e2dbb4c41/deeplabv3_mnv2_pascal_quant.tflite",
        digest="sha256:350af47fd346ea6d74b58833a351f583ba860e9806ec5bd292ff8d8f1f249398",
    ),
    "deeplabv3": _deeplab(
        f"{TENSORFLOW_HUB}tensorflow/lite-model/deeplabv3/1/metadata/2",
        "kaggle://tensorflow/deeplabv3/tfLite/metadata/2",
    ),
    "deeplabv3-mobilenetv2-dm05": _deeplab(
        f"{_SAYAK}-mobilenetv2_dm05/1/default/2", f"{_SAYAK_KAGGLE}/dm05"
    ),
    "deeplabv3-mobilenetv2-dm05-int8": _deeplab(
        f"{_SAYAK}-mobilenetv2_dm05-int8/1/default/2", f"{_SAYAK_KAGGLE}/dm05-int8"
    ),
    "deeplabv3-xception65": _deeplab(f"{_SAYAK}-xception65/1/default/2"),
    "deeplab-edgetpu-xs": _deeplab(f"{_EDGE_TPU}/xs/1"),
    "deeplab-edgetpu-s": _deeplab(f"{_EDGE_TPU}/s/1"),
    "deeplab-edgetpu-m": _deeplab(
        f"{_EDGE_TPU}/m/1", "kaggle://google/deeplab-edgetpu/tensorFlow2/default-argmax-m/1"
    ),
}
"""Releases by name."""
