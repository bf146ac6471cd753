"""The double of the authorities, and the HTTP session with which the libraries reach it."""

from collections.abc import Iterator

import pytest
import requests

from tests.servers.authority import Authority
from tests.servers.certs import Certificates, make_certificates
from tests.servers.resolve import CERTIFICATE_NAMES, resolve


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"), hosts=CERTIFICATE_NAMES)


@pytest.fixture
def authority(certificates: Certificates) -> Iterator[Authority]:
    """One with a work account and a Google account."""
    with Authority(certificates) as server, resolve(server.addresses):
        server.account("u@contoso.com")
        server.google_account("u@example.com")
        server.sign_in_as = "u@contoso.com"
        yield server


@pytest.fixture
def http(certificates: Certificates) -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        session.verify = str(certificates.ca)
        yield session
