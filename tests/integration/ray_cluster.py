"""Starts a Ray cluster of two nodes on this machine, says where it is, and ends it when its input is closed.

A process of its own, so that nothing of Ray is imported into the test process and killing its parts hurts nobody else.
"""

from __future__ import annotations

import json
import sys

from ray.cluster_utils import Cluster


def main() -> None:
    node = {"num_cpus": 1, "num_gpus": 0, "object_store_memory": 100_000_000, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=node)
    second = cluster.add_node(**node)
    cluster.wait_for_nodes()
    raylet = second.all_processes["raylet"][0].process.pid
    print(json.dumps({"address": cluster.address, "second_raylet": raylet}), flush=True)
    sys.stdin.read()
    cluster.shutdown()


if __name__ == "__main__":
    main()
