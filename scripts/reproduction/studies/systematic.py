"""systematic_tuning: the course's seven steps, each a command, and what each brought."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reproduction.claims import Claim, Verdict, better
from reproduction.numbers import show
from reproduction.study import Run, Study, Then
from reproduction.writing import Writer

if TYPE_CHECKING:
    import pandas as pd

    import hpo

_BROAD, _TPE = "broad", "systematic_tuning"
_REFINED = f"{_TPE}-refined"
_VERDICTS = {"better": Verdict.HOLDS, "worse": Verdict.FAILS, "not shown": Verdict.UNKNOWN}


def _write(page: Writer) -> list[Claim]:
    broad, tpe, refined = (page.result(name) for name in (_BROAD, _TPE, _REFINED))
    confirmed = refined.confirmation
    trials = tpe.trials
    baseline = float(trials["value"].iloc[0])
    saved, rest = _saved(trials)
    page.text(
        f"""{tpe.sweep["data"]["rows"]:,} rows, half of whose 20 numbers say something, and one label in 40 wrong. Each step is one command;
        the searches see the same training and validation rows, and the test rows are looked at once, in the last step."""
    )
    rows: list[list[object]] = [
        ["1. a baseline, trial 0 of each search", f"accuracy {show(baseline)}"],
        [f"2. a broad look: {len(broad.trials)} random trials", _best(broad)],
        [f"3. Bayesian search: {len(trials)} trials of TPE", _best(tpe)],
        ["4. schedules", _by_schedule(trials)],
        [
            "5. early stopping (ASHA)",
            f"{rest} of {len(trials)} trials stopped early, {100 * saved:.0f} % of the epochs saved",
        ],
        [f"6. refinement: {len(refined.trials)} trials in narrower ranges", _best(refined)],
        ["7. the winner, trained again, on test rows", _final(refined)],
    ]
    page.table(["step", "what it brought"], rows)
    page.text(
        """Steps 2, 3 and 6 tell the best of many trials, which luck flatters: the last step alone trains winner and baseline over
        fresh seeds and measures both on rows that chose nothing."""
    )
    with page.plot("systematic_tuning", "the best validation accuracy so far, of each search", height=3.0) as axes:
        for result, words in ((broad, "random search"), (tpe, "TPE"), (refined, "TPE in the refined ranges")):
            best = result.trials["value"].cummax().ffill()
            axes[0].step(range(1, len(best) + 1), best, where="post", label=words)
        axes[0].axhline(baseline, color="gray", linestyle="--", label="baseline")
        axes[0].set_xlabel("trials")
        axes[0].set_ylabel("best validation accuracy so far")
        axes[0].legend(fontsize="small")
    compared = tpe.compare(by="schedule")
    return [
        *(
            Claim(f"a {words} schedule is better than a constant rate", *better(compared, name, "constant"))
            for name, words in (("cosine", "cosine"), ("one_cycle", "one cycle"))
        ),
        Claim(
            "early stopping saves work", Verdict.HOLDS if saved > 0 else Verdict.UNKNOWN,
            f"{rest} of {len(trials)} trials stopped, {100 * saved:.0f} % of the epochs saved; that nothing good was stopped is not shown by that",
        ),
        Claim(
            "the seven steps end with a better network than the baseline",
            Verdict.UNKNOWN if confirmed is None else _VERDICTS[confirmed.verdict], f"{_final(refined)}",
        ),
    ]  # fmt: skip


def _best(result: hpo.Result) -> str:
    return "no trial is complete" if result.best is None else f"accuracy {show(result.best.value)}, the best of them"


def _saved(trials: pd.DataFrame) -> tuple[float, int]:
    """Return the share of the epochs that early stopping saved, and how many trials it stopped."""
    whole = float(trials["epochs"].sum())
    trained = float(trials["epochs_trained"].fillna(0).sum())
    stopped = trials["epochs_trained"].fillna(0) < trials["epochs"]
    return (1 - trained / whole if whole else 0.0), int(stopped.sum())


def _by_schedule(trials: pd.DataFrame) -> str:
    """Return the best accuracy with each schedule."""
    best = trials[trials["state"] == "complete"].groupby("schedule")["value"].max().sort_values(ascending=False)
    return ", ".join(f"{name} {show(value)}" for name, value in best.items()) + ": the best with each"


def _final(refined: hpo.Result) -> str:
    found = refined.confirmation
    if found is None:
        return "not confirmed"
    low, high = found.interval
    return f"{show(found.difference)} ({show(low)} to {show(high)}) {found.metric} above the baseline: {found.verdict}"


# As many trials as `hpo refine` asks for.
_QUICK = ["budget.trials=20", "parameters.epochs.value=2", "data.rows=200", "references=off", "report=false"]

SYSTEMATIC = Study(
    "systematic_tuning",
    "Systematic tuning",
    "the course's seven steps, each a command: what does each bring?",
    [
        Run("systematic_tuning", _BROAD, ["method=random"], _QUICK),
        Run("systematic_tuning", quick=_QUICK),
        Then(["refine", _TPE, "--force"]),
        Then(["sweep", f"{_REFINED}.yaml"]),
        Then(["confirm", _REFINED], ["--top", "1", "--seeds", "2"]),
        Then(["report", _REFINED]),
    ],
    _write,
)
