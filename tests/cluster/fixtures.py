"""pytest fixtures with real clusters; imported by tests/conftest.py.

`control_plane` is an API server only, for tests marked `cluster`. Tests share it: each uses names or namespaces of
its own.
"""

from collections.abc import Iterator

import pytest

from tests.cluster.control_plane import ControlPlane


@pytest.fixture(scope="session")
def control_plane() -> Iterator[ControlPlane]:
    """etcd and kube-apiserver, with controllers (so that namespaces can be deleted)."""
    cluster = ControlPlane(controllers=True)
    cluster.start()
    yield cluster
    cluster.stop()
