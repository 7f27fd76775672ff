"""The same network, losses and optimiser in PyTorch, as one would write them there."""

import warnings

import numpy as np
import torch

import mnst
from mnst.networks import BACKBONES

ARTICLE = mnst.ARTICLE
ADAM = ARTICLE.optimizer
LAYERS = BACKBONES["vgg19"].layers
LAYERS = LAYERS[: max(map(LAYERS.index, ARTICLE.layers)) + 1]
MEAN_BGR = (103.939, 116.779, 123.68)

# Else a first step would find what one before it has compiled.
torch.compiler.config.force_disable_caches = True
warnings.filterwarnings("ignore", message="dynamo_pgo force disabled")


class VGG19(torch.nn.Module):
    """From RGB, [B, 3, H, W], to a dict of layer name to output; `weights` is a file of arrays."""

    def __init__(self, weights, dtype):
        super().__init__()
        self.dtype = dtype
        self.register_buffer("mean", torch.tensor(MEAN_BGR)[:, None, None])
        self.layers = torch.nn.ModuleDict()
        with np.load(weights) as arrays:
            for name in LAYERS:
                if name.endswith("pool"):
                    self.layers[name] = torch.nn.MaxPool2d(2)
                else:
                    kernel, bias = (torch.from_numpy(arrays[f"{name}/{k}"]) for k in (0, 1))
                    self.layers[name] = convolution(kernel, bias, dtype)

    def forward(self, image):
        x = (image.flip(1) - self.mean).to(self.dtype)
        outputs = {}
        for name, layer in self.layers.items():
            x = layer(x)
            if name in ARTICLE.layers:
                outputs[name] = x
        return outputs


def convolution(kernel, bias, dtype):
    """Makes a convolution and its ReLU from Keras' arrays, [3, 3, I, O] and [O]."""
    layer = torch.nn.Conv2d(*kernel.shape[2:], 3, padding=1, dtype=dtype)
    layer.weight.data.copy_(kernel.permute(3, 2, 0, 1))
    layer.bias.data.copy_(bias)
    return torch.nn.Sequential(layer, torch.nn.ReLU(inplace=True))


def gram_matrix(features):
    flat = features.float().flatten(2)
    return flat @ flat.transpose(1, 2)


def grams_as_large(features, like):
    """Returns a style's Gram matrices, brought to the photo's number of positions."""
    return {
        layer: gram_matrix(features[layer])
        * (like[layer][0, 0].numel() / features[layer][0, 0].numel())
        for layer, _ in ARTICLE.style.layers
    }


class PyTorch:
    """Paints a photo, [1, H, W, 3]; styles have equal shares."""

    def __init__(self, photo, styles, *, weights, precision="float32", compiled=False):
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        network = VGG19(weights, getattr(torch, precision)).requires_grad_(False)
        self.network = network.to(self.device, memory_format=torch.channels_last)
        image = self.tensor(photo)
        with torch.no_grad():
            of_photo = self.network(image)
            self.content_targets = {
                layer: of_photo[layer].float() for layer, _ in ARTICLE.content.layers
            }
            self.style_targets = [
                grams_as_large(self.network(self.tensor(style)), of_photo) for style in styles
            ]
        self.image = image.requires_grad_()
        self.optimizer = torch.optim.Adam(
            [self.image],
            lr=ADAM.learning_rate,
            betas=(ADAM.beta_1, ADAM.beta_2),
            eps=ADAM.epsilon,
        )
        self.schedule = torch.optim.lr_scheduler.ExponentialLR(
            self.optimizer, gamma=ADAM.decay_rate ** (1 / ADAM.decay_steps)
        )
        self.loss = torch.compile(self.total_loss) if compiled else self.total_loss

    def tensor(self, photo):
        image = torch.from_numpy(np.array(photo)).permute(0, 3, 1, 2).to(self.device)
        return image.contiguous(memory_format=torch.channels_last)

    def total_loss(self, image):
        features = self.network(image)
        grams = {layer: gram_matrix(features[layer]) for layer, _ in ARTICLE.style.layers}
        content = sum(
            weight * (features[layer].float() - self.content_targets[layer]).square().mean()
            for layer, weight in ARTICLE.content.layers
        )
        style = sum(
            weight * (grams[layer] - targets[layer]).square().mean()
            for targets in self.style_targets
            for layer, weight in ARTICLE.style.layers
        )
        return ARTICLE.alpha * content + ARTICLE.beta / len(self.style_targets) * style

    def step(self) -> float:
        """Takes a step; returns the total loss of the picture before it."""
        self.optimizer.zero_grad()
        loss = self.loss(self.image)
        loss.backward()
        self.optimizer.step()
        self.schedule.step()
        with torch.no_grad():
            self.image.clamp_(0, 255)
        return loss.item()

    def picture(self):
        return self.image.detach().permute(0, 2, 3, 1).cpu().numpy().copy()
