"""The MLflow UI's own process: `python -m hpo.review.ui_mlflow PORT`, its database in HPO_UI_TRACKING, the Optuna
dashboard's address in HPO_UI_DASHBOARD ("": there is none).

MLflow's own `mlflow server` lets every page of this machine's ask, whatever its port; so its application is served from
here, behind the check that the Optuna dashboard has. The database is not an argument, since its address may hold a
password.
"""

from __future__ import annotations

import os
import sys

from hpo.ledger.study.urls import mask_output
from hpo.review.compat import mlflow_application
from hpo.review.ui_origin import local_asgi
from hpo.review.ui_ports import LOOPBACK
from hpo.review.ui_ways import with_ways

TRACKING_VARIABLE, ARTIFACTS_VARIABLE = "HPO_UI_TRACKING", "HPO_UI_ARTIFACTS"
DASHBOARD_VARIABLE = "HPO_UI_DASHBOARD"


def main(port: int) -> None:
    """Serve until the process is ended."""
    mask_output()
    import uvicorn

    tracking = os.environ[TRACKING_VARIABLE]
    application = mlflow_application(tracking, os.environ.get(ARTIFACTS_VARIABLE))
    _tell_sizes(tracking)
    # Proxy headers would let a request say that it came from somewhere else.
    asked = local_asgi(with_ways(application, os.environ.get(DASHBOARD_VARIABLE, "")))
    uvicorn.run(asked, host=LOOPBACK, port=port, access_log=False, proxy_headers=False)


def _tell_sizes(tracking: str) -> None:
    """Tell a SQLite database its sizes: one of an earlier release, or that other programs write, was never told."""
    from sqlalchemy import NullPool, create_engine
    from sqlalchemy.exc import OperationalError

    from hpo.ledger.mirror.database import tell_sizes

    engine = create_engine(tracking, poolclass=NullPool)
    try:
        tell_sizes(engine)
    except OperationalError as error:  # it can't be written, or another program writes for long: it is only slower
        print(f"ordering many runs will take long: {error.orig}", file=sys.stderr, flush=True)
    finally:
        engine.dispose()


if __name__ == "__main__":
    main(int(sys.argv[1]))
