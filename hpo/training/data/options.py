"""The settings in a sweep file's `data` section, described and checked like hyperparameters: by `Known`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hpo.spec.contract import Known
from hpo.spec.faults import Fault, did_you_mean


def check_options(data: Mapping[str, Any], options: Mapping[str, Known]) -> list[Fault]:
    """Return a fault for each key of `data` that is not in `options`, and for each value that its option forbids."""
    faults = [
        Fault(f"unknown key {key!r}", (str(key),), remedy=did_you_mean(str(key), options))
        for key in data
        if key not in options
    ]
    for key, known in options.items():
        objection = known.objection(data[key]) if key in data else ""
        if objection:
            close = did_you_mean(str(data[key]), known.choices) if known.kind == "choice" else ""
            faults.append(Fault(objection, (key,), remedy=close if close.startswith("did you") else ""))
        for other, values in known.requires.items() if key in data else ():
            found = data.get(other, options[other].default)
            if found not in values and not options[other].objection(found):
                told = " or ".join(map(str, values))
                faults.append(Fault(f"{key!r} belongs to {other}: {told}", (key,), remedy=f"leave {key} out"))
    return faults


def fill_options(data: Mapping[str, Any], options: Mapping[str, Known]) -> dict[str, Any]:
    """Return the value of every option: what `data` says, else the option's default."""
    return {key: data.get(key, known.default) for key, known in options.items()}
