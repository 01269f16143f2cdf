"""label_noise: some training labels are wrong. Count suspected ones less, learn the easy rows first, or neither?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reproduction.claims import Claim, all_of, better, mean
from reproduction.numbers import show
from reproduction.study import Run, Study
from reproduction.writing import Writer

if TYPE_CHECKING:
    import pandas as pd

_SHARES = (0, 0.1, 0.2)
_WAYS = {  # suspect_labels, curriculum: in words
    ("none", "none"): "plain training",
    ("downweight", "none"): "suspected labels count less",
    ("none", "easy_first"): "easy rows first",
    ("downweight", "easy_first"): "both",
}


def _name(share: float) -> str:
    return f"label_noise_{share}"


def _write(page: Writer) -> list[Claim]:
    trials = {share: page.result(_name(share)).trials for share in _SHARES}
    first = trials[_SHARES[0]]
    page.text(
        f"""The same rows three times, with {_listed()} of the training labels turned round; validation labels are right, so the
        accuracy says what was learned of the truth. A random forest says of each training row that it has not seen how probable its
        label is. Plain training is set beside one without the rows whose label it takes for wrong (`suspect_labels:
        downweight`), beside a curriculum that begins with the half whose labels are the most probable and takes in the others
        little by little (`curriculum: easy_first`), and beside both, over {first["param_seed"].nunique()} seeds each."""
    )
    columns = [f"{100 * share:.0f} % turned round" for share in _SHARES]
    page.table(
        ["validation accuracy after the last epoch", *columns],
        [
            [words, *(str(mean(_of(trials[share], way)["val_accuracy"])) for share in _SHARES)]
            for way, words in _WAYS.items()
        ],
    )
    with page.plot(
        "label_noise", "accuracy by epoch with a fifth of the labels wrong; and by share", columns=2
    ) as axes:
        result = page.result(_name(_SHARES[-1]))
        curves = result.curves.merge(result.trials[["number", "suspect_labels", "curriculum"]], on="number")
        for index, (way, words) in enumerate(_WAYS.items()):
            course = _of(curves, way).groupby("step")["val_accuracy"].agg(["mean", "std"])
            axes[0].plot(course.index, course["mean"], color=f"C{index}", label=words)
            means = [mean(_of(trials[share], way)["val_accuracy"]) for share in _SHARES]
            axes[1].errorbar(
                [100 * share + 0.3 * (index - 1.5) for share in _SHARES], [each.value for each in means],
                yerr=[[each.value - each.low for each in means], [each.high - each.value for each in means]],
                fmt="o-", markersize=4, capsize=2, color=f"C{index}",
            )  # fmt: skip
        axes[0].set_xlabel("epoch")
        axes[0].set_ylabel("validation accuracy (mean over seeds)")
        axes[0].set_title(f"{100 * _SHARES[-1]:.0f} % of the labels turned round", fontsize="medium")
        axes[0].legend(fontsize="small")
        axes[1].set_xlabel("training labels turned round (%)")
        axes[1].set_ylabel("validation accuracy (mean, 95 %)")
        axes[1].set_title("after the last epoch", fontsize="medium")
    plain = {share: _of(trials[share], ("none", "none")) for share in _SHARES}
    lost = ", ".join(
        f"{show(mean(each['best_val_accuracy']).value)} at its best epoch and {show(mean(each['val_accuracy']).value)} "
        f"at the last with {100 * share:.0f} %"
        for share, each in plain.items()
    )
    page.text(f"How much plain training loses by going on: it has {lost} of the labels turned round.")
    return [
        _claim(page, "counting suspected labels less helps where labels are wrong", "suspect_labels", "downweight"),
        _claim(page, "learning easy examples first helps where labels are wrong", "curriculum", "easy_first"),
    ]


def _listed() -> str:
    return ", ".join(f"{100 * share:.0f}" for share in _SHARES[:-1]) + f" and {100 * _SHARES[-1]:.0f} %"


def _of(frame: pd.DataFrame, way: tuple[str, str]) -> pd.DataFrame:
    return frame[(frame["suspect_labels"] == way[0]) & (frame["curriculum"] == way[1])]


def _claim(page: Writer, text: str, by: str, choice: str) -> Claim:
    """Judge a way against plain training, at each share of wrong labels; what it does without any is told, too."""
    other = "curriculum" if by == "suspect_labels" else "suspect_labels"
    judged = {
        share: better(page.result(_name(share)).compare(by=by, where=f"{other} == 'none'"), choice, "none")
        for share in _SHARES
    }
    evidence = "; ".join(f"at {100 * share:.0f} %: {words}" for share, (_, words) in judged.items())
    return Claim(
        text, all_of(verdict for share, (verdict, _) in judged.items() if share), f"Each by itself, {evidence}"
    )


LABEL_NOISE = Study(
    "label_noise",
    "Wrong labels",
    "do weights or a curriculum help where some training labels are wrong?",
    [
        Run(
            "label_noise",
            _name(share),
            [f"data.label_noise={share}"],
            ["parameters.seed.max=1", "parameters.epochs.value=2", "data.rows=200"],
        )
        for share in _SHARES
    ],
    _write,
)
