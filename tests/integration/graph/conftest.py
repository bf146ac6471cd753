"""Certificates for the doubles of this folder."""

import pytest

from tests.servers.certs import Certificates, make_certificates
from tests.servers.resolve import CERTIFICATE_NAMES


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"), hosts=CERTIFICATE_NAMES)
