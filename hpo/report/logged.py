"""A report in MLflow: among the artefacts of its sweep's run, where that can be written now."""

from __future__ import annotations

from collections.abc import Mapping

from hpo.ledger.mirror.aside import carry_out
from hpo.ledger.mirror.health import ailment_of
from hpo.ledger.sharing.ownership import owned
from hpo.ledger.study.home import Home
from hpo.ledger.study.restored import sweep_record_of
from hpo.ledger.study.urls import masked
from hpo.review.studies import RecordedStudy
from hpo.review.ui_web import why_silent, without_credentials
from hpo.spec.faults import UserError


def log_report(home: Home, study: RecordedStudy, files: Mapping[str, bytes]) -> str:
    """Put the files of a report, by their paths, among the artefacts of the sweep's run; those of an earlier one are
    replaced. Returns why MLflow does not have them now, "" if it has."""
    if not study.attributes.get("mlflow_run_id"):
        return "MLflow has no run of this study yet"
    try:
        home.prepare()
        with owned(home, study.sweep, study.storage, to_look=True):  # who runs it writes its runs, and nobody else
            if reason := _out_of_reach(home):
                return reason
            record = sweep_record_of(study.name, study.attributes, 0.0)
            notices = carry_out(home, [("describe", record, dict(files))])
    except UserError as error:
        return str(error)
    return notices[0].text if notices else ""


def _out_of_reach(home: Home) -> str:
    """Return why MLflow can't be written, as far as that shows without loading it; "" if nothing is known."""
    if (ailment := ailment_of(home, thorough=False)) is not None:
        return ailment.text
    tracking = without_credentials(home.tracking or "")
    if tracking.startswith(("http://", "https://")) and (silent := why_silent(tracking)):
        return f"the server {masked(tracking)} does not answer: {silent}"
    return ""
