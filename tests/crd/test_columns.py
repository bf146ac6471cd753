"""What `kubectl get mailconnections` shows."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.crd.api import Api
from tests.crd.manifests import HERE, load, manifest

pytestmark = pytest.mark.cluster

COLUMNS = ["NAME", "MAILBOX", "STATE", "ACTIVE", "NEW", "LAG", "LAST", "AGE"]
WIDE = [*COLUMNS, "PROTOCOL", "READY", "HOST", "FOLDER", "DESCRIPTION", "FETCHER", "MESSAGE"]


@pytest.fixture(scope="module")
def listed(api: Api) -> Iterator[Api]:
    """A namespace of its own with connections as they are in real life."""
    api.kubectl("create", "namespace", "crd-columns")
    api = Api(kubectl=api.kubectl, namespace="crd-columns")
    fields: dict[str, Any] = {"description": "Invoices", "folder": "INBOX/Invoices", "sharedMailbox": None}
    _create(
        api,
        manifest(
            "imap", name="helpdesk-billing", spec={**fields, "auth": {"username": "billing-department@acme.test"}}
        ),
    )
    shared = {"sharedMailbox": "orders@example.com", "suspend": True, "placement": {"pool": "orders"}}
    _create(api, manifest("graph", name="orders", spec=shared), reason="AuthorizationRequired")
    api.create(manifest("pop3", name="new-one"))
    yield api
    api.kubectl("delete", "namespace", "crd-columns", "--wait=false")


def _create(api: Api, content: dict[str, Any], *, reason: str = "AwaitingApproval") -> None:
    api.create(content)
    status = load(HERE / "status.yaml")
    status["conditions"][0].update(reason=reason, message="See what to do.")
    api.patch(content["metadata"]["name"], {"status": status}, "--subresource=status")


def _table(api: Api, *args: str) -> tuple[str, dict[str, dict[str, str]]]:
    """The text, and its cells by name and column (found by where the header's words stand)."""
    text = api.run("get", "mailconnections", *args).stdout
    header, *lines = text.splitlines()
    starts = [0, *(i for i in range(1, len(header)) if header[i] != " " and header[i - 1] == " ")]
    ends = [*starts[1:], None]
    cells = [[line[a:b].strip() for a, b in zip(starts, ends, strict=True)] for line in [header, *lines]]
    return text, {row[0]: dict(zip(cells[0], row, strict=True)) for row in cells[1:]}


def test_columns(listed: Api) -> None:
    _, rows = _table(listed)
    assert list(rows["orders"]) == COLUMNS
    billing = rows["helpdesk-billing"]
    assert billing["MAILBOX"] == "billing-department@acme.test"
    assert (billing["STATE"], billing["ACTIVE"], billing["NEW"], billing["LAG"]) == (
        "AwaitingApproval",
        "False",
        "1234",
        "3",
    )
    assert billing["LAST"].endswith("d")
    assert rows["orders"]["STATE"] == "AuthorizationRequired"
    assert rows["new-one"]["MAILBOX"] == "support@example.com"
    assert rows["new-one"]["STATE"] == rows["new-one"]["NEW"] == rows["new-one"]["LAST"] == ""


def test_the_shared_mailbox_goes_before_the_user_name(listed: Api) -> None:
    # Often, because a path with `..` over a map could come out in any order.
    assert {_table(listed)[1]["orders"]["MAILBOX"] for _ in range(20)} == {"orders@example.com"}


def test_the_table_fits_a_terminal_of_120_columns(listed: Api) -> None:
    text, _ = _table(listed)
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 120


def test_wide_columns(listed: Api) -> None:
    _, rows = _table(listed, "--output=wide")
    assert list(rows["helpdesk-billing"]) == WIDE
    billing = rows["helpdesk-billing"]
    assert (billing["PROTOCOL"], billing["READY"], billing["HOST"]) == ("IMAP", "True", "imap.example.com")
    assert (billing["FOLDER"], billing["DESCRIPTION"]) == ("INBOX/Invoices", "Invoices")
    assert (billing["FETCHER"], billing["MESSAGE"]) == ("mailfetch-pool-default", "See what to do.")


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("spec.protocol=POP3", ["new-one"]),
        ("spec.auth.type=MicrosoftOAuth2", ["orders"]),
        ("spec.auth.username=billing-department@acme.test", ["helpdesk-billing"]),
        ("spec.server.host=pop.example.com", ["new-one"]),
        # A connection without a host has an empty one.
        ("spec.server.host=", ["orders"]),
        ("spec.suspend=true", ["orders"]),
        ("spec.placement.pool=default,spec.protocol=IMAP", ["helpdesk-billing"]),
    ],
)
def test_selectable_fields(listed: Api, selector: str, names: list[str]) -> None:
    result = listed.run("get", "mailconnections", f"--field-selector={selector}", "--output=name")
    assert [line.rpartition("/")[2] for line in result.stdout.split()] == names


@pytest.mark.parametrize("name", ["mconn", "mail", "mailconnection", "mailconnections.mailfetch.dev"])
def test_short_name_and_category(listed: Api, name: str) -> None:
    result = listed.run("get", name, "--output=json")
    assert {item["kind"] for item in json.loads(result.stdout)["items"]} == {"MailConnection"}
