"""What `health: true` has measured, as pictures: activations and gradients by layer, learning rates by steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpo.diagnosis.figures import Figure, by_figure, figure_of, metric_of
from hpo.ledger.study.diagnosed import curves_of, health_at_its_end
from hpo.ledger.study.records import record_of, reported
from hpo.report.blocks import ReportBlock, ReportPlot
from hpo.report.facts import Curve, StudyFacts
from hpo.report.plots.layers import LayerPanel, TrialKind, by_layer, learning_rates
from hpo.report.sections.curves import thinned
from hpo.spec.space import counted

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

_MOST = 60  # trials that are drawn beside the best one
_BY_LAYER: Mapping[Figure, str] = {"activation_norm": "activation norms", "gradient_norm": "gradient norms"}
_MOMENTS = {"first": 0, "last": -1}
_RATE = metric_of("", "learning_rate")
_ILL = {"vanishing gradient", "exploding gradient"}


@dataclass(frozen=True)
class _Seen:
    """What was measured of one trial. rates: by steps."""

    number: int
    kind: TrialKind
    figures: Mapping[Figure, Mapping[str, Sequence[float]]]
    rates: Curve


def blocks_of(facts: StudyFacts) -> list[ReportBlock]:
    """Return the pictures and what they show; none of a study that lacks the figures, as older ones do."""
    layers = _pictures(facts, lambda name: figure_of(name) == "activation_norm", _by_layer)
    return [*layers, *_pictures(facts, lambda name: name == _RATE, _rates)]


def _pictures(
    facts: StudyFacts, is_figure: Callable[[str], bool], told: Callable[[Sequence[_Seen]], list[ReportBlock]]
) -> list[ReportBlock]:
    having = [trial for trial in facts.study.trials if any(is_figure(name) for name in _names(trial))]
    if not having:
        return []
    best = facts.best.number if facts.best is not None else None
    drawn = thinned([trial for trial in having if trial.number != best], _MOST)
    drawn += [trial for trial in having if trial.number == best]
    seen = [_seen(trial, trial.number == best) for trial in drawn]
    blocks = told(seen)
    if len(drawn) < len(having):
        blocks.append(f"Of {counted(len(having), 'trial')} {len(drawn):,} are looked at here, evenly thinned.")
    return blocks


def _names(trial: FrozenTrial) -> list[str]:
    """Return the metrics that a trial reported."""
    return [*reported(trial)[1], *health_at_its_end(record_of(trial, history=False))]


def _seen(trial: FrozenTrial, is_best: bool) -> _Seen:
    record = record_of(trial)
    found = {each.name for each in record.diagnoses or ()}
    kind: TrialKind = "diverged" if record.diverged is not None else "ill" if found & _ILL else "others"
    steps = [step for step in sorted(record.steps) if _RATE in record.steps[step]]
    rates = steps, [record.steps[step][_RATE] for step in steps]
    return _Seen(trial.number, "best" if is_best else kind, by_figure(curves_of(record)), rates)


def _by_layer(seen: Sequence[_Seen]) -> list[ReportBlock]:
    panels = []
    longer = any(len(values) > 1 for each in seen for layers in each.figures.values() for values in layers.values())
    for when, place in _MOMENTS.items() if longer else [("first", 0)]:
        for figure, name in _BY_LAYER.items():
            lines: dict[TrialKind, list[Mapping[str, float]]] = {}
            for each in seen:
                if layers := each.figures[figure]:
                    its = {layer: values[place] for layer, values in layers.items()}
                    lines.setdefault(each.kind, []).append(its)
            if lines:
                panels.append(LayerPanel(f"{name}, {when} measured", lines))
    says = "An activation norm is the root mean square of what a layer hands on."
    says += "".join(_of_best(each) for each in seen if each.kind == "best")
    return [says, ReportPlot("layers", by_layer(panels), says)]


def _of_best(best: _Seen) -> str:
    """Say how the figures change from the first layer to the last."""
    parts = []
    for figure, name in _BY_LAYER.items():
        if len(layers := list(best.figures[figure].items())) > 1:
            (first, near), (last, far) = layers[0], layers[-1]
            parts.append(f"{name} go from {near[-1]:.2g} (layer {first}) to {far[-1]:.2g} (layer {last})")
    return f" When last measured, the best trial's {', its '.join(parts)}." if parts else ""


def _rates(seen: Sequence[_Seen]) -> list[ReportBlock]:
    curves: dict[TrialKind, list[Curve]] = {}
    for each in seen:
        if each.rates[0]:
            curves.setdefault(each.kind, []).append(each.rates)
    changing = sum(len(set(values)) > 1 for several in curves.values() for _, values in several)
    if not changing:
        return [f"Of {counted(len(seen), 'trial')} each kept its learning rate to the end."]
    says = f"The learning rate changed in {changing:,} of {counted(len(seen), 'trial')}."
    for steps, values in curves.get("best", ()):
        says += f" The best trial's was {values[0]:.2g} at step {steps[0]}, and {values[-1]:.2g} at step {steps[-1]}."
    return [says, ReportPlot("learning-rates", learning_rates(curves), says)]
