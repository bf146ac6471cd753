"""Requests of a saved connection: set once, waited for by their echo."""

from typing import Any

import pytest

from kubectl_mailfetch.errors import Exit, PluginError
from kubectl_mailfetch.model import Connection
from kubectl_mailfetch.requesting import new_value, refetch_value, refusal_of, request
from kubectl_mailfetch.steps import step_lines
from tests.unit.plugin.samples import NOW, awaiting, condition, connection, flowing
from tests.unit.plugin.test_enable import Cluster, Person

ENABLED = {"mailfetch.dev/enable": "true"}


def echoing(kind: str, value: str) -> dict[str, Any]:
    return flowing() | {"handledRequests": {kind: value}}


def ask(c: Connection, kind: str, *then: dict[str, Any], person: Person | None = None) -> tuple[Cluster, Any]:
    cluster = Cluster(c, then)
    talk = (person or Person()).talk()
    return cluster, request(objects=cluster, connection=c, kind=kind, value="v1", talk=talk, wait=True)


def test_it_waits_for_the_echo() -> None:
    c = connection(status=flowing(), annotations=ENABLED)
    for kind in ("test", "estimate", "fetch", "refetch"):
        cluster, done = ask(c, kind, flowing(), echoing(kind, "older"), echoing(kind, "v1"))
        assert cluster.patches == [{f"mailfetch.dev/{kind}": "v1"}]
        assert done.text("status", "handledRequests", kind) == "v1"


def test_nobody_waits() -> None:
    cluster, person = Cluster(connection(status=flowing())), Person()
    done = request(
        objects=cluster, connection=Connection(cluster.raw), kind="test", value="v1", talk=person.talk(), wait=False
    )
    assert done is None
    assert "kubectl mailfetch status support -n helpdesk" in person.heard[-1]


def test_what_does_not_happen_in_time_says_why() -> None:
    with pytest.raises(PluginError, match=r"(?s)not done in time: All mails are.*mailfetch status") as caught:
        ask(connection(status=flowing()), "test", person=Person(looks=3))
    assert caught.value.code is Exit.TIMEOUT


def test_a_request_of_somebody_else_ends_the_waiting() -> None:
    class Shared(Cluster):
        def get(self, namespace: str, name: str) -> dict[str, Any]:
            self.annotate(namespace, name, {"mailfetch.dev/test": "theirs"})
            return self.raw

    c = connection(status=flowing())
    with pytest.raises(PluginError, match="now 'theirs'"):
        request(objects=Shared(c), connection=c, kind="test", value="v1", talk=Person().talk(), wait=True)


@pytest.mark.parametrize("kind", ["fetch", "refetch"])
def test_only_what_downloads_is_asked_to(kind: str) -> None:
    for c, words in (
        (connection(status=awaiting(5000), annotations=ENABLED), "waits for an acknowledgement"),
        (connection(status=flowing()), "is disabled"),
        (connection(status=flowing(), annotations=ENABLED, spec={"suspend": True}), "is suspended"),
    ):
        cluster = Cluster(c)
        with pytest.raises(PluginError, match=words):
            request(objects=cluster, connection=c, kind=kind, value="v1", talk=Person().talk(), wait=True)
        assert cluster.patches == []
        assert ask(c, "test", echoing("test", "v1"))[0].patches


def test_a_spec_that_cannot_run_is_not_waited_for() -> None:
    invalid = {"conditions": [condition("Ready", "False", "InvalidConfiguration", "not in this version: x")]}
    c = connection(status=invalid | {"observedGeneration": 2})
    c = Connection({**c.raw, "metadata": {**c.raw["metadata"], "generation": 2}})
    with pytest.raises(PluginError, match="not in this version: x"):
        ask(c, "test")
    corrected = Connection({**c.raw, "metadata": {**c.raw["metadata"], "generation": 3}})
    assert ask(corrected, "test", echoing("test", "v1"))[1]


def test_a_value_is_new_each_time() -> None:
    assert new_value(NOW) != new_value(NOW)
    assert new_value(NOW).startswith("20260131T120000Z-")


@pytest.mark.parametrize("value", ["uid:5,7-9", "since:2026-01-31", "quarantined"])
def test_what_to_download_again_gets_a_suffix(value: str) -> None:
    made = refetch_value(value, connection(), NOW)
    assert made.startswith(f"{value}#20260131T120000Z-")
    assert refetch_value(f"{value}#r1", connection(), NOW) == f"{value}#r1"


@pytest.mark.parametrize(
    "value", ["", "5", "uid:", "uid:5-", "uid:5;6", "since:", "since:2026-02-30", "since:20260131", "all", "#r1"]
)
def test_what_no_fetcher_carries_out_is_refused(value: str) -> None:
    with pytest.raises(PluginError, match="uid:5,7-9") as caught:
        refetch_value(value, connection(), NOW)
    assert caught.value.code is Exit.USAGE


def test_only_imap_has_uids() -> None:
    with pytest.raises(PluginError, match="POP3 has no UIDs"):
        refetch_value("uid:5", connection(spec={"protocol": "POP3"}), NOW)


def test_a_refusal_is_the_one_of_this_request() -> None:
    old = {"reason": "RefetchRefused", "message": "old", "time": "2026-01-31T10:00:00Z"}
    new = {"reason": "RefetchRefused", "message": "no such day", "time": "2026-01-31T12:00:00Z"}
    other = {"reason": "MailboxReset", "message": "x", "time": "2026-01-31T12:00:00Z"}
    before = connection(status={"notices": [old]})
    assert refusal_of(before, connection(status={"notices": [old, other, new]})) == "no such day"
    assert refusal_of(before, connection(status={"notices": [old, other]})) == ""


def test_steps_are_shown_in_their_order_with_their_times() -> None:
    steps = [
        {"name": "tls", "ok": False, "detail": "the certificate \x1b[31mexpired", "milliseconds": 12345},
        {"name": "dns", "ok": True, "detail": "192.0.2.1"},
        {"name": "tcp", "ok": True, "milliseconds": 31},
    ]
    lines = list(step_lines(steps))
    assert [line.label for line in lines] == ["Test", "DNS", "TCP", "TLS", "Not reached"]
    assert lines[1].text.split() == ["ok", "0", "ms", "192.0.2.1"]
    assert lines[3].text.split()[:3] == ["FAILED", "12,345", "ms"]
    assert lines[3].tone == "bad"
    assert "\x1b" not in lines[3].text
    assert lines[4].text == "Capability, Login, Folder, Permission"
