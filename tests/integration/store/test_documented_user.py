"""The Redis user that docs/operations.md tells administrators to make can do everything that the store does."""

from pathlib import Path

import pytest

from mailfetch_fetcher.sources.base import Outcome
from mailfetch_fetcher.store.model import Batch, Owner, QueuePolicy, WantedAction
from mailfetch_fetcher.store.purge import purge
from mailfetch_fetcher.store.target import parse_target
from tests.integration.store.helpers import KEYS, STREAM, Store, batch, mail, name, named, open_new, quarantined
from tests.servers.redis import RedisServer

PAGE = Path(__file__).parents[3] / "docs" / "operations.md"


@pytest.fixture
def user(server: RedisServer, store: Store) -> Store:
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("ACL SETUSER mailfetch-helpdesk")]
    assert len(lines) == 1
    for line in lines:
        words = line.partition("#")[0].replace("PASSWORD", "geheim").split()
        store.client.execute_command(*words)
    store.url = f"redis://mailfetch-helpdesk:geheim@127.0.0.1:{server.port}/0"
    return store


def test_the_documented_user_suffices(user: Store) -> None:
    user.client.config_set("appendfsync", "always")
    mailbox = user.opened(policy=QueuePolicy(consumer_groups=("tickets",), queue_seconds=0))
    writer = mailbox.start_blob()
    writer.append(b"x" * 70_000)
    mailbox.commit(batch(mail(1, body=writer.finish()), mail(2), mail(3, identity=b"<2@example.com>")))
    actions = mailbox.due_actions().actions
    assert len(actions) == 3
    mailbox.advance(actions[:1], "copying")
    mailbox.confirm_lease()
    mailbox.settle([Outcome(action=action, result="done") for action in mailbox.due_actions().actions])
    assert mailbox.outbox_size() == 0
    user.client.xreadgroup("tickets", "worker", {STREAM.queue: ">"}, noack=True)
    assert mailbox.trim() == 3
    mailbox.start_blob().append(b"x")
    mailbox.close(release=True)
    assert sorted(key.decode().removeprefix(STREAM.prefix) for key in user.client.scan_iter("*blob*")) == []
    names_and_stage(user)
    again = user.mailbox(pod="pod-2")
    again.open(identity="sha256:other", gate_epoch=2, create=False, state_id="", known_seq=0)
    assert again.safety().ok
    again.close(release=True)
    assert purge(parse_target(user.url, ca_file=None), KEYS, cluster_id="cluster-1", owner=Owner(pod_uid="purge")) > 0
    assert user.client.dbsize() == 0


def names_and_stage(user: Store) -> None:
    """Names, quarantine, a new ledger, acknowledged actions, pruning."""
    mailbox = user.mailbox(pod="pod-2", policy=QueuePolicy(consumer_groups=("tickets",)))
    open_new(mailbox)
    mailbox.stage().begin()
    mailbox.stage().add([name(1), name(2)])
    mailbox.commit(Batch(cursor="c", phase="Steady", staged=True))
    assert mailbox.known([name(1), name(3)]) == [True, False]
    mailbox.commit(Batch(mails=[named(3)], quarantine=[quarantined(4, with_name=True)], cursor="d"))
    mailbox.commit(Batch(mails=[named(4, action=WantedAction(kind="Delete"))], released=["uidl-4/1"]))
    assert mailbox.quarantine() == []
    assert mailbox.due_actions(group="tickets").actions == []
    assert mailbox.durable()
    deleted = [a for a in mailbox.due_actions().actions if a.kind == "Delete"]
    mailbox.settle([Outcome(action=a, result="done") for a in deleted])
    assert mailbox.prune([name(1), name(2), name(3)], now=1000).removed == 1
    mailbox.close(release=True)
