"""What starts Ray clusters: files of other programs' formats are valid, and scripts say what they need."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

SCRIPTS = Path(__file__).parents[1] / "scripts"


def test_the_cluster_file_is_one_for_ray():
    from ray.autoscaler._private.util import prepare_config, validate_config

    given = yaml.safe_load((SCRIPTS / "launch" / "cluster.yaml").read_text())
    config = prepare_config(given)
    validate_config(config)  # raises what it has against it
    workers = config["available_node_types"]["local.cluster.node"]["max_workers"]
    assert workers == given["max_workers"] == len(given["provider"]["worker_ips"])


def test_the_job_runs_a_sweep_on_workers_of_the_tested_version():
    job = yaml.safe_load((SCRIPTS / "launch" / "rayjob.yaml").read_text())
    pins = (SCRIPTS.parent / "constraints.txt").read_text().splitlines()
    assert f"ray=={job['spec']['rayClusterSpec']['rayVersion']}" in [pin.split(" ")[0] for pin in pins]
    assert job["spec"]["entrypoint"].startswith("hpo sweep ")


@pytest.mark.parametrize("name", ["ray-head", "ray-worker", "two-nodes", "launch/slurm.sbatch"])
def test_scripts_are_sound(name: str):
    done = subprocess.run(["bash", "-n", SCRIPTS / name], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_worker_needs_the_head_and_its_token(tmp_path: Path):
    worker = [SCRIPTS / "ray-worker"]
    env = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    for arguments, said in (([], "HEAD:PORT is what"), (["10.0.0.1:6399"], "auth_token is missing")):
        done = subprocess.run([*worker, *arguments], env=env, capture_output=True, text=True)
        assert done.returncode == 2 and said in done.stderr
