"""The first page of `hpo ui`: the studies, how each stands, its best value, and where the two UIs show it.

Plain HTML, made at each request, with nothing to load and no script; it is served beside the Optuna dashboard, whose
storage it shares, so that a large journal is read once.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from typing import Any

from hpo.ledger.mirror.links import OPEN, Where, link_to
from hpo.review.studies import StudyLine
from hpo.review.ui_links import Pages, asked_in
from hpo.review.ui_notes import Command
from hpo.review.ui_origin import Wsgi
from hpo.spec.space import show

Lines = Callable[[], Sequence[StudyLine]]
_STYLE = """
:root { color-scheme: light dark; --line: #8884; --quiet: #767676; --accent: light-dark(#0b5cad, #7ab8ff); }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 1360px; padding: 1.5rem 1rem; }
h1 { font-size: 1.4rem; margin: 0 0 .2rem; }
p { color: var(--quiet); margin: 0 0 1.2rem; overflow-wrap: anywhere; }
a { color: var(--accent); text-decoration: none; }
a:hover, a:focus { text-decoration: underline; }
table { border-collapse: collapse; width: 100%; }
th { color: var(--quiet); font-size: .8rem; font-weight: 600; text-align: left; }
th, td { border-bottom: 1px solid var(--line); padding: .5rem .7rem .5rem 0; vertical-align: top; }
td:first-child { font-weight: 600; min-width: 9rem; overflow-wrap: break-word; }
td.below { font-weight: 400; padding-left: 1.2rem; }
small { color: var(--quiet); display: block; font-weight: 400; }
small code { overflow-wrap: anywhere; }
.goes-on td { border-bottom: none; padding-bottom: 0; }
.number { font-variant-numeric: tabular-nums; white-space: nowrap; }
.links a { margin-right: .8rem; white-space: nowrap; }
td.latest { min-width: 6rem; }
.running { color: light-dark(#0a7a2f, #5fd38a); }
@media (max-width: 900px) { th, td { padding-right: .4rem; } .links a { margin-right: .4rem; } }
@media (min-width: 1200px) { .links, .latest { white-space: nowrap; } }
"""
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><link rel="icon" href="data:,"><style>{style}</style></head>
<body>{body}</body></html>
"""
# Nothing is loaded, run or sent from this page. Each answer gets a list of its own: the server adds to it.
_HEADERS = [
    ("Content-Type", "text/html; charset=utf-8"),
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; img-src data:"),
]


def with_landing(dashboard: Wsgi, lines: Lines, pages: Pages, where: str, command: Command) -> Wsgi:
    """Return the dashboard's application with the first page at `/` and the links' addresses at `/hpo/open`.

    lines: returns the studies as they are now. where: what to say of where they are. command: how `hpo` is called for
    them.
    """

    def asked(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if environ.get("REQUEST_METHOD") not in ("GET", "HEAD") or path not in ("", "/", OPEN):
            return dashboard(environ, start_response)
        if path != OPEN:
            start_response("200 OK", list(_HEADERS))
            return [_landing(lines(), bool(pages.mlflow), where, command).encode("utf-8", "replace")]
        return _lead(pages, environ, start_response)

    return asked


def _lead(pages: Pages, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    wanted = asked_in(environ.get("QUERY_STRING", ""))
    place, fault = pages.find(wanted) if wanted is not None else ("", "This link asks for nothing that hpo ui has.")
    if not fault:
        start_response("302 Found", [("Location", place), ("Cache-Control", "no-store")])
        return []
    start_response("404 Not Found", list(_HEADERS))
    body = f'<h1>There is no such page</h1><p>{html.escape(fault)}</p><a href="/">All studies</a>'
    return [_page("hpo: there is no such page", body).encode("utf-8", "replace")]


def _page(title: str, body: str) -> str:
    return _PAGE.format(title=html.escape(title), style=_STYLE, body=body)


def _landing(lines: Sequence[StudyLine], mlflow: bool, where: str, command: Command) -> str:
    rows = "\n".join(_row(line, mlflow, command) for line in lines)
    heads = "".join(f"<th>{head}</th>" for head in ("study", "state", "best", "trials", "latest", "open"))
    table = f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
    if not lines:
        table = "<p>No study yet: run <code>hpo sweep search_spaces/binary.yaml</code></p>"
    return _page("hpo: studies", f"<h1>Studies</h1><p>{html.escape(where)}</p>{table}")


def _row(line: StudyLine, mlflow: bool, command: Command) -> str:
    text = html.escape
    confirms = f"<small>confirms {text(line.confirms)}</small>" if line.confirms else ""
    goal = f"{line.goal} {line.metric}" if line.goal else line.metric
    about = "" if line.confirms else f"<small>{text(goal)}</small>"
    nothing = line.best is None or bool(line.confirms)  # the best of a confirmation means nothing
    best = "-" if nothing else f"{text(show(line.best))}<small>trial {line.best_trial}</small>"
    links = [(link_to("dashboard", line.name), "Optuna dashboard")]
    if mlflow and line.ours:
        pages: tuple[tuple[Where, str], ...] = (("mlflow", "MLflow"), ("runs", "runs"), ("charts", "charts"))
        links += [(link_to(where, line.name), name) for where, name in pages]
    counts = asdict(line.counts)
    trials = ", ".join(f"{count:,}&nbsp;{kind}" for kind, count in counts.items() if count) or "none"
    go_on = command(*line.go_on) if line.open and line.go_on else ""
    below = f'<tr><td colspan="6"><small>go on: <code>{text(go_on)}</code></small></td></tr>' if go_on else ""
    row = f'<tr id="{text(line.name)}" class="goes-on">' if go_on else f'<tr id="{text(line.name)}">'
    places = " ".join(f'<a href="{text(place)}">{name}</a>' for place, name in links)
    return (
        f'{row}<td class="{"below" if line.confirms else ""}">{text(line.name)}{about}{confirms}</td>'
        f'<td class="{"running" if line.live else ""}">{text(line.state)}</td>'
        f'<td class="number">{best}</td><td>{trials}</td>'
        f'<td class="latest">{f"{line.latest:%Y-%m-%d %H:%M}" if line.latest else "-"}</td>'
        f'<td class="links">{places}</td></tr>{below}'
    )
