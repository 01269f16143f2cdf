"""Scripts that run an Optuna study of their own when they are imported for their objective: each worker would, too."""

from __future__ import annotations

import ast
from pathlib import Path

from hpo.objective.code_text import at_import, parsed


def own_study(path: Path) -> int | None:
    """Return the line of a file in which importing it runs `study.optimize(...)` of Optuna; None if there is none."""
    if b"optuna" not in path.read_bytes() or (tree := parsed(path)) is None:
        return None
    calls = (node for node in at_import(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute))
    for call in calls:
        given = call.args or any(keyword.arg == "func" for keyword in call.keywords)
        if isinstance(call.func, ast.Attribute) and call.func.attr == "optimize" and given:
            return call.lineno
    return None
