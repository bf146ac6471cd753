"""Fixtures of the tests of the CRD."""

from collections.abc import Iterator

import pytest

from tests.cluster.control_plane import ControlPlane
from tests.crd.api import Api


@pytest.fixture(scope="session")
def api(control_plane: ControlPlane) -> Iterator[Api]:
    """An API server that knows MailConnections, and a namespace there."""
    api = Api(kubectl=control_plane.kubectl, namespace="crd-tests")
    api.install()
    yield api
    api.remove()
