"""kubectl itself asks for completions of `kubectl mailfetch`, with the names that the cluster has."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster.control_plane import ControlPlane
from tests.cluster.tools import onenode_folder
from tests.integration.plugin.running import make

pytestmark = pytest.mark.cluster


def test_kubectl_completes_names(cluster: ControlPlane, namespace: str) -> None:
    make(cluster, namespace, "support")
    make(cluster, namespace, "sales")

    def completed(*words: str) -> list[str]:
        environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "KUBECONFIG": str(cluster.kubeconfig),
        }
        return subprocess.run(
            [str(onenode_folder() / "kubectl"), "__complete", "mailfetch", *words],
            capture_output=True, text=True, check=True, env=environment,
        ).stdout.splitlines()  # fmt: skip

    assert completed("status", "-n", namespace, "") == ["sales", "support", ":4"]
    assert completed("status", "-n", namespace, "su") == ["support", ":4"]
    assert completed("completion", "b") == ["bash", ":4"]
