"""The manifests of examples/ are what they say they are."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from mailfetch_fetcher.contract.secrets import references
from mailfetch_fetcher.contract.spec import parse_spec, unsupported
from tests.crd.api import Api
from tests.crd.manifests import CRD_FILE

# Some need no API server, but all of them belong to the stage that has one.
pytestmark = pytest.mark.cluster

EXAMPLES = sorted((CRD_FILE.parents[1] / "examples").glob("*.yaml"))
KINDS = ["imap", "pop3", "gmail", "microsoft-imap", "graph", "shared-mailbox", "smime", "pool", "dedicated"]
KINDS += ["acknowledged", "google-workspace"]


def _documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text()))


def test_there_is_one_per_kind_of_mailbox() -> None:
    assert {path.stem for path in EXAMPLES} >= set(KINDS)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_api_server_takes_it(api: Api, path: Path) -> None:
    args = ("apply", "--server-side", "--dry-run=server", "--validate=strict", "--filename", str(path))
    assert "mailconnection.mailfetch.dev/" in api.run(*args).stdout


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_its_secrets_are_there_or_the_header_tells_how_to_make_them(path: Path) -> None:
    documents = _documents(path)
    given = {(d["metadata"]["name"], key) for d in documents if d["kind"] == "Secret" for key in d["stringData"]}
    header = path.read_text().partition("apiVersion")[0]
    for document in documents:
        if document["kind"] == "MailConnection":
            for secret, key in references(parse_spec(document["spec"])):
                # A client or a certificate has several possible keys; one is enough.
                assert secret in header or any(secret == name for name, _ in given), (secret, key)
            if reference := document["spec"]["auth"].get("passwordSecretRef"):
                assert (reference["name"], reference.get("key", "password")) in given


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_its_header_tells_how_to_use_it(path: Path) -> None:
    header = path.read_text().partition("apiVersion")[0]
    assert all(line.startswith("#") for line in header.splitlines())
    assert f"kubectl apply -n helpdesk -f {path.name}" in header
    names = [d["metadata"]["name"] for d in _documents(path) if d["kind"] == "MailConnection"]
    assert f"kubectl annotate -n helpdesk mailconnection {' '.join(names)} mailfetch.dev/enable=true" in header


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_its_header_tells_whether_this_version_runs_it(path: Path) -> None:
    header = path.read_text().partition("apiVersion")[0]
    missing = [unsupported(parse_spec(d["spec"])) for d in _documents(path) if d["kind"] == "MailConnection"]
    assert ("Not in this version" in header) is any(missing)
