"""Models that were built once, copied for the trials that would build the same.

Most trials of a sweep differ in nothing that shapes their model, and building it takes longer than drawing its weights.
Which hyperparameters a task's `model` reads is seen when it is called: where they are the same, so is the model.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from hpo.lazy import lazy_import
from hpo.training.task import TorchTask

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
else:
    torch = lazy_import("torch")

_MOST = 256  # templates of one task: a dropout rate that is searched makes one for each trial
_NAMES = (
    "Sequential Identity Flatten Linear Conv1d Conv2d Conv3d BatchNorm1d BatchNorm2d BatchNorm3d Dropout Dropout1d "
    "Dropout2d Dropout3d MaxPool1d MaxPool2d AvgPool1d AvgPool2d AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveMaxPool2d "
    "ReLU LeakyReLU PReLU ELU SELU GELU SiLU Mish Softplus Tanh Sigmoid"
)
_LAYERS = frozenset(_NAMES.split())
"""Layers of torch.nn that are nothing but their type, plain settings, and tensors that an initializer fills anew."""
_PLAIN = (bool, int, float, str, type(None))

Key = tuple[str, ...]
Facts = tuple[Any, ...]  # what a model depends on besides hyperparameters


class Templates:
    """What the models of one task look like, by what they depend on."""

    def __init__(self) -> None:
        self._by_names: dict[tuple[Facts, Key], dict[Key, nn.Module]] = {}
        self._count = 0

    def find(self, facts: Facts, params: Mapping[str, Any]) -> nn.Module | None:
        """Return the template of a model that would come out the same."""
        for (its, names), found in self._by_names.items():
            if its == facts and (template := found.get(tuple(_shown(params, name) for name in names))) is not None:
                return template
        return None

    def add(self, facts: Facts, read: Mapping[str, str], model: nn.Module) -> None:
        """Keep a model as a template. read: the hyperparameters that it depends on."""
        if self._count >= _MOST:
            self._by_names, self._count = {}, 0
        names = tuple(read)
        self._by_names.setdefault((facts, names), {})[tuple(read[name] for name in names)] = model
        self._count += 1


_templates: WeakKeyDictionary[TorchTask, Templates] = WeakKeyDictionary()


def model_of(
    task: TorchTask, params: dict[str, Any], features: torch.Size, outputs: int, build: Callable[[Any], nn.Module]
) -> nn.Module:
    """Return what `build(params)` returns, the task's model, or a copy of one that is the same but for its weights.

    These are without meaning in a copy: an initializer has to draw them.
    """
    try:
        known = _templates.setdefault(task, Templates())
    except TypeError:  # it can't be looked up
        return build(params)
    facts = (tuple(features), outputs, torch.get_default_dtype())
    template = known.find(facts, params)
    if template is not None:
        return copied(template)
    reading = _Reading(params)
    model = build(reading)
    if reading.changed:
        params.clear()
        params.update(dict.items(reading))
    elif not reading.all and is_plain(model):
        known.add(facts, reading.read, copied(model, hollow=True))
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
    from hpo.training.layers import SqueezeLast  # loads Torch

    kind = type(module)
    if kind is not SqueezeLast and (kind.__module__.partition(".")[0] != "torch" or kind.__name__ not in _LAYERS):
        return False
    own = {name: value for name, value in vars(module).items() if name not in _TENSORS}
    return all(not value if isinstance(value, dict | set) else _is_setting(value) for value in own.values())


_TENSORS = frozenset({"_parameters", "_buffers", "_modules"})


def _is_setting(value: Any) -> bool:
    return all(map(_is_setting, value)) if type(value) in (tuple, list) else type(value) in _PLAIN


def _values(module: nn.Module, name: str) -> list[Any]:
    return [value for value in vars(module)[name].values() if value is not None]


def _shown(params: Mapping[str, Any], name: str) -> str:
    return repr(params[name]) if name in params else ""


class _Reading(dict[str, Any]):
    """Hyperparameters that note which of them are read, and what stood there.

    all: whether they were read in a way that depends on all of them. changed: whether something was written.
    """

    def __init__(self, params: Mapping[str, Any]) -> None:
        super().__init__(params)
        self.read: OrderedDict[str, str] = OrderedDict()
        self.all = self.changed = False

    def _note(self, name: Any) -> None:
        if name not in self.read:
            self.read[name] = repr(dict.__getitem__(self, name)) if dict.__contains__(self, name) else ""

    def __getitem__(self, name: str) -> Any:
        self._note(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        self._note(name)
        return super().get(name, default)

    def __contains__(self, name: object) -> bool:
        self._note(name)
        return super().__contains__(name)

    def __iter__(self) -> Iterator[str]:
        self.all = True
        return super().__iter__()


def _noting(name: str, changes: bool) -> Callable[..., Any]:
    method = getattr(dict, name)

    def call(self: _Reading, *given: Any, **named: Any) -> Any:
        self.all, self.changed = True, self.changed or changes
        return method(self, *given, **named)

    return call


for _name in ("__len__", "__eq__", "__ne__", "__or__", "__ror__", "__repr__", "__reversed__"):
    setattr(_Reading, _name, _noting(_name, changes=False))
for _name in ("keys", "values", "items", "copy"):
    setattr(_Reading, _name, _noting(_name, changes=False))
for _name in ("__setitem__", "__delitem__", "__ior__", "clear", "pop", "popitem", "setdefault", "update"):
    setattr(_Reading, _name, _noting(_name, changes=True))
