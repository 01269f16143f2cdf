"""MLflow's view of a sweep's runs: the columns of the table, its order, and the charts beside it.

It is kept in a tag of the experiment, as MLflow's "share" button keeps one, so it changes no setting of anybody's. The
names in it are those of MLflow 3.17.2's page (RunsChartsCardConfig); a page that knows others draws its own charts.
"""

from __future__ import annotations

import json
from typing import Any

from hpo.ledger.mirror.links import VIEW
from hpo.ledger.mirror.rows import best_point, keys_of, own_key
from hpo.ledger.study.records import SweepRecord

VIEW_TAG = f"mlflow.sharedViewState.{VIEW}"
KIND_TAG = ("mlflow.experimentKind", "custom_model_development")  # its menus are those for machine learning
_LONGEST = 5_000  # characters of an experiment's tag
_MOST_COLUMNS = 6
_MOST_AXES = 8
_SECTION = "hpo-sweep"


def table_view(sweep: SweepRecord) -> str:
    """Return the view in which a sweep reads best: the best trials first, with what varies; charts of the best
    value so far (where the sweep's own run is made visible), of the best trials' learning curves, and of all values."""
    parameters = sweep.config["parameters"]
    keys = keys_of(parameters)
    searched = [keys[name] for name, domain in parameters.items() if domain["type"] != "constant"]
    metric, value = keys_of([sweep.metric])[sweep.metric], own_key("value")
    columns = [f"metrics.`{metric}`", f"metrics.`{value}`", "tags.`hpo.state`"]
    columns += [f"params.`{key}`" for key in searched[:_MOST_COLUMNS]]
    view: dict[str, Any] = {"selectedColumns": columns, "orderByKey": f"metrics.`{value}`"}
    view |= {"orderByAsc": sweep.goal == "minimize"}
    whole = json.dumps(view | _charts(sweep, metric, value, searched[:_MOST_AXES]))
    return whole if len(whole) <= _LONGEST else json.dumps(view)


def _charts(sweep: SweepRecord, metric: str, value: str, searched: list[str]) -> dict[str, Any]:
    best = best_point(sweep, 0, 0.0, 0.0).key
    cards: list[dict[str, Any]] = [
        {"type": "LINE", "metricKey": best, "displayName": f"Best {metric} so far, over trials"},
        {"type": "LINE", "metricKey": metric, "displayName": f"{metric} of the first runs of the table, over epochs"},
        {"type": "BAR", "metricKey": value, "displayName": f"{metric}, the value that counts"},
    ]
    for card in cards[:2]:
        card |= {"selectedMetricKeys": [card["metricKey"]], "xAxisKey": "step", "yAxisKey": "metric"}
        card |= {"lineSmoothness": 0, "scaleType": "linear", "xAxisScaleType": "linear", "useGlobalXaxisKey": True}
        card |= {"range": {}, "yAxisExpressions": [], "selectedXAxisMetricKey": "", "useGlobalLineSmoothing": True}
    if searched:
        cards.append(
            {"type": "PARALLEL", "selectedParams": searched, "selectedMetrics": [value], "showAllRuns": True}
            | {"displayName": "Configurations and their values"}
        )
    common = {"runsCountToCompare": 10, "metricSectionId": _SECTION, "deleted": False, "isGenerated": False}
    charts = [{**common, "uuid": f"hpo-{number}", **card} for number, card in enumerate(cards)]
    section = {"uuid": _SECTION, "name": "The sweep", "display": True, "isReordered": True}
    return {"compareRunCharts": charts, "compareRunSections": [section], "isAccordionReordered": True}
