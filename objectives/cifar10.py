"""CIFAR-10: a small convolutional network on 32 x 32 pictures of ten classes.

data: {}                   the pictures that `hpo data cifar10` downloaded
      {root: folder}       they lie elsewhere
      {limit: 0.1}         a share (up to 1) or a count of the training pictures, for quick runs; all splits shrink
      {scale: false}       pixels from 0 to 1, instead of each colour standardised
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import hpo

if TYPE_CHECKING:
    import torch
    from torch import nn


PARAMETERS = {
    # A forest, which these go by, takes hours for so many pixels.
    **dict.fromkeys(("suspect_labels", "curriculum")),
    "hidden_layers": None,  # the vocabulary's, for perceptrons; this network has a shape of its own
    "width": hpo.Known("float", 1.0, "factor of the number of channels and units", within="[0.0625, 16]"),
    "batch_norm": hpo.Known("bool", False, "batch normalization after each convolution"),
    "dropout": hpo.Known(
        "float", 0.0, "probability of dropping a unit before the last layer", within="[0, 1)", mixes=True
    ),
    "flip": hpo.Known("bool", False, "mirror half of the training pictures", mixes=True),
    "crop": hpo.Known("bool", False, "shift training pictures by up to 4 pixels", mixes=True),
}


class Cifar10(hpo.TorchTask):
    """Which of ten things does a picture show?"""

    kind = "multiclass"
    parameters = PARAMETERS

    def check_data(self, data: Mapping[str, Any]) -> list[hpo.Fault]:
        return hpo.check_cifar10(data)

    def splits(self, data: Mapping[str, Any]) -> hpo.Splits:
        return hpo.load_cifar10(data)

    def batch(self, x: torch.Tensor, params: Mapping[str, Any], generator: torch.Generator | None) -> torch.Tensor:
        if generator is not None:  # training
            x = hpo.augment_pictures(x, generator, flip=params["flip"], crop=params["crop"])
        return hpo.normalise_cifar10(x)

    def model(self, params: Mapping[str, Any], features: torch.Size, outputs: int) -> nn.Module:
        from torch import nn

        narrow, wide = (max(1, round(channels * params["width"])) for channels in (32, 64))

        def block(channels_in: int, channels_out: int) -> list[nn.Module]:
            norm: list[nn.Module] = [nn.BatchNorm2d(channels_out)] if params["batch_norm"] else []
            convolution = nn.Conv2d(channels_in, channels_out, 3, bias=not norm)  # the norm would take it out again
            return [convolution, *norm, hpo.make_activation(params["activation"])]

        return nn.Sequential(
            *block(3, narrow),  # 32 x 32 -> 30 x 30
            nn.MaxPool2d(2),  # 15 x 15
            *block(narrow, wide),  # 13 x 13
            nn.MaxPool2d(2),  # 6 x 6
            *block(wide, wide),  # 4 x 4
            nn.Flatten(),
            nn.Linear(wide * 4 * 4, wide),
            hpo.make_activation(params["activation"]),
            nn.Dropout(params["dropout"]),
            nn.Linear(wide, outputs),
        )


objective = Cifar10
