"""One cluster with the chart installed, one mail server, a namespace for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.base import Cluster
from tests.e2e import world as worlds
from tests.e2e.world import World
from tests.servers.certs import Certificates, make_certificates
from tests.servers.dovecot import Dovecot
from tests.servers.resolve import CERTIFICATE_NAMES


@pytest.fixture(scope="session")
def certificates(node: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    directory: Path = tmp_path_factory.mktemp("certificates")
    return make_certificates(directory, hosts=(f"IP:{node.host_ip}", *CERTIFICATE_NAMES))


@pytest.fixture(scope="session")
def mail(node: Cluster, certificates: Certificates) -> Iterator[Dovecot]:
    with Dovecot(certificates, listen=f"127.0.0.1,{node.host_ip}") as server:
        yield server


@pytest.fixture(scope="session")
def installed(node: Cluster) -> Cluster:
    """The chart in its default form: cluster mode, bundled Redis."""
    worlds.install(node)
    return node


@pytest.fixture
def world(installed: Cluster, mail: Dovecot) -> Iterator[World]:
    yield from worlds.opened(World(cluster=installed, mail=mail))
