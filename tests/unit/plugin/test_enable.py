from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from kubectl_mailfetch.enable import Talk, disable, enable
from kubectl_mailfetch.errors import Exit, PluginError
from kubectl_mailfetch.model import Connection
from kubectl_mailfetch.page import Line
from tests.unit.plugin.samples import NOW, awaiting, condition, connection, estimate, flowing

ENABLE, ACK = "mailfetch.dev/enable", "mailfetch.dev/acknowledge"
FAILED = {"conditions": [condition("Ready", "False", "AuthFailed", "The server refused the login.")]}
DISABLED = {"conditions": [condition("Ready", "True", "Disabled"), condition("Active", "False", "Disabled")]}


class Cluster:
    """One connection; each look after a change shows the operator's next status."""

    def __init__(self, first: Connection, then: Iterable[dict[str, Any]] = ()) -> None:
        self.raw: dict[str, Any] = dict(first.raw)
        self.then = list(then)
        self.patches: list[dict[str, str]] = []

    def get(self, namespace: str, name: str) -> dict[str, Any]:
        assert (namespace, name) == ("helpdesk", "support")
        if self.patches and self.then:
            self.raw = {**self.raw, "status": self.then.pop(0)}
        return self.raw

    def annotate(self, namespace: str, name: str, annotations: dict[str, str]) -> dict[str, Any]:
        self.patches.append(annotations)
        metadata = self.raw["metadata"]
        self.raw = {
            **self.raw,
            "metadata": {**metadata, "annotations": {**metadata.get("annotations", {}), **annotations}},
        }
        return self.raw


@dataclass
class Person:
    answers: bool = True
    looks: int = 10
    asked: list[str] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)

    def talk(self) -> Talk:
        return Talk(say=self.heard.append, show=self._show, ask=self._ask, now=lambda: NOW, pause=self._pause)

    def _show(self, lines: Sequence[Line]) -> None:
        self.heard += [line.text for line in lines]

    def _ask(self, question: str) -> bool:
        self.asked.append(question)
        return self.answers

    def _pause(self) -> bool:
        self.looks -= 1
        return self.looks >= 0


def run(cluster: Cluster, person: Person, *, wait: bool = True, what: Callable[..., None] = enable) -> None:
    extra = {"wait": wait} if what is enable else {}
    what(objects=cluster, namespace="helpdesk", name="support", talk=person.talk(), **extra)


def test_a_known_backlog_is_shown_asked_for_and_acknowledged_in_one_change() -> None:
    status = {**DISABLED, "estimate": estimate(1234)}
    cluster, person = Cluster(connection(status=status), [{**status}, flowing()]), Person()
    run(cluster, person)
    assert cluster.patches == [{ENABLE: "true", ACK: "1234"}]
    assert person.asked == ["Enable support and download its 1,234 new mails?"]
    assert any("1,234 of 20,110" in text for text in person.heard)


def test_a_small_backlog_needs_no_acknowledgement() -> None:
    cluster = Cluster(connection(status={**DISABLED, "estimate": estimate(7)}), [flowing()])
    run(cluster, Person())
    assert cluster.patches == [{ENABLE: "true"}]


def test_without_an_estimate_it_enables_waits_for_the_count_and_asks_again() -> None:
    cluster, person = Cluster(connection(), [DISABLED, awaiting(1234), awaiting(1234), flowing()]), Person()
    run(cluster, person)
    assert cluster.patches == [{ENABLE: "true"}, {ACK: "1234"}]
    assert "counted first" in person.asked[0]
    assert person.asked[1] == "Download the backlog of 1,234 mails of support?"


def test_a_mailbox_that_grew_meanwhile_is_asked_for_again() -> None:
    status = {**DISABLED, "estimate": estimate(1234)}
    cluster, person = Cluster(connection(status=status), [awaiting(5000), flowing()]), Person()
    run(cluster, person)
    assert cluster.patches == [{ENABLE: "true", ACK: "1234"}, {ACK: "5000"}]
    assert len(person.asked) == 2


def test_no_changes_nothing() -> None:
    cluster = Cluster(connection(status={**DISABLED, "estimate": estimate(1234)}))
    with pytest.raises(PluginError) as caught:
        run(cluster, Person(answers=False))
    assert (caught.value.code, cluster.patches) == (Exit.DECLINED, [])


def test_a_connection_that_fails_ends_with_the_reason_and_the_remedy() -> None:
    with pytest.raises(PluginError, match=r"AuthFailed: The server refused(.|\n)*status support -n helpdesk") as caught:
        run(Cluster(connection(), [FAILED]), Person())
    assert caught.value.code == Exit.ERROR


def test_an_operator_that_never_answers_is_a_timeout_and_the_change_stays() -> None:
    cluster = Cluster(connection())
    with pytest.raises(PluginError, match="has not settled in time") as caught:
        run(cluster, Person(looks=3))
    assert (caught.value.code, cluster.patches) == (Exit.TIMEOUT, [{ENABLE: "true"}])


def test_no_wait_returns_after_the_change() -> None:
    cluster, person = Cluster(connection(status={**DISABLED, "estimate": estimate(1234, confidence="Low")})), Person()
    run(cluster, person, wait=False)
    assert cluster.patches == [{ENABLE: "true", ACK: "1234"}]
    assert person.heard[-1] == "Follow it with: kubectl mailfetch status support -n helpdesk"


def test_an_enabled_connection_is_left_alone() -> None:
    cluster, person = Cluster(connection(status=flowing(), annotations={ENABLE: "true"})), Person()
    run(cluster, person)
    assert (cluster.patches, person.asked) == ([], [])
    assert person.heard[0] == "support is enabled already: Idle. All mails are downloaded."


def test_an_enabled_connection_that_fails_is_an_error_too() -> None:
    with pytest.raises(PluginError, match="AuthFailed: The server refused") as caught:
        run(Cluster(connection(status=FAILED, annotations={ENABLE: "true"})), Person())
    assert caught.value.code == Exit.ERROR


def test_a_gate_that_closes_behind_the_acknowledgement_is_not_opened_again_unseen() -> None:
    first = connection(status=awaiting(1234), annotations={ENABLE: "true"})
    cluster, person = Cluster(first, [awaiting(9000, epoch=2)]), Person()
    with pytest.raises(PluginError, match="its gate closed again") as caught:
        run(cluster, person)
    assert caught.value.code == Exit.ERROR
    assert cluster.patches == [{ACK: "1234"}]


def test_a_suspended_connection_is_pointed_out() -> None:
    suspended = {"conditions": [condition("Ready", "True", "Suspended")]}
    person = Person()
    run(Cluster(connection(spec={"suspend": True}), [suspended]), person)
    assert any("spec.suspend is true" in text for text in person.heard)


def test_disable_says_false_once() -> None:
    cluster, person = Cluster(connection(status=flowing(), annotations={ENABLE: "true", ACK: "1234"})), Person()
    run(cluster, person, what=disable)
    run(cluster, person, what=disable)
    assert cluster.patches == [{ENABLE: "false"}]
    assert person.heard[-1] == "support is disabled already."
