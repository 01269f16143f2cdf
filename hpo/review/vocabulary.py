"""The page of all choices and hyperparameters of Torch tasks, written from the registries so that it stays true."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hpo.spec.contract import Known
from hpo.spec.space import show
from hpo.training.contract import LOOP_PARAMETERS
from hpo.training.models import MODEL_PARAMETERS, RECURRENT_PARAMETERS
from hpo.training.vocabulary.activations import ACTIVATIONS
from hpo.training.vocabulary.initializers import INITIALIZERS
from hpo.training.vocabulary.labels import CURRICULA, SUSPECT_LABELS
from hpo.training.vocabulary.losses import LOSSES
from hpo.training.vocabulary.metrics import METRICS
from hpo.training.vocabulary.optimizers import OPTIMIZERS
from hpo.training.vocabulary.registry import Registry
from hpo.training.vocabulary.schedules import SCHEDULES
from hpo.training.vocabulary.targets import OUTLIERS, TARGET_TRANSFORMS

_HEAD = """# Vocabulary

Every choice and hyperparameter that a Torch task understands, besides its own. Written by `scripts/vocabulary`.
A hyperparameter with `only for` is an error where it is active otherwise. A default of `-` is PyTorch's own.
"""


def vocabulary_page() -> str:
    """Return the page as Markdown."""
    parts = [_HEAD]
    registries: list[tuple[str, Registry[Any]]]
    registries = [("Optimizers", OPTIMIZERS), ("Activations", ACTIVATIONS)]
    registries += [(f"Losses: {kind}", registry) for kind, registry in LOSSES.items()]
    registries += [("Schedules", SCHEDULES), ("Initializers", INITIALIZERS)]
    registries += [
        ("Outliers in regression targets", OUTLIERS),
        ("Transforms of regression targets", TARGET_TRANSFORMS),
        ("Doubtful labels", SUSPECT_LABELS),
        ("Order of rows", CURRICULA),
    ]
    for title, registry in registries:
        aliases = "".join(f" `{alias}` is `{name}`." for alias, name in registry.aliases.items())
        parts.append(f"\n## {title}\n{_table(registry.known())}{aliases and chr(10) + aliases.strip() + chr(10)}")
    parts.append(f"\n## Training\n{_table(LOOP_PARAMETERS)}")
    parts.append(f"\n## Networks (`hpo.mlp`)\n{_table(MODEL_PARAMETERS)}")
    own = {name: known for name, known in RECURRENT_PARAMETERS.items() if known is not None}
    parts.append(f"\n## Networks (`hpo.recurrent`)\n\nIn place of those of `hpo.mlp`.\n{_table(own)}")
    parts.append(
        "\n## Metrics\n\nEach epoch, with `train_` (over the epoch's batches as they were trained) and `val_`.\n\n"
    )
    parts += [f"- {kind}: {', '.join(f'`{name}`' for name in metrics)}\n" for kind, metrics in METRICS.items()]
    return "".join(parts)


def _table(parameters: Mapping[str, Known]) -> str:
    lines = ["", "| hyperparameter | default | values | |", "| --- | --- | --- | --- |"]
    for name, known in parameters.items():
        default = "-" if known.default is None else f"`{show(known.default)}`"
        for others in known.default_where.values():
            default += "".join(f", `{show(value)}` for `{choice}`" for choice, value in others.items())
        help_text = "" if known.kind == "choice" and not known.requires else known.help
        lines.append(f"| `{name}` | {default} | {_values(known)} | {help_text}{_only_for(known)} |")
    return "\n".join(lines) + "\n"


def _values(known: Known) -> str:
    if known.kind == "choice":
        return " ".join(f"`{choice}`" for choice in known.choices)
    if known.kind in ("bool", "layers"):
        return {"bool": "`true` `false`", "layers": "a list of widths, or a count"}[known.kind]
    return f"{known.kind} in {known.within}" + (", or null" if known.nullable else "")


def _only_for(known: Known) -> str:
    texts = []
    for other, allowed in known.requires.items():
        numbers = all(isinstance(value, int) for value in allowed)
        texts.append("a count of layers" if numbers else ", ".join(f"`{value}`" for value in allowed))
        texts[-1] = f" (only for {other}: {texts[-1]})"
    return "".join(texts)
