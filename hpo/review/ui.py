"""The page of all studies, the MLflow UI and the Optuna dashboard, on this machine only, until Ctrl-C."""

from __future__ import annotations

import contextlib
import signal
import sys
import time
import webbrowser
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from hpo.ledger.study.home import Home, open_storage
from hpo.ledger.study.restored import find_study
from hpo.ledger.study.urls import masked
from hpo.review.ui_plans import Plan, addresses, dashboard_plan, mlflow_plan, unheeded
from hpo.review.ui_ports import LOOPBACK, PortLease
from hpo.review.ui_process import Server, ServerGroup
from hpo.review.ui_unwritable import ShownHome, shown_home
from hpo.review.ui_web import answers, mlflow_page, why_silent, without_credentials
from hpo.spec.faults import UserError

_START_PATIENCE = 180.0  # seconds; MLflow takes about 9, on a busy machine far longer, and a new database 5 more
_READ_ONLY = "nothing can be changed here, and MLflow's UI shows a copy of its database, as it is now"
_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class UiRequest:
    """What to show. Ports: the next free one is taken in place of one in use, 0 is any; None leaves that UI out.

    study: whose pages are told and opened; "": all studies.
    """

    study: str = ""
    mlflow_port: int | None = 5000
    dashboard_port: int | None = 8080
    open_browser: bool = False


@dataclass
class _RunningServer:
    plan: Plan
    address: str
    server: Server
    announced: bool = False
    page: str = ""  # where it shows the study that was asked for, or else all


def serve(home: Home, wanted: UiRequest) -> int:
    """Run the UIs until SIGINT, SIGTERM or SIGHUP; return the exit code: 0 then, 1 if one of them ended by itself.

    Raises UserError if there is no (such) study, or nothing to serve.
    """
    studies = _studies(home, wanted.study)
    with shown_home(home, wanted.mlflow_port is not None) as shown:
        if shown.why:
            print(f"note: {home.path} can't be written ({shown.why}): {_READ_ONLY}", file=sys.stderr)
        return _serve(shown, wanted, studies)


def _serve(shown: ShownHome, wanted: UiRequest, studies: list[str]) -> int:
    home = shown.home
    remote = masked(without_credentials(home.tracking or "")) if _is_web(home.tracking) else ""
    plans = []
    if wanted.mlflow_port is not None and not remote:
        plans.append(mlflow_plan(home, wanted.mlflow_port))
        for name in unheeded():
            print(f"note: {name} has no effect: this server is for this machine only", file=sys.stderr)
    if wanted.dashboard_port is not None:
        plans.append(dashboard_plan(home, wanted.dashboard_port, shown.why))
    show_remote = bool(remote) and wanted.mlflow_port is not None
    if not plans:
        raise UserError(
            f"there is nothing to start: MLflow is at {remote}" if show_remote else "there is nothing to show"
        )
    with _stop_signals() as stopped, contextlib.ExitStack() as stack:
        leases = [(plan, stack.enter_context(PortLease(plan.port))) for plan in plans]
        group = stack.enter_context(ServerGroup())
        at = {plan.slug: f"http://{LOOPBACK}:{lease.port}" for plan, lease in leases}
        ways = addresses(at.get("mlflow", remote if show_remote else ""), at.get("dashboard", ""), show_remote)
        running = [_start(shown.logs, plan, lease.port, group, ways) for plan, lease in leases]
        if show_remote:
            _announce_remote(remote, studies)
        failure = _announce(running, studies, stopped)
        if not failure and not stopped():
            if wanted.open_browser:
                _open(running, wanted.study)
            _say(f"Ctrl-C ends {'both' if len(plans) == 2 else 'it'}")
        while not failure and not stopped():
            time.sleep(0.1)
            failure = _failure(running)
        if stopped():
            failure = ""  # whoever ends this may end the servers as well
    if failure:
        print(f"hpo: {failure}", file=sys.stderr)
    return 1 if failure else 0


def _studies(home: Home, study: str) -> list[str]:
    """Return the studies whose pages are told: the one that was asked for, or all."""
    if study:
        find_study(home, study)
        return [study]
    names = [study.study_name for study in open_storage(home).get_all_studies()] if home.exists() else []
    if not names:
        raise UserError(
            f"there is no study in {masked(home.storage_url)} yet (run hpo sweep search_spaces/binary.yaml)"
        )
    return names


def _is_web(tracking: str | None) -> bool:
    return tracking is not None and tracking.startswith(("http://", "https://"))


def _start(logs: Path, plan: Plan, port: int, group: ServerGroup, ways: Mapping[str, str]) -> _RunningServer:
    if port != plan.port and plan.port != 0:
        _say(f"port {plan.port} is in use: the {plan.name} takes {port}")
    log = logs / f"ui-{plan.slug}-{port}.log"  # with the port: two `hpo ui` on one home never share it
    server = group.start(plan.name, plan.argv(port), {**plan.env, **ways}, log)
    return _RunningServer(plan, f"http://{LOOPBACK}:{port}", server)


def _announce(running: list[_RunningServer], studies: list[str], stopped: Callable[[], bool]) -> str:
    """Print each address as soon as it answers. Returns what went wrong, or ""."""
    deadline = time.monotonic() + _START_PATIENCE
    while not stopped():
        for ui in running:
            if not ui.announced and answers(ui.address, ui.plan.health) and ui.server.alive:
                ui.announced = True
                if ui.plan.front:
                    _say(f"{ui.plan.front:<20}{ui.address}")
                ui.page = _say_address(ui.plan.name, ui.address, studies, ui.plan.page, ui.plan.path)
        silent = [ui for ui in running if not ui.announced]
        if failure := _failure(running):
            return failure
        if not silent:
            return ""
        if time.monotonic() > deadline:
            return (
                f"the {silent[0].plan.name} does not answer after {_START_PATIENCE:.0f} s (see {silent[0].server.log})"
            )
        time.sleep(0.1)
    return ""


def _announce_remote(address: str, studies: list[str]) -> None:
    if silent := why_silent(address):
        _say(f"{'MLflow UI':<20}{address}  (does not answer: {silent})")
    else:
        _say_address("MLflow UI", address, studies, mlflow_page)


def _open(running: list[_RunningServer], study: str) -> None:
    """Open in the web browser what was asked for: a study's pages, or the page of all studies."""
    fronts = [ui.address for ui in running if ui.plan.front]
    for page in [ui.page for ui in running] if study or not fronts else fronts:
        webbrowser.open(page)


def _failure(running: list[_RunningServer]) -> str:
    return next((ui.server.obituary() for ui in running if not ui.server.alive), "")


def _say_address(
    name: str, address: str, studies: list[str], page: Callable[[str, str | None], str], path: str = ""
) -> str:
    """Print an address and, below it, where the study is. Returns the latter, or else the address."""
    _say(f"{name:<20}{address}{path}")
    if not (found := page(address, studies[0] if len(studies) == 1 else None)):
        return address
    _say(f"  {f'study {studies[0]}' if len(studies) == 1 else 'studies'}: {found}")
    return found


def _say(text: str) -> None:
    print(text, flush=True)  # seen at once also through a pipe


@contextlib.contextmanager
def _stop_signals() -> Iterator[Callable[[], bool]]:
    """Turn the signals that end a server into an answer to "stopped?", so that none cuts a start or an end in two."""
    seen: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        seen.append(number)

    # A signal that is ignored stays so: `nohup hpo ui` outlives its terminal.
    before = {number: signal.getsignal(number) for number in _STOPPING}
    mine = {number: handler for number, handler in before.items() if handler is not signal.SIG_IGN}
    for number in mine:
        signal.signal(number, note)
    try:
        yield lambda: bool(seen)
    finally:
        for number, handler in mine.items():
            signal.signal(number, handler)
