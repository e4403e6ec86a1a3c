"""Starts Ray for a run, or joins a cluster that the user names, and ends what was started.

What Ray does by itself and a run must not rest on (`distributed_and_export` note, section 2.4): it puts the driver's
folder first on its workers' path (so the run's own is entered before), joins any cluster that the environment names,
listens on all interfaces, reports usage, and forwards logs. Tried with Ray 2.60 on one machine.
"""

from __future__ import annotations

import importlib.util
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.errors import PrerequisiteError
from pipeline.store.files import make_folder

_STORE_BYTES = 100_000_000
"""Ray's object store, near its least size: receipts are all that passes through it."""


@contextmanager
def ray_session(run: Path, address: str | None, workers: int | None) -> Iterator[Any]:
    """Yield the module `ray`, connected; afterwards disconnect, and end a cluster that was started here.

    Args:
        run: the run folder.
        address: of a cluster that runs, its own authentication set up in the environment; None starts one here, on
            the loopback interface, with a token.
        workers: how many actors will be placed, for the size of a cluster started here.

    Raises:
        PrerequisiteError: if Ray is not installed, does not start, or the cluster cannot be joined.
    """
    if importlib.util.find_spec("ray") is None:
        raise PrerequisiteError("--executor ray needs the package ray; pip install 'prefmill[ray]'")
    folder = run.resolve() / "ray"
    make_folder(folder)
    token = folder / "token"
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    if address is None:
        _stay_alone(token)
    else:
        _refuse_unreachable(address)
    import ray  # late: it reads the environment when it is imported

    before = Path.cwd()
    os.chdir(folder)
    try:
        ray.init(**_options(address, workers))
    except Exception as e:  # noqa: BLE001  Ray raises plain exceptions when a cluster does not start or answer
        token.unlink(missing_ok=True)
        if address is not None:
            raise PrerequisiteError(f"the Ray cluster at '{address}' cannot be joined: {type(e).__name__}: {e}") from e
        raise PrerequisiteError(
            f"Ray did not start on this machine: {type(e).__name__}: {e}. It gives its parts 30 s; on a busy machine "
            "run the command again, or use --executor local, which needs no Ray"
        ) from e
    finally:
        os.chdir(before)
    try:
        yield ray
    finally:
        ray.shutdown()
        token.unlink(missing_ok=True)


def _refuse_unreachable(address: str) -> None:
    """Try the address once: Ray itself would try for minutes."""
    if "://" in address:
        raise PrerequisiteError(
            f"--ray-address '{address}': Ray's client protocol is not used; run the command on a node of the cluster "
            "and name its address as host:port, or 'auto'"
        )
    host, sign, port = address.rpartition(":")
    if not sign:
        return  # 'auto' or another word that Ray knows
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except (OSError, ValueError) as e:
        raise PrerequisiteError(
            f"nothing answers at --ray-address '{address}' ({e}); start a cluster there with 'ray start --head', or "
            "leave the option out for a cluster of its own on this machine"
        ) from e


def _options(address: str | None, workers: int | None) -> dict[str, Any]:
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    if address is not None:
        return {"address": address, **quiet}
    cpus = max(os.cpu_count() or 1, (workers or 1) + 1)
    return {
        "address": "local",
        "num_cpus": cpus,
        "object_store_memory": _STORE_BYTES,
        "include_dashboard": False,
        **quiet,
    }


def _stay_alone(token: Path) -> None:
    """Set up, before Ray is imported, what only a whole process can: a token and the loopback interface."""
    token.unlink(missing_ok=True)
    fd = os.open(token, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "w") as file:
        file.write(secrets.token_hex(32))
    os.environ.pop("RAY_AUTH_TOKEN", None)
    os.environ["RAY_AUTH_MODE"] = "token"
    os.environ["RAY_AUTH_TOKEN_PATH"] = str(token)
    # Ray resolves 127.0.0.1 to an outer address unless clusters of several machines are off, which this says
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
