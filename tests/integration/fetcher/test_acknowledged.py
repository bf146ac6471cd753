"""Actions that wait: for a consumer group's acknowledgement, or for a delay."""

from typing import Any

import pytest

from tests.integration.fetcher.helpers import Account, Fetcher, assignment, bodies, log_steps
from tests.servers import mailgen
from tests.servers.redis import RedisServer, wait_until

QUEUE = "mail:{helpdesk/support}:queue"
OUTBOX = "mail:{helpdesk/support}:conn:support:outbox"
BOTH = pytest.mark.parametrize("protocol", ["IMAP", "POP3"])


def spec(account: Account, protocol: str, **after: Any) -> dict[str, Any]:
    made = account.pop3 if protocol == "POP3" else account.spec
    acknowledged = {"action": "Delete", "when": "Acknowledged", "consumerGroup": "crm"}
    return made(schedule={"interval": "200ms"}, afterDownload={**acknowledged, **after})


def take(server: RedisServer, count: int) -> list[bytes]:
    """Delivers so many entries to a consumer; returns their ids."""
    client: Any = server.client()
    found = client.xreadgroup("crm", "worker", {QUEUE: ">"}, count=count)
    return [key for _, entries in found for key, _ in entries]


@BOTH
def test_only_what_the_consumer_acknowledged_is_deleted(
    fetcher: Fetcher, server: RedisServer, account: Account, protocol: str
) -> None:
    account.dovecot.fill(account.user, mailgen.mails(6))
    before = account.stored()
    account.give_secrets(fetcher)
    fetcher.assign(assignment(spec(account, protocol)))
    report = fetcher.wait_for(lambda r: r.messages == 6 and r.phase in ("Listening", "Polling") and r.actions.pending)
    assert (report.actions.reason, report.actions.pending) == ("Done", 6)  # nothing is wrong
    assert "crm" in report.actions.message
    client: Any = server.client()
    taken = take(server, 4)
    client.xack(QUEUE, "crm", *taken[:3])
    fetcher.wait_for(lambda r: r.actions.pending == 3)
    wait_until(lambda: account.left() == 3, what="three are deleted")
    assert sorted(account.stored() + bodies(client)[:3]) == before
    client.xack(QUEUE, "crm", *taken[3:], *take(server, 10))
    fetcher.wait_for(lambda r: not r.actions.pending and not r.actions.message)
    wait_until(lambda: account.left() == 0, what="all are deleted")
    assert len(bodies(client)) == 6


def test_what_nobody_can_prove_is_never_touched(fetcher: Fetcher, server: RedisServer, account: Account) -> None:
    """The group was made anew at the end of the queue: nothing says that anybody has read what is there."""
    account.dovecot.fill(account.user, mailgen.mails(4))
    account.give_secrets(fetcher)
    fetcher.assign(assignment(spec(account, "IMAP")))
    fetcher.wait_for(lambda r: r.messages == 4 and r.actions.pending == 4)
    client: Any = server.client()
    client.xgroup_destroy(QUEUE, "crm")
    client.xgroup_create(QUEUE, "crm", "$")
    report = fetcher.wait_for(lambda r: r.actions.unproven == 4 and not r.actions.pending)
    assert report.actions.reason == "Done"
    assert len(account.stored()) == 4
    assert {line["result"] for line in log_steps(client, "Delete")} == {"Unproven"}
    account.dovecot.deliver(account.user, mailgen.make_mail(4))
    fetcher.wait_for(lambda r: r.messages == 5)
    client.xack(QUEUE, "crm", *take(server, 10))
    fetcher.wait_for(lambda r: r.messages == 5 and not r.actions.pending)
    wait_until(lambda: account.left() == 4, what="the new one is deleted")


@BOTH
def test_a_delay(fetcher: Fetcher, server: RedisServer, account: Account, protocol: str) -> None:
    account.dovecot.fill(account.user, mailgen.mails(3))
    account.give_secrets(fetcher)
    made = spec(account, protocol, when="Persisted", delay="1h")
    del made["afterDownload"]["consumerGroup"]
    fetcher.assign(assignment(made))
    report = fetcher.wait_for(lambda r: r.messages == 3 and r.actions.message)
    assert (report.actions.reason, report.actions.pending) == ("Done", 3)
    assert "1h" in report.actions.message
    assert account.left() == 3
    made["afterDownload"]["delay"] = "1ms"
    fetcher.assign(assignment(made))
    fetcher.wait_for(lambda r: r.messages == 3 and not r.actions.pending)
    wait_until(lambda: account.left() == 0, what="all are deleted")
    assert not server.client().exists(OUTBOX)
