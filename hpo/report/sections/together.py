"""How parameters go together: what the best trials share, parallel coordinates, and the two most important ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from hpo.ledger.study.records import TrialRecord
from hpo.report.blocks import ReportBlock, ReportPlot, SectionBody
from hpo.report.facts import StudyFacts
from hpo.report.places import ParameterAxis
from hpo.report.plots.contour import contour
from hpo.report.plots.parallel import parallel
from hpo.spec.space import Range, enumerated, show

_AXES = 9
_BEST, _OTHERS = 100, 300  # trials that are drawn
_TOP = 10
_SHARED = 0.8  # of the best trials
_NARROW = 1 / 3  # of a range


def tell(facts: StudyFacts) -> SectionBody | None:
    """Say what the best trials have in common."""
    if len(facts.ranking) < 2 or not facts.axes:
        return None
    top = facts.ranking[:_TOP]
    common = [text for axis in facts.axes[:_AXES] for text in _in_common(axis, top, facts.ranking)]
    who = f"the {len(top)} best trials"
    lead = (
        f"What {who} have in common: {enumerated(common)}." if common else f"{who.capitalize()} have little in common."
    )
    if len(facts.ranking) <= _TOP:
        lead = f"There are {len(top)} {facts.kind} trials: too few to tell good combinations from chance."
    trials = [(record.params, record.value or 0.0) for record in facts.ranking]
    drawn = trials[:_BEST]
    if rest := trials[_BEST:]:
        drawn = drawn + rest[:: -(-len(rest) // _OTHERS)]
    figure = parallel(facts.axes[:_AXES], drawn, facts.metric, facts.sign)
    blocks: list[ReportBlock] = [ReportPlot("parallel-coordinates", figure, lead)]
    if len(drawn) < len(trials):
        blocks.append(
            f"Drawn are the best {_BEST} and {len(drawn) - _BEST} of the other {len(rest):,} trials, evenly by rank."
        )
    if len(facts.axes) > _AXES:
        blocks.append(f"Drawn are {_AXES} of {len(facts.axes):,} parameters, the most important ones.")
    if len(facts.axes) > 1:
        first, second = facts.axes[0], facts.axes[1]
        which = "The two most important parameters" if facts.shares else "The first two parameters"
        if (both := contour((first, second), trials, facts.metric, facts.sign)) is not None:
            blocks.append(
                f"{which}, {first.parameter.name} and {second.parameter.name}: the mean value of the trials around "
                "each place; nothing where none is near. The star is the best trial."
            )
            blocks.append(ReportPlot("contour", both, f"{which} together"))
    return SectionBody(lead, blocks)


def _in_common(axis: ParameterAxis, top: Sequence[TrialRecord], every: Sequence[TrialRecord]) -> Iterator[str]:
    """Yield what most of the best trials have of a parameter, where all trials together don't."""
    name = axis.parameter.name
    having = [record for record in top if name in record.params]
    if len(having) < _SHARED * len(top):
        return
    domain = axis.parameter.domain
    if isinstance(domain, Range):
        places = sorted(place for record in having if (place := axis.place(record.params[name])) is not None)
        if len(places) > 2:
            places = places[1:-1] if len(places) > _TOP * _SHARED else places
            if places[-1] - places[0] < _NARROW:
                yield f"{name} from {axis.value_text(places[0])} to {axis.value_text(places[-1])}"
        return
    (choice, count), *_ = Counter(show(record.params[name]) for record in having).most_common(1)
    share = sum(show(record.params.get(name)) == choice for record in every) / len(every)
    if count >= _SHARED * len(top) and share < _SHARED:
        yield f"{name} {choice} ({count} of {len(top)})"
