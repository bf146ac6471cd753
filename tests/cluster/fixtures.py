"""pytest fixtures with real clusters; imported by tests/conftest.py.

`control_plane` is an API server only, for tests marked `cluster`; `node` runs containers, for tests marked `node`.
Tests share them: each uses names or namespaces of its own, and removes what is not in a namespace.
"""

from collections.abc import Iterator

import pytest

from tests.cluster.base import Cluster
from tests.cluster.cluster import get_cluster
from tests.cluster.control_plane import ControlPlane

VOLUMES = 8


@pytest.fixture(scope="session")
def control_plane() -> Iterator[ControlPlane]:
    """etcd and kube-apiserver, with controllers (so that namespaces can be deleted)."""
    cluster = ControlPlane(controllers=True)
    cluster.start()
    yield cluster
    cluster.stop()


@pytest.fixture(scope="session")
def node() -> Iterator[Cluster]:
    """A cluster that runs pods, with Mailfetch's image and a Redis image, and volumes for claims."""
    cluster = get_cluster()
    try:
        cluster.start()
        cluster.load_images()
        cluster.make_volumes(VOLUMES)
        yield cluster
    finally:
        cluster.stop()
