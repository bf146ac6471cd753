"""Fixtures of the operator's tests against a real API server."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.control_plane import ControlPlane
from tests.integration.operator.bench import Bench, bench_on


@pytest.fixture
def bench(control_plane: ControlPlane, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Bench]:
    """A namespace of the test's own; the operator is started by the test."""
    with bench_on(control_plane, f"operator-{secrets.token_hex(4)}", tmp_path) as found:
        yield found
        # pytest shows it with a failure.
        print(found.log() if found.operators else "")


@pytest.fixture
def own_bench(tmp_path: Path) -> Iterator[Bench]:
    """On an API server of its own, because the operator serves all namespaces."""
    cluster = ControlPlane(controllers=True)
    cluster.start()
    try:
        with bench_on(cluster, "first", tmp_path) as found:
            yield found
            print(found.log())
    finally:
        cluster.stop()
