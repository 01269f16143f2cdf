"""What this engine uses of Ray's inside is still there, and is what it was taken for. Fails loudly where it is not."""

from __future__ import annotations

import importlib.util
import inspect
import mmap
import os
import subprocess
import sys
from pathlib import Path

import pytest
import ray
from ray._common import utils
from ray._common.usage import usage_constants
from ray._private import accelerators, authentication_test_utils, node, parameter, ray_constants, services, worker
from ray._private.authentication import authentication_token_setup
from ray.util.placement_group import NODE_ID_LABEL_KEY

from hpo.engines.base import EngineError
from hpo.engines.ray import compat


def test_the_names_of_environment_variables():
    assert ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR == compat.LOOPBACK_ONLY
    assert accelerators.RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO_ENV_VAR == compat.HIDE_DEVICES
    assert f'"{compat.OVERRIDE_JOB}"' in inspect.getsource(ray.init)
    assert usage_constants.USAGE_STATS_ENABLED_ENV_VAR == compat.USAGE_STATS
    assert authentication_token_setup.AUTH_MODE_ENV_VAR == compat.AUTH_MODE
    assert {compat.AUTH_MODE, compat.AUTH_TOKEN} <= set(authentication_test_utils._AUTH_ENV_VARS)


def test_what_the_user_set_stays(monkeypatch: pytest.MonkeyPatch):
    for name in (compat.USAGE_STATS, compat.AUTH_MODE, compat.AUTH_TOKEN, compat.LOOPBACK_ONLY):
        monkeypatch.setenv(name, "")  # so that it is put back afterwards
        monkeypatch.delenv(name)
    monkeypatch.setenv(compat.HIDE_DEVICES, "0")
    compat.set_environment(own=False)
    environment = os.environ
    assert (environment[compat.USAGE_STATS], environment[compat.HIDE_DEVICES]) == ("0", "0")
    assert compat.LOOPBACK_ONLY not in environment and compat.AUTH_TOKEN not in environment
    compat.set_environment(own=True)
    assert (environment[compat.LOOPBACK_ONLY], environment[compat.AUTH_MODE]) == ("0", "token")
    token = environment[compat.AUTH_TOKEN]
    compat.set_environment(own=True)
    assert environment[compat.AUTH_TOKEN] == token and len(token) == 32


def test_this_process_stays_on_loopback_even_if_ray_was_imported_before(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ray_constants, "ENABLE_RAY_CLUSTER", True)
    compat.stay_on_loopback()
    assert ray_constants.ENABLE_RAY_CLUSTER is False
    assert services.get_node_ip_address() == "127.0.0.1"


def test_ray_prints_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    assert "print_to_stdstream(" in inspect.getsource(worker.listen_error_messages)
    line = {"lines": ["a node has died"], "pid": "raylet", "is_err": False, "ip": "", "job": ""}
    monkeypatch.setattr(worker, "print_to_stdstream", worker.print_to_stdstream)  # put back afterwards
    compat.print_nothing()
    worker.print_to_stdstream(line, ignore_prefix=False)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("module", "name", "use"),
    [
        (worker, "print_to_stdstream", compat.print_nothing),
        (ray_constants, "ENABLE_RAY_CLUSTER", compat.stay_on_loopback),
    ],
)
def test_a_name_that_is_gone_is_an_error(module, name: str, use, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr(module, name)
    with pytest.raises(EngineError, match=f"has no {module.__name__}.{name}, on which this platform relies"):
        use()


def test_the_processes_that_are_spared(monkeypatch: pytest.MonkeyPatch):
    """Their programs are there, so that tests/engines/ray/test_sweeps.py can tell that they do not run."""
    monkeypatch.setattr(parameter, "RayParams", parameter.RayParams)  # put back afterwards
    monkeypatch.setattr(node.Node, compat.DASHBOARD, node.Node.start_api_server)
    assert "self.start_api_server(" in inspect.getsource(node.Node.start_head_processes)
    compat.spare_processes()
    described = parameter.RayParams(num_cpus=1)
    assert (described.include_log_monitor, described.no_monitor, described.num_cpus) == (False, True, 1)
    source = inspect.getsource(services)
    assert '"log_monitor.py"' in source and '"monitor.py"' in source and '"dashboard.py"' in source


def test_the_folder_of_a_cluster():
    (name,) = compat.own_folder_option(Path("/tmp/x"))
    source = inspect.getsource(ray.init)
    assert f'kwargs.pop("{name}"' in source and "Unknown keyword argument" in source


@pytest.mark.parametrize("variables", [{}, {"TMPDIR": "/a"}, {"TMPDIR": "/a", "RAY_TMPDIR": "/b"}])
def test_the_file_with_the_address_of_a_cluster(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch):
    for name in ("TMPDIR", "RAY_TMPDIR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert str(compat.address_file()) == utils.get_ray_address_file(None)


def test_the_program_of_rays_processes():
    found = importlib.util.find_spec("ray._private.workers.default_worker")
    assert found is not None and found.origin is not None
    assert Path(found.origin).name == compat.WORKER_PROGRAM
    assert compat.WORKER_PROGRAM in inspect.getsource(services)


def test_the_label_of_a_node():
    assert NODE_ID_LABEL_KEY == compat.NODE_LABEL


def test_what_ray_says_of_an_actor_whose_node_has_died():
    program = Path(ray.__file__).parent / "core" / "src" / "ray" / "gcs" / "gcs_server"
    with program.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        assert content.find(f"The actor died because {compat.NODE_DIED}".encode()) > 0


def test_the_folder_with_what_an_actor_prints(tmp_path: Path):
    script = """
import sys
from pathlib import Path
from hpo.engines.ray.compat import session_logs
print(session_logs(otherwise=Path("nowhere")), file=sys.stderr)
"""
    for name, found in (("worker-1.out", str(tmp_path)), ("elsewhere.txt", "nowhere")):
        with (tmp_path / name).open("w") as output:
            done = subprocess.run([sys.executable, "-c", script], stdout=output, stderr=subprocess.PIPE, text=True)
        assert done.stderr.strip() == found


def test_jobs_name_no_folder_of_the_users() -> None:
    config = compat.no_folders_option()["job_config"]
    config._py_driver_sys_path.extend(["/somewhere"])  # as ray/_private/worker.py does
    assert list(config._get_proto_job_config().py_driver_sys_path) == []
