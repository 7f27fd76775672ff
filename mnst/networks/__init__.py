"""Networks that measure pictures: VGG19, VGG16, vgg19-lite or one's own, and their weights.

`mnst.networks.distillation` makes networks like `vgg19-lite`.
"""

from mnst.networks.backbones import (
    BACKBONES,
    VGG16,
    VGG19,
    VGG19_LITE,
    get_backbone,
    vgg_layers,
)
from mnst.networks.lite import LITE_WIDTHS
from mnst.networks.models import KerasBackbone
from mnst.networks.vgg import VGG
from mnst.networks.weights import Backbone, KerasFile, WeightsSource

__all__ = [
    "BACKBONES",
    "LITE_WIDTHS",
    "VGG",
    "VGG16",
    "VGG19",
    "VGG19_LITE",
    "Backbone",
    "KerasBackbone",
    "KerasFile",
    "WeightsSource",
    "get_backbone",
    "vgg_layers",
]
