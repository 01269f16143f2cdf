"""How to get the same again: commands, versions, and what the study recorded of code and data."""

from __future__ import annotations

import shlex

from hpo.report.blocks import ReportCode, ReportTable, SectionBody
from hpo.report.facts import StudyFacts
from hpo.review.studies import name_option
from hpo.review.summary import home_options
from hpo.spec.yaml_text import dump_source


def tell(facts: StudyFacts) -> SectionBody:
    """Say which commands do it, and on what the numbers depend."""
    study, attributes = facts.study, facts.study.attributes
    option, name = home_options(facts.home), shlex.quote(facts.study.name)
    origin = attributes.get("origin", {})
    commands = []
    if facts.best is not None:
        commands += [
            "# a sweep file of the best configuration; it again, with the same seed",
            f"hpo best {name} --format yaml{option} > best.yaml",
            "hpo sweep best.yaml",
        ]
        if facts.confirmation is None:
            commands += ["# is it really better than the baseline?", f"hpo confirm {name}{option}"]
    file = shlex.quote(str(origin.get("source", "")) or "FILE")
    commands += [
        "# on with the sweep; with another --home the whole again",
        " ".join(["hpo sweep", file, *name_option(study.name, attributes)]) + option,
    ]
    rows = [("objective", str(attributes.get("objective", "")))]
    rows += [("commit of the code", str(origin["commit"]))] if origin.get("commit") else []
    rows += [("data", ", ".join(f"{key}: {value}" for key, value in study.config.get("data", {}).items()) or "-")]
    rows += [("SHA-256 of the data", digest)] if (digest := _digest(facts)) else []
    rows += [("notes on the data", note) for note in attributes.get("data_notes", ())]
    rows += [("seed", str(study.config.get("seed", "")))]
    rows += [("MLflow run", str(attributes["mlflow_run_id"]))] if attributes.get("mlflow_run_id") else []
    rows += [("version of " + package, version) for package, version in origin.get("versions", {}).items()]
    lead = "A trial is a pure function of objective, parameters, seed, data and epochs: with these it comes out again."
    if not origin:
        lead += " This study has no record of the versions and the code that it was made with."
    return SectionBody(
        lead,
        [
            ReportCode("\n".join(commands)),
            ReportTable(("what", "as the study recorded it"), rows),
            ReportCode(study.sweep.text or "(the study has no copy of it)", "The sweep file"),
            ReportCode(dump_source(study.config), "The sweep with every default filled in"),
        ],
    )


def _digest(facts: StudyFacts) -> str:
    """Return the digest of the rows that references were measured on, or of the test rows of the confirmation."""
    if facts.study.references is not None and facts.study.references.data:
        return facts.study.references.data
    return facts.confirmation.measure.data if facts.confirmation is not None else ""
