"""Ray actors on one run folder: workers, a node and the driver killed, and a run that three executors share."""

from __future__ import annotations

import json
import os
import secrets
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.harness import (
    ROOT,
    SOURCE,
    STARTED,
    assert_sound,
    committed,
    environment,
    prefmill,
    prompts,
    register,
    rows,
    start,
    view_of,
    write_jsonl,
    write_recipe,
)
from tests.integration.server import wait_until
from tests.integration.slurm_stub import StubSlurm
from tests.integration.spreading import (
    bytes_of_one_process,
    commits,
    is_running,
    kill_one,
    running_workers,
    spread_recipe,
    wait_for_commits,
)

pytest.importorskip("ray", reason="needs the extra 'ray'")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A cluster of two nodes with one CPU each; started once, because Ray's parts have 30 s to start."""
    token = tmp_path_factory.mktemp("ray") / "token"
    token.write_text(secrets.token_hex(32))
    token.chmod(0o600)
    auth = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token), "RAY_USAGE_STATS_ENABLED": "0"}
    env = environment(PYTHONPATH=str(ROOT), RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0", **auth)
    command = [sys.executable, "-m", "tests.integration.ray_cluster"]
    with subprocess.Popen(command, cwd=ROOT, env=env, stdin=-1, stdout=-1, stderr=-1, text=True) as process:
        ready, _, _ = select.select([process.stdout], [], [], 90)
        line = process.stdout.readline() if ready else ""
        if not line.startswith("{"):
            process.kill()
            pytest.skip(f"Ray did not start two nodes in its 30 s each: {line}{process.stderr.read()[-300:]}")
        yield {**json.loads(line), "env": env}
        process.stdin.close()
        process.wait(30)
        process.stdout.close()
        process.stderr.close()


def ray(cluster, workers):
    return ("run", "recipe.yaml", "--executor", "ray", "--ray-address", cluster["address"], "--workers", workers)


def test_a_run_begun_by_processes_goes_on_with_ray_and_is_finished_by_slurm_tasks(tmp_path, cluster):
    expected = bytes_of_one_process(tmp_path / "one", 400)
    folder = tmp_path / "shared"
    spread_recipe(folder, 400, engine={"kind": "scripted", "latency_ms": 100})
    for command in (("run", "recipe.yaml", "--executor", "local", "--workers", 2), ray(cluster, 2)):
        before = commits(folder, "weak")
        part = start(folder, *command, env=cluster["env"])
        wait_for_commits(folder, before + 4, "weak")
        part.terminate()
        _, said = part.communicate(timeout=40)
        assert part.returncode == 7, said
    slurm = StubSlurm(tmp_path / "slurm")
    assert prefmill(folder, "run", "recipe.yaml", "--executor", "slurm", "--submit", env=slurm.env).returncode == 0
    assert not view_of(folder).finished
    tasks = [slurm.start(100, i) for i in range(2)]
    assert [(t.communicate(timeout=60), t.returncode)[1] for t in tasks] == [0, 0]
    assert len(list((slurm.folder / "queue").iterdir())) == 1
    assert committed(folder) == expected
    assert_sound(folder)


def test_a_worker_a_node_and_the_driver_are_killed_in_one_run_and_no_row_is_lost_or_doubled(tmp_path, cluster):
    expected = bytes_of_one_process(tmp_path / "one", 400)
    folder = tmp_path / "many"
    spread_recipe(folder, 400, engine={"kind": "scripted", "latency_ms": 200})
    driver = start(folder, *ray(cluster, 2), env=cluster["env"])
    wait_until(lambda: len(running_workers(folder)) == 2)
    wait_for_commits(folder, 4)
    killed = kill_one(folder, signal.SIGKILL)
    wait_for_commits(folder, commits(folder) + 4)
    wait_until(lambda: len(set(running_workers(folder)) - {killed}) == 2)
    os.kill(cluster["second_raylet"], signal.SIGKILL)
    wait_until(lambda: len(running_workers(folder)) == 1)
    wait_for_commits(folder, commits(folder) + 3)
    left = running_workers(folder)
    driver.kill()
    driver.communicate()
    wait_until(lambda: not any(is_running(pid) for pid in left), seconds=30)
    assert not view_of(folder).finished
    again = prefmill(folder, *ray(cluster, 1), env=cluster["env"])
    assert again.returncode == 0, again.stderr
    assert committed(folder) == expected
    assert_sound(folder)


def test_a_cluster_of_its_own_asks_for_a_token_listens_on_loopback_only_and_stops_in_order(tmp_path):
    spread_recipe(tmp_path, 200, engine={"kind": "scripted", "latency_ms": 200})
    (tmp_path / "pipeline").mkdir()
    (tmp_path / "pipeline/__init__.py").write_text("raise RuntimeError('not ours')\n")
    command = [
        str(Path(sys.executable).parent / "prefmill"),
        "run",
        "recipe.yaml",
        "--executor",
        "ray",
        "--workers",
        "2",
    ]
    env = environment(RAY_ADDRESS="127.0.0.1:1")
    driver = subprocess.Popen(command, cwd=tmp_path, env=env, stderr=subprocess.PIPE, text=True)
    STARTED.append(driver)
    wait_until(lambda: commits(tmp_path) >= 3 or driver.poll() is not None)
    assert driver.poll() is None, driver.communicate()[1]
    token = tmp_path / "runs/test/ray/token"
    assert (token.stat().st_mode & 0o777, len(token.read_text())) == (0o600, 64)
    assert b"RAY_AUTH_MODE=token" in Path(f"/proc/{running_workers(tmp_path)[0]}/environ").read_bytes()
    assert {a for pid in family(driver.pid) for a in listening(pid)} <= LOOPBACK
    driver.terminate()
    _, said = driver.communicate(timeout=40)
    assert driver.returncode == 7 and "SIGTERM" in said, said
    assert not token.exists() and not list((tmp_path / "runs/test/claims").rglob("*.json"))


def test_an_engine_that_dies_in_an_actor_takes_the_actor_along_and_ray_starts_both_again(tmp_path):
    path = register(tmp_path / "path", engines={"fragile": "tests.integration.test_executor_faults:Fragile"})
    write_jsonl(tmp_path / "prompts.jsonl", prompts(60))
    stages = [SOURCE, {"id": "responses", "use": "sample_responses", "roles": {"policy": "m"}}]
    write_recipe(tmp_path, stages, {"m": {"kind": "fragile"}}, limits={"shard_rows": 4, "rows_in_flight": 2})
    (tmp_path / "fault").write_text("once-error 25 times")
    env = environment(PYTHONPATH=f"{path}:{ROOT}", FAULT=str(tmp_path / "fault"))
    done = prefmill(tmp_path, "run", "recipe.yaml", "--executor", "ray", "--workers", 2, env=env)
    assert done.returncode == 0 and not (tmp_path / "fault").exists(), done.stderr
    assert len(rows(tmp_path, "responses")) == 240
    assert_sound(tmp_path)


def test_without_the_package_the_error_names_the_extra(tmp_path, monkeypatch):
    from tests.support import prefmill as here

    spread_recipe(tmp_path, 5)
    monkeypatch.setitem(sys.modules, "ray", None)
    said = here("run", tmp_path / "recipe.yaml", "--run-dir", tmp_path / "run", "--executor", "ray")
    assert said.code == 2 and "pip install 'prefmill[ray]'" in said.err


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("127.0.0.1:1", "nothing answers at --ray-address '127.0.0.1:1'"),
        ("ray://127.0.0.1:10001", "client protocol is not used"),
    ],
)
def test_a_cluster_that_cannot_be_joined_is_told_in_seconds(tmp_path, address, said):
    spread_recipe(tmp_path, 5)
    done = prefmill(tmp_path, "run", "recipe.yaml", "--executor", "ray", "--ray-address", address)
    assert done.returncode == 2 and said in done.stderr


LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}
"""127.0.0.1, the same within IPv6, and ::1, as the kernel writes them."""


def family(pid):
    """Return a process and all that came from it."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found


def listening(pid):
    """Return the local addresses, in the kernel's hex, at which a process accepts TCP connections."""
    inodes = set()
    for fd in Path(f"/proc/{pid}/fd").glob("*"):
        try:
            inodes.add(os.readlink(fd).removeprefix("socket:[").rstrip("]"))
        except OSError:
            continue
    lines = [
        line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
    ]
    return {w[1].rpartition(":")[0] for w in lines if w[3] == "0A" and w[9] in inodes}
