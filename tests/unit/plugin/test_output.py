import io
import json
from collections.abc import Sequence

import pytest
import yaml

from kubectl_mailfetch.model import Connection
from kubectl_mailfetch.output import (
    Format,
    console,
    print_listing,
    print_names,
    print_object,
    print_objects,
    print_page,
)
from kubectl_mailfetch.page import status_page
from kubectl_mailfetch.rows import listing
from tests.unit.plugin.samples import NOW, awaiting, connection, flowing

MANY = [
    connection("support", status=flowing()),
    connection(
        "a-very-long-name-of-a-connection-of-the-billing-team",
        spec={"auth": {"username": "billing-department-europe@subsidiary.example.com"}},
        status=awaiting(123456),
    ),
]


def table(connections: Sequence[Connection], *, width: int | None, wide: bool = False, namespaces: bool = False) -> str:
    out = io.StringIO()
    rows = listing(connections, now=NOW, wide=wide, namespaces=namespaces)
    print_listing(rows, connections, out=console(out, width), wide=wide)
    return out.getvalue()


def test_the_columns_are_those_of_kubectl() -> None:
    text = table(MANY, width=None)
    assert text.splitlines()[0].split() == ["NAME", "MAILBOX", "STATE", "ACTIVE", "NEW", "LAG", "LAST", "AGE"]
    assert text.splitlines()[2].split() == ["support", "support@example.com", "Idle", "True", "1234", "3", "5m", "3d"]


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("namespaces", [False, True])
def test_tables_fit_the_terminal_and_keep_state_and_numbers(width: int, namespaces: bool) -> None:
    text = table(MANY, width=width, namespaces=namespaces)
    assert max(map(len, text.splitlines())) <= width
    assert len(text.splitlines()) == 3
    assert "AwaitingApproval" in text
    assert "123456" in text
    assert "…" in text


def test_a_pipe_gets_everything() -> None:
    text = table(MANY, width=None)
    assert "a-very-long-name-of-a-connection-of-the-billing-team" in text
    assert "…" not in text


def test_wide_is_never_shortened_and_has_the_message() -> None:
    text = table(MANY, width=80, wide=True)
    assert text.splitlines()[0].split()[8:] == [
        "PROTOCOL", "READY", "HOST", "FOLDER", "DESCRIPTION", "FETCHER", "MESSAGE",
    ]  # fmt: skip
    assert "The backlog needs an acknowledgement." in text
    assert len(text.splitlines()) == 3


def test_markup_in_a_resource_is_only_text() -> None:
    text = table([connection("x", spec={"description": "[red]sale[/red] :smile:"})], width=None, wide=True)
    assert "[red]sale[/red] :smile:" in text


def test_the_page_folds_texts_but_never_commands() -> None:
    out = io.StringIO()
    enabled = connection(status=awaiting(1234), annotations={"mailfetch.dev/enable": "true"})
    print_page(status_page(enabled, now=NOW), out=console(out, 60))
    lines = out.getvalue().splitlines()
    command = "kubectl annotate mconn support -n helpdesk --overwrite mailfetch.dev/acknowledge=1234"
    assert [line.strip() for line in lines if "--overwrite" in line] == [command]
    assert max(len(line) for line in lines if "kubectl" not in line) <= 60
    assert all(line == line.rstrip() for line in lines)


def test_no_colour_codes_outside_a_terminal() -> None:
    out = io.StringIO()
    print_page(status_page(connection(status=flowing()), now=NOW), out=console(out))
    assert "\x1b" not in out.getvalue() + table(MANY, width=None)


def test_json_and_yaml_are_the_object_without_managed_fields() -> None:
    for form, read in ((Format.json, json.loads), (Format.yaml, yaml.safe_load)):
        one, many = io.StringIO(), io.StringIO()
        print_object(MANY[0].raw, form, out=one)
        print_objects([c.raw for c in MANY], form, out=many)
        found = read(one.getvalue())
        assert found["spec"] == MANY[0].raw["spec"]
        assert "managedFields" not in found["metadata"]
        assert read(many.getvalue())["kind"] == "List"
        assert len(read(many.getvalue())["items"]) == 2


def test_names_can_be_given_to_kubectl() -> None:
    out = io.StringIO()
    print_names(MANY[:1], out=out)
    assert out.getvalue() == "mailconnection.mailfetch.dev/support\n"
