"""Models that were built once, copied for the trials that build the same.

Most trials of a sweep differ in nothing that shapes their model, and constructing it layer by layer takes longer than
drawing its weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any

from hpo.lazy import lazy_import

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
else:
    torch = lazy_import("torch")

_MOST = 256  # templates: a dropout rate that is searched makes one for each trial
_NAMES = (
    "Sequential Identity Flatten Linear Conv1d Conv2d Conv3d BatchNorm1d BatchNorm2d BatchNorm3d Dropout Dropout1d "
    "Dropout2d Dropout3d MaxPool1d MaxPool2d AvgPool1d AvgPool2d AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveMaxPool2d "
    "ReLU LeakyReLU PReLU ELU SELU GELU SiLU Mish Softplus Tanh Sigmoid"
)
_LAYERS = frozenset(_NAMES.split())
"""Layers of torch.nn that are nothing but their type, plain settings, and tensors that an initializer fills anew."""
_PLAIN = (bool, int, float, str, type(None))
_templates: dict[Hashable, nn.Module] = {}


def built(key: Hashable, build: Callable[[], nn.Module]) -> nn.Module:
    """Return what `build` returns, bit for bit: the model itself the first time, then a copy whose first weights are
    drawn as its layers' constructors draw them, from PyTorch's global generator.

    key: all that the model depends on but PyTorch's default type.
    """
    key = key, torch.get_default_dtype()
    template = _templates.get(key)
    if template is not None:
        return _drawn(copied(template))
    model = build()
    if is_plain(model):
        if len(_templates) >= _MOST:
            _templates.clear()
        _templates[key] = copied(model, hollow=True)  # not the model itself, with which its trial does what it likes
    return model


def _drawn(model: nn.Module) -> nn.Module:
    """Give a copy's tensors the values that they have after construction."""
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.Linear):
                # Its reset_parameters, without torch.nn.init's ways, which take most of the time.
                fan = module.weight.shape[1]
                bound = math.sqrt(3.0) * (torch.nn.init.calculate_gain("leaky_relu", math.sqrt(5)) / math.sqrt(fan))
                module.weight.uniform_(-bound, bound)
                if module.bias is not None:
                    module.bias.uniform_(-1 / math.sqrt(fan), 1 / math.sqrt(fan))
            elif isinstance(
                module, torch.nn.PReLU | torch.nn.modules.conv._ConvNd | torch.nn.modules.batchnorm._BatchNorm
            ):
                module.reset_parameters()
    return model


def is_plain(model: nn.Module) -> bool:
    """Whether a model consists of known layers alone, none of them there twice, changed or watched."""
    modules = [module for _, module in model.named_modules(remove_duplicate=False)]
    tensors = [each for module in modules for name in ("_parameters", "_buffers") for each in _values(module, name)]
    once = len({id(each) for each in modules}) == len(modules) and len({id(each) for each in tensors}) == len(tensors)
    usual = all(tensor.device.type == "cpu" and tensor.is_contiguous() for tensor in tensors)
    return once and usual and all(map(_is_plain_layer, modules))


def copied(model: nn.Module, hollow: bool = False) -> nn.Module:
    """Return a copy of a plain model, with tensors of its own whose values are without meaning. hollow: they take no
    memory, and can't be written to."""
    module = object.__new__(type(model))
    own = vars(module)
    for name, value in vars(model).items():
        own[name] = type(value)() if isinstance(value, dict) else value  # hooks: there are none
    for name, parameter in model._parameters.items():
        own["_parameters"][name] = None if parameter is None else _like(parameter, hollow)
    for name, buffer in model._buffers.items():
        own["_buffers"][name] = None if buffer is None else _empty(buffer, hollow)
    own["_non_persistent_buffers_set"] = set(model._non_persistent_buffers_set)
    for name, child in model._modules.items():
        own["_modules"][name] = copied(child, hollow) if child is not None else None
    return module


def _like(parameter: nn.Parameter, hollow: bool) -> nn.Parameter:
    return torch.nn.Parameter(_empty(parameter, hollow), parameter.requires_grad)


def _empty(tensor: Tensor, hollow: bool) -> Tensor:
    if hollow:
        return torch.zeros((), dtype=tensor.dtype).expand(tensor.shape)
    return torch.empty(tensor.shape, dtype=tensor.dtype)


def _is_plain_layer(module: nn.Module) -> bool:
    from hpo.training.layers import Fork, ProjectedShortcut, Residual, Shortcut, SqueezeLast  # loads Torch

    kind = type(module)
    own_kinds = (SqueezeLast, Residual, Fork, Shortcut, ProjectedShortcut)
    if kind not in own_kinds and (kind.__module__.partition(".")[0] != "torch" or kind.__name__ not in _LAYERS):
        return False
    own = {name: value for name, value in vars(module).items() if name not in _TENSORS}
    return all(not value if isinstance(value, dict | set) else _is_setting(value) for value in own.values())


_TENSORS = frozenset({"_parameters", "_buffers", "_modules"})


def _is_setting(value: Any) -> bool:
    return all(map(_is_setting, value)) if type(value) in (tuple, list) else type(value) in _PLAIN


def _values(module: nn.Module, name: str) -> list[Any]:
    return [value for value in vars(module)[name].values() if value is not None]
