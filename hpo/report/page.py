"""The report as one HTML page that needs nothing besides itself: no script, no font, no picture from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.resources import files

from hpo.ledger.study.provenance import hpo_version
from hpo.report.blocks import ReportPlot, SectionBody, html_of, shown_prose, shown_text
from hpo.report.contents import SECTIONS, ReportSection
from hpo.report.drawing import drawing, png_of, svg_of
from hpo.report.facts import StudyFacts

# A browser then loads nothing, whatever a name in the study may look like.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def rendered(facts: StudyFacts) -> tuple[str, dict[str, bytes]]:
    """Return the page, and its plots as PNG files by their names."""
    with drawing():
        told = [(section, body) for section in SECTIONS if (body := section.tell(facts)) is not None]
        pictures = {plot.name: png_of(plot.figure) for _, body in told for plot in body.plots()}
        page = _page(facts, told)
    return page, {f"{name}.png": content for name, content in pictures.items()}


def _page(facts: StudyFacts, told: Sequence[tuple[ReportSection, SectionBody]]) -> str:
    name, style = shown_text(facts.study.name), files("hpo.report").joinpath("style.css").read_text(encoding="utf-8")
    moment = datetime.fromtimestamp(facts.moment, UTC).astimezone().strftime("%Y-%m-%d %H:%M %Z")
    goal = f"{facts.study.sweep.metric.goal} {facts.metric}"
    description = str(facts.study.attributes.get("origin", {}).get("description", ""))
    links = "".join(f'<a href="#{section.slug}">{shown_text(section.title)}</a>' for section, _ in told[1:])
    again = shown_text(facts.command("report"))
    lines = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark"><link rel="icon" href="data:,">',
        f"<title>{name}: report</title>",
        f"<style>\n{style}</style></head><body>",
        f"<header><h1>{name}</h1><p class=about>{shown_text(goal)}; {shown_text(moment)}</p>",
        f"<p>{shown_text(description)}</p></header>" if description else "</header>",
        *(_section(section, body) for section, body in told[:1]),
        f"<nav>{links}</nav>",
        *(_section(section, body) for section, body in told[1:]),
        f"<footer>Written by hpo {shown_text(hpo_version())}: <code>{again}</code> writes it anew.</footer>",
        "</body></html>",
    ]
    return "\n".join(lines) + "\n"


def _section(section: ReportSection, body: SectionBody) -> str:
    lines = [
        f'<section id="{section.slug}"><h2>{shown_text(section.title)}</h2>',
        f"<p class=lead>{shown_prose(body.lead)}</p>",
        *(html_of(block, _svg) for block in body.blocks),
        "</section>",
    ]
    return "\n".join(lines)


def _svg(plot: ReportPlot) -> str:
    return svg_of(plot.figure, plot.name)
