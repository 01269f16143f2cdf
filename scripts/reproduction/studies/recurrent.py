"""gradient_clipping and memory: when do recurrent networks blow up, and how far back does each cell remember?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reproduction.claims import Claim, Verdict, all_of, better, mean
from reproduction.shares import Share, more, more_often, share_of
from reproduction.study import Run, Study
from reproduction.writing import Writer

if TYPE_CHECKING:
    import pandas as pd

_CELLS = {"rnn": "RNN", "gru": "GRU", "lstm": "LSTM"}
_ALWAYS_1 = 0.41  # the RMSE of a network that always says 1: the root of 1/6
_BLOWN_UP = 1.0  # an RMSE that is worse than any guess between 0 and 2, however wrong
_REMEMBERS = 0.2  # an RMSE of half of that: not to be had without both numbers
_LENGTHS = (10, 25, 50, 100, 200)


def _clipping(page: Writer) -> list[Claim]:
    result = page.result("gradient_clipping")
    trials = result.trials
    data = result.sweep["data"]
    trials = trials.assign(
        clipped=trials["grad_clip_norm"].notna(),
        blown=(trials["state"] != "complete") | ~(trials["val_rmse"] <= _BLOWN_UP),
    )
    rates = sorted(trials["learning_rate"].unique())
    page.text(
        f"""The adding problem: the sum of two marked numbers among {data["length"]}, read one after the other; always saying 1 has an
        RMSE of {_ALWAYS_1}. SGD with momentum 0.9, {trials["epochs"].max()} epochs, {trials["param_seed"].nunique()} seeds a cell, rate
        and clipping (the gradient's norm held to 1, or not). So few updates teach nobody the task; they are enough to blow up: a
        run counts as blown up if its numbers are no longer finite, or its RMSE ends above {_BLOWN_UP:g}."""
    )
    cells = [cell for cell in _CELLS if cell in set(trials["cell"])]
    page.table(
        ["blown up (95 %), by learning rate", *(f"{rate:g}" for rate in rates)],
        [
            [f"{_CELLS[cell]}, {'clipped' if clipped else 'not clipped'}",
             *(str(_blown(trials, cell, clipped, rate)) for rate in rates)]
            for cell in cells for clipped in (False, True)
        ],
    )  # fmt: skip
    with page.plot(
        "gradient_clipping", "share of blown up runs by learning rate", columns=len(cells), height=2.8
    ) as axes:
        for axis, cell in zip(axes, cells, strict=True):
            for index, clipped in enumerate((False, True)):
                shares = [_blown(trials, cell, clipped, rate) for rate in rates]
                heights = [100 * share.won / max(1, share.of) for share in shares]
                axis.errorbar(
                    [rate * (0.96, 1.04)[index] for rate in rates], heights, fmt="os"[index] + "-", capsize=2, markersize=4,
                    yerr=[[max(0.0, height - 100 * share.interval[0]) for height, share in zip(heights, shares, strict=True)],
                          [max(0.0, 100 * share.interval[1] - height) for height, share in zip(heights, shares, strict=True)]],
                    label="norm held to 1" if clipped else "not clipped",
                )  # fmt: skip
            axis.set_xscale("log")
            axis.set_ylim(-4, 104)
            axis.set_title(_CELLS[cell], fontsize="medium")
            axis.set_xlabel("learning rate")
        axes[0].set_ylabel("blown up (% of runs, 95 %)")
        axes[0].legend(fontsize="small")
    return [
        *(_prevents(trials, cell) for cell in cells),
        _steadier(trials),
    ]  # fmt: skip


def _blown(trials: pd.DataFrame, cell: str, clipped: bool | None = None, rate: float | None = None) -> Share:
    chosen = trials[trials["cell"] == cell]
    if clipped is not None:
        chosen = chosen[chosen["clipped"] == clipped]
    if rate is not None:
        chosen = chosen[chosen["learning_rate"] == rate]
    return share_of(chosen["blown"].tolist())


def _flags(trials: pd.DataFrame, cell: str, clipped: bool) -> pd.Series:
    chosen = trials[(trials["cell"] == cell) & (trials["clipped"] == clipped)]
    return chosen.set_index(["learning_rate", "param_seed"])["blown"]


def _prevents(trials: pd.DataFrame, cell: str) -> Claim:
    """In part: where fewer blow up, but some still do."""
    free, clipped = _blown(trials, cell, False), _blown(trials, cell, True)
    verdict, told = more_often(_flags(trials, cell, False), _flags(trials, cell, True))
    if verdict is Verdict.HOLDS and clipped.won:
        verdict = Verdict.PARTLY
    rates = trials["learning_rate"]
    return Claim(
        f"clipping keeps an {_CELLS[cell]} from blowing up", verdict,
        f"Over rates from {rates.min():g} to {rates.max():g}, {free} runs blow up without it, {clipped} with it; {told}",
    )  # fmt: skip


def _steadier(trials: pd.DataFrame) -> Claim:
    rnn, lstm = _blown(trials, "rnn", False), _blown(trials, "lstm", False)
    verdict, told = more_often(_flags(trials, "rnn", False), _flags(trials, "lstm", False))
    evidence = f"Without clipping {rnn} runs of the RNN blow up, {lstm} of the LSTM; {told}"
    return Claim("without clipping a plain RNN explodes more easily than an LSTM", verdict, evidence)


def _memory(page: Writer) -> list[Claim]:
    trials = {length: page.result(f"memory_{length}").trials for length in _LENGTHS}
    first = trials[_LENGTHS[0]]
    data = page.result(f"memory_{_LENGTHS[0]}").sweep["data"]
    updates = -(-int(data["rows"] * 0.6) // int(first["batch_size"].max())) * int(first["epochs"].max())
    page.text(
        f"""The same task at five lengths: one of the two numbers is in the first half, one in the second, so a network must carry the
        first over half of the length in the mean. {first["param_seed"].nunique()} seeds, Adam at {first["learning_rate"].max():g}, clipped,
        {first["hidden_layers"].iloc[0][0]} units, {updates} updates: what is not learned here might be with more. A run remembers
        if its best RMSE is at most {_REMEMBERS:g}; always saying 1 has {_ALWAYS_1}."""
    )
    rows: list[list[object]] = []
    for cell, words in _CELLS.items():
        rows.append(
            [f"{words}: best RMSE, mean (95 %)", *(str(mean(_best(trials[length], cell))) for length in _LENGTHS)]
        )
        rows.append(
            [f"{words}: runs that remember (95 %)", *(str(_remember(trials[length], cell)) for length in _LENGTHS)]
        )
    page.table(["length", *map(str, _LENGTHS)], rows)
    with page.plot("memory", "best RMSE by length of the sequence, for each cell", height=3.0) as axes:
        for index, (cell, words) in enumerate(_CELLS.items()):
            for length in _LENGTHS:
                values = _best(trials[length], cell)
                axes[0].scatter(
                    [length * (0.95, 1.0, 1.05)[index]] * len(values), values, s=10, color=f"C{index}", alpha=0.6
                )
            means = [mean(_best(trials[length], cell)).value for length in _LENGTHS]
            axes[0].plot(_LENGTHS, means, color=f"C{index}", label=f"{words}, mean and runs")
        axes[0].axhline(_ALWAYS_1, color="gray", linestyle="--", label=f"always saying 1: {_ALWAYS_1}")
        axes[0].axhline(_REMEMBERS, color="gray", linestyle=":", label=f"counts as remembering: {_REMEMBERS:g}")
        axes[0].set_xscale("log")
        axes[0].set_xticks(_LENGTHS, [str(length) for length in _LENGTHS])
        axes[0].minorticks_off()
        axes[0].set_ylim(bottom=0)
        axes[0].set_xlabel("length of the sequence (steps)")
        axes[0].set_ylabel("best RMSE")
        axes[0].legend(fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5))
    return [_forgets(trials), *(_further(page, trials, cell) for cell in ("lstm", "gru"))]


def _best(trials: pd.DataFrame, cell: str) -> Any:
    return trials.loc[trials["cell"] == cell, "best_val_rmse"].dropna().tolist()


def _remember(trials: pd.DataFrame, cell: str) -> Share:
    best = trials.loc[trials["cell"] == cell, "best_val_rmse"]
    return share_of((best <= _REMEMBERS).tolist())  # one that diverged at once has none


def _forgets(trials: dict[int, pd.DataFrame]) -> Claim:
    """Vanishing gradients: at the shortest length the RNN learns, at the longest it does not."""
    short, long = (_remember(trials[length], "rnn") for length in (_LENGTHS[0], _LENGTHS[-1]))
    return Claim(
        "a plain RNN does not learn what lies far back: its gradients vanish", more(short, long),
        f"{short} RNNs remember over {_LENGTHS[0]} steps, {long} over {_LENGTHS[-1]} (an RMSE of at most {_REMEMBERS:g})",
    )  # fmt: skip


def _further(page: Writer, trials: dict[int, pd.DataFrame], cell: str) -> Claim:
    """Judged where the plain RNN forgets: at each length at which less than half of its runs remember."""
    text = f"{'an' if cell == 'lstm' else 'a'} {_CELLS[cell]} remembers further back than a plain RNN"
    lengths = [
        length for length in _LENGTHS if 2 * _remember(trials[length], "rnn").won < _remember(trials[length], "rnn").of
    ]
    if not lengths:
        return Claim(text, Verdict.UNKNOWN, "The RNN remembers at each length")
    where = f"cell in ['rnn', '{cell}']"
    judged = {
        length: better(page.result(f"memory_{length}").compare(by="cell", where=where), cell, "rnn")
        for length in lengths
    }
    reach = max((length for length in _LENGTHS if 2 * _remember(trials[length], cell).won >= len(_best(trials[length], cell)) > 0),
                default=None)  # fmt: skip
    told = "; ".join(f"over {length} steps: {words}" for length, (_, words) in judged.items())
    last = "at no length" if reach is None else f"up to {reach} steps"
    return Claim(
        text,
        all_of(verdict for verdict, _ in judged.values()),
        f"At least half of its runs remember {last}. {told[0].upper()}{told[1:]}",
    )


GRADIENT_CLIPPING = Study(
    "gradient_clipping",
    "Exploding gradients",
    "recurrent networks: which learning rates blow up without clipping?",
    [
        Run(
            "gradient_clipping",
            quick=["parameters.seed.max=1", "parameters.epochs.value=1", "data.rows=60", "data.length=10"],
        )
    ],
    _clipping,
)
MEMORY = Study(
    "memory",
    "How far back recurrent networks remember",
    "over how many steps does each kind of cell learn to carry a number?",
    [
        Run(
            "memory",
            f"memory_{length}",
            [f"data.length={length}"],
            [
                "parameters.seed.max=1",
                "parameters.epochs.value=1",
                "data.rows=60",
                f"data.length={max(10, length // 10)}",
            ],
        )
        for length in _LENGTHS
    ],
    _memory,
)
