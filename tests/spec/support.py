"""What tests of the spec share."""

from __future__ import annotations

from collections.abc import Callable

from hpo.spec.sweep import Sweep

from .toy import TOY

Load = Callable[..., Sweep]
Faults = Callable[..., list[str]]
METRIC = "metric: {name: val_accuracy}\n"


def entry_faults(faults: Faults, *entries: str) -> list[str]:
    """The faults of a `parameters` section with these entries, from line 3 on, without `parameters.`."""
    text = METRIC + "parameters:\n" + "".join(f"  {entry}\n" for entry in entries)
    return [fault.replace(" parameters.", " ") for fault in faults(text, contract=TOY)]
