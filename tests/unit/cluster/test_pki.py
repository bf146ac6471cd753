"""The certificates are ones that Kubernetes' components accept."""

import json
from pathlib import Path

import pytest

from tests.cluster.pki import Pki
from tests.cluster.processes import run


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    return Pki(tmp_path / "pki")


def is_valid(pki: Pki, name: str, *conditions: str) -> bool:
    trusted = str(pki.folder / "ca.crt")
    command = ["openssl", "verify", "-x509_strict", "-CAfile", trusted, *conditions, str(pki.folder / f"{name}.crt")]
    return run(command, check=False).returncode == 0


def test_a_server_certificate_is_valid_for_its_hosts_only(pki: Pki) -> None:
    pki.issue("api", "/CN=api", hosts=["DNS:kubernetes", "IP:10.96.0.1"])
    assert is_valid(pki, "api", "-purpose", "sslserver", "-verify_hostname", "kubernetes")
    assert is_valid(pki, "api", "-purpose", "sslserver", "-verify_ip", "10.96.0.1")
    assert not is_valid(pki, "api", "-purpose", "sslserver", "-verify_hostname", "other")


def test_a_client_certificate_is_no_server_certificate(pki: Pki) -> None:
    pki.issue("admin", "/O=system:masters/CN=admin")
    assert is_valid(pki, "admin", "-purpose", "sslclient")
    assert not is_valid(pki, "admin", "-purpose", "sslserver")


def test_a_kubeconfig_is_private_and_names_the_server(pki: Pki) -> None:
    pki.issue("admin", "/O=system:masters/CN=admin")
    path = pki.kubeconfig("admin", "https://127.0.0.1:1")
    assert path.stat().st_mode & 0o777 == 0o600
    assert json.loads(path.read_text())["clusters"][0]["cluster"]["server"] == "https://127.0.0.1:1"
