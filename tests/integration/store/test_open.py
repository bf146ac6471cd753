"""Opening a mailbox: what is created, taken over, put aside or refused."""

from typing import Any

import pytest

from mailfetch_fetcher.errors import GateClosed, StoreError
from mailfetch_fetcher.store.link import Link
from mailfetch_fetcher.store.model import Batch, Owner, QueuePolicy, State
from mailfetch_fetcher.store.opening import open_state
from mailfetch_fetcher.store.read import read_state
from mailfetch_fetcher.store.state import Wish
from mailfetch_fetcher.store.target import parse_target
from tests.integration.store.helpers import IDENTITY, KEYS, STREAM, Store, batch, mail, open_new
from tests.servers.proxy import FaultProxy


def test_a_new_state_has_every_field_of_the_state_machine(store: Store) -> None:
    state = open_new(store.mailbox())
    fields = store.state()
    machine = "stateId clusterId identity gateEpoch owner epoch seq tip phase cursor anchor hashKey refetch groupSeen"
    assert set(fields) == {*machine.split(), "format", "created"}
    assert (fields["phase"], fields["cursor"], fields["identity"]) == ("Steady", "", IDENTITY)
    assert fields["owner"].startswith("pod-1 ")
    assert len(state.hash_key) == 16
    assert (state.epoch, state.seq, state.messages, state.went_back) == (1, 1, 0, 0)


def test_an_absent_state_is_not_made_when_it_was_seen_before(store: Store) -> None:
    mailbox = store.mailbox()
    with pytest.raises(GateClosed) as closed:
        mailbox.open(identity=IDENTITY, gate_epoch=1, create=False, state_id="seen", known_seq=5)
    assert closed.value.gate == "StateLost"
    assert store.client.dbsize() == 0


def test_taking_over_goes_on_where_the_other_stopped(store: Store) -> None:
    first = store.opened()
    first.commit(batch(mail(1), mail(2)))
    second = store.mailbox()
    state = second.open(
        identity=IDENTITY, gate_epoch=1, create=False, state_id=first.state.state_id, known_seq=first.state.seq
    )
    assert (state.cursor, state.messages, state.epoch) == ("1700000000/2", 2, 2)
    assert state.seq == first.state.seq + 1
    assert state.hash_key == first.state.hash_key
    assert state.went_back == 0


def test_a_lease_that_was_taken_without_our_hearing_of_it_is_given_back(store: Store, proxy: FaultProxy) -> None:
    open_new(store.mailbox())
    other = store.mailbox(url=f"redis://127.0.0.1:{proxy.port}")
    proxy.lose_reply_to(b"'epoch', 1")
    with pytest.raises(StoreError):
        open_new(other)
    assert proxy.faults == 1
    assert store.state()["epoch"] == "2"  # it was taken
    other.close(release=True)
    assert store.client.get(KEYS.lease) is None


def test_a_lease_is_given_back_although_the_link_breaks_just_then(store: Store, proxy: FaultProxy) -> None:
    mailbox = store.opened(url=f"redis://127.0.0.1:{proxy.port}")
    proxy.cut_after(0, "to_server")
    mailbox.close(release=True)
    assert proxy.faults == 1
    assert store.client.get(KEYS.lease) is None


def test_a_store_that_went_back_is_reported(store: Store) -> None:
    state = open_new(store.mailbox())
    again = store.mailbox().open(
        identity=IDENTITY, gate_epoch=1, create=False, state_id=state.state_id, known_seq=state.seq + 7
    )
    assert again.went_back == 7


def test_another_state_than_the_seen_one_is_lost_unless_it_may_be_created(store: Store) -> None:
    open_new(store.mailbox())
    before = store.snapshot()
    with pytest.raises(GateClosed, match="not the one that was seen") as closed:
        store.mailbox().open(identity=IDENTITY, gate_epoch=1, create=False, state_id="another", known_seq=0)
    assert closed.value.gate == "StateLost"
    assert store.snapshot() == before
    store.mailbox().open(identity=IDENTITY, gate_epoch=2, create=True, state_id="another", known_seq=0)


def test_another_cluster_is_refused(store: Store) -> None:
    open_new(store.mailbox())
    before = store.snapshot()
    with pytest.raises(StoreError, match="another cluster") as failure:
        open_new(store.mailbox(cluster="cluster-2"))
    assert failure.value.reason == "InvalidConfiguration"
    assert store.snapshot() == before


def test_another_identity_needs_a_newer_epoch(store: Store) -> None:
    open_new(store.mailbox())
    before = store.snapshot()
    with pytest.raises(GateClosed) as closed:
        store.mailbox().open(identity="sha256:other", gate_epoch=1, create=True, state_id="", known_seq=0)
    assert closed.value.gate == "IdentityChanged"
    assert store.snapshot() == before


def test_with_a_newer_epoch_everything_of_the_old_mailbox_is_put_aside(store: Store) -> None:
    old = store.opened()
    old.commit(batch(mail(1), mail(2)))
    store.client.hset(KEYS.quarantine, "1700000000/3", "unreadable")
    store.client.hset(KEYS.gone, "7", "d")
    store.client.hset(KEYS.returns, "7", "1")
    kept = {key: store.client.dump(key) for key in (KEYS.outbox, KEYS.quarantine, KEYS.gone, KEYS.returns)}
    buckets = {key: store.client.dump(key) for key in store.client.scan_iter(KEYS.prefix + ":known:*")}
    fields = store.state()
    new = store.mailbox()
    with pytest.raises(GateClosed, match="cannot be recognised") as closed:  # people approved going on with the old one
        store.mailbox().open(
            identity="sha256:other", gate_epoch=2, create=False, state_id=old.state.state_id, known_seq=old.state.seq
        )
    assert closed.value.gate == "IdentityChanged"
    assert store.state() == fields
    state = new.open(identity="sha256:other", gate_epoch=2, create=True, state_id="", known_seq=0)
    assert (state.cursor, state.identity, state.gate_epoch, state.went_back) == ("", "sha256:other", 2, 0)
    assert state.state_id != old.state.state_id
    assert state.hash_key != old.state.hash_key
    assert store.client.hgetall(KEYS.prev) == {k.encode(): v.encode() for k, v in fields.items()}
    for key, content in kept.items():
        assert store.client.dump(key.replace(KEYS.prefix, KEYS.prev)) == content
    for key, content in buckets.items():
        assert store.client.dump(key.decode().replace(":known:", ":prev:known:")) == content
    assert not store.client.exists(*kept)
    assert store.known() == 0
    assert not new.due_actions(10).actions  # nothing of the old mailbox is ever done in the new one
    new.commit(batch(mail(1)))  # and the same UID is a new mail
    assert len(store.entries()) == 3
    assert len({e["id"] for e in store.entries()}) == 3


def test_putting_aside_twice_keeps_only_the_last_mailbox(store: Store) -> None:
    first = store.opened()
    first.commit(batch(*(mail(uid) for uid in range(1, 51))))
    for epoch, identity in ((2, "sha256:second"), (3, "sha256:third")):
        state = store.mailbox().open(identity=identity, gate_epoch=epoch, create=False, state_id="", known_seq=0)
        assert state.identity == identity
    assert store.client.hget(KEYS.prev, "identity") == b"sha256:second"
    assert not list(store.client.scan_iter(KEYS.prev + ":*"))


def test_what_a_lost_state_left_behind_is_put_aside_too(store: Store) -> None:
    first = store.opened()
    first.commit(batch(mail(1)))
    store.client.delete(KEYS.state)
    second = store.mailbox()
    second.open(identity=IDENTITY, gate_epoch=2, create=True, state_id="", known_seq=0)
    assert store.known() == 0
    assert not store.outbox()
    assert store.client.exists(KEYS.prev + ":outbox")


# -- phases, approvals, another address ----------------------------------------------------


def reopened(store: Store, **wish: Any) -> State:
    values: dict[str, Any] = {"identity": IDENTITY, "gate_epoch": 1, "create": False, "state_id": "", "known_seq": 0}
    return store.mailbox().open(**(values | wish))


def test_a_baseline_is_only_for_a_new_state(store: Store) -> None:
    assert reopened(store, create=True, baseline=True).phase == "Baseline"
    assert store.state()["phase"] == "Baseline"
    store.client.hset(KEYS.state, "phase", "Steady")
    assert reopened(store, create=True, baseline=True).phase == "Steady"


def test_a_take_notes_the_newest_approval(store: Store) -> None:
    open_new(store.mailbox())
    assert reopened(store, gate_epoch=4).gate_epoch == 4
    state = reopened(store, gate_epoch=2)
    assert (state.gate_epoch, state.reset_approved) == (4, False)
    assert store.state()["gateEpoch"] == "4"
    with pytest.raises(GateClosed):  # an approval that was used up does not open the gate for another mailbox
        reopened(store, gate_epoch=4, identity="sha256:other")


def test_in_a_reset_the_approval_is_kept_for_its_end(store: Store) -> None:
    mailbox = store.opened()
    mailbox.commit(Batch(phase="Reset 1800000000"))
    assert not reopened(store).reset_approved
    for _ in range(2):  # also after a crash
        state = reopened(store, gate_epoch=2)
        assert (state.reset_approved, state.gate_epoch) == (True, 1)
    last = store.mailbox()
    last.open(identity=IDENTITY, gate_epoch=2, create=False, state_id="", known_seq=0)
    last.commit(Batch(phase="Steady", gate_epoch=2))
    assert not last.state.reset_approved
    state = reopened(store, gate_epoch=2)
    assert (state.reset_approved, state.gate_epoch) == (False, 2)


def test_peeking_takes_nothing(store: Store) -> None:
    mailbox = store.mailbox()
    assert mailbox.peek() is None
    assert store.client.dbsize() == 0
    owner = store.opened()
    owner.commit(batch(mail(1)))
    before = store.snapshot()
    assert store.mailbox(pod="pod-2").peek() == owner.state
    assert store.snapshot() == before
    owner.commit(batch(mail(2)))


def test_a_moved_mailbox_goes_on_with_its_new_identity(store: Store) -> None:
    old = store.opened()
    old.commit(batch(mail(1), mail(2)))
    new = store.mailbox()
    assert new.peek()
    state = new.open(
        identity="sha256:other", gate_epoch=1, create=False, state_id=old.state.state_id, known_seq=0, adopt=True
    )
    assert (state.identity, state.cursor, state.state_id) == ("sha256:other", "1700000000/2", old.state.state_id)
    assert store.state()["identity"] == "sha256:other"
    assert not store.client.exists(KEYS.prev)
    assert store.known() == len(store.outbox()) == 2
    assert reopened(store, identity="sha256:other").cursor == "1700000000/2"


def test_only_the_state_that_was_looked_at_is_adopted(store: Store) -> None:
    open_new(store.mailbox())
    blind = store.mailbox()
    with pytest.raises(GateClosed) as closed:
        blind.open(identity="sha256:other", gate_epoch=1, create=False, state_id="", known_seq=0, adopt=True)
    assert closed.value.gate == "IdentityChanged"
    late = store.mailbox()
    assert late.peek()
    store.client.hset(KEYS.state, "stateId", "0123456789abcdef")  # another mailbox came in between
    before = store.snapshot()
    with pytest.raises(GateClosed):
        late.open(identity="sha256:other", gate_epoch=1, create=False, state_id="", known_seq=0, adopt=True)
    assert store.snapshot() == before


class LateLink(Link):
    """Right after the state was looked at, another fetcher makes that of another mailbox, or adopts it for one."""

    fields: tuple[str, ...] = ()

    def call(self, *command: Any) -> Any:
        reply = super().call(*command)
        if command == ("HGETALL", KEYS.state) and b"sha256:third" not in reply:
            super().call("HSET", KEYS.state, *self.fields, "identity", "sha256:third")
        return reply


@pytest.mark.parametrize(
    ("adopts", "fields"), [(False, ("stateId", "another")), (True, ("stateId", "another")), (False, ())]
)
def test_a_state_that_changes_between_look_and_take_is_looked_at_again(
    store: Store, adopts: bool, fields: tuple[str, ...]
) -> None:
    made = open_new(store.mailbox())
    link = LateLink(parse_target(store.url, ca_file=None))
    link.fields = fields
    wish = Wish(
        identity="sha256:other" if adopts else IDENTITY,
        cluster_id="cluster-1",
        gate_epoch=1,
        create=False,
        state_id="",
        known_seq=0,
        adopts=made.state_id if adopts else "",
    )
    owner = Owner(pod_uid="pod-1")
    with pytest.raises(GateClosed) as closed:
        open_state(link, keys=KEYS, owner=owner, wish=wish, policy=QueuePolicy(), tip="t", ttl=30, clock=store.clock)
    link.close()
    assert closed.value.gate == "IdentityChanged"
    assert store.state()["identity"] == "sha256:third"
    assert store.state()["owner"] != str(owner)


def test_named_groups_are_there_before_the_first_mail(store: Store) -> None:
    mailbox = store.opened(policy=QueuePolicy(consumer_groups=("tickets", "archive")))
    groups = {g["name"]: g["last-delivered-id"] for g in store.client.xinfo_groups(STREAM.queue)}
    assert groups == {b"tickets": b"0-0", b"archive": b"0-0"}
    consumers = store.client.xinfo_consumers(STREAM.queue, "tickets")
    assert [c["name"] for c in consumers] == [b"mailfetch-sentinel"]
    assert store.entries() == []
    mailbox.commit(batch(mail(1)))
    assert len(store.client.xreadgroup("tickets", "worker", {STREAM.queue: ">"})[0][1]) == 1


def test_a_state_of_the_first_version_goes_on(store: Store) -> None:
    first = store.opened()
    first.commit(batch(mail(1)))
    store.client.hdel(KEYS.state, "phase", "refetch", "groupSeen", "created")
    second = store.mailbox()
    state = open_new(second)
    assert (state.phase, state.refetch, state.group_seen, state.cursor) == ("Steady", "", "", "1700000000/1")
    second.commit(batch(mail(2)))


def test_a_state_of_a_newer_version_is_not_touched(store: Store) -> None:
    open_new(store.mailbox())
    store.client.hset(KEYS.state, "format", "2")
    before = store.snapshot()
    with pytest.raises(StoreError, match="newer version"):
        open_new(store.mailbox())
    assert store.snapshot() == before


def test_a_damaged_state_is_not_touched(store: Store) -> None:
    open_new(store.mailbox())
    store.client.hdel(KEYS.state, "hashKey")
    before = store.snapshot()
    with pytest.raises(StoreError, match="hashKey") as failure:
        open_new(store.mailbox())
    assert failure.value.reason == "StoreUnsafe"
    assert store.snapshot() == before


def test_a_connection_named_like_a_key_collides_with_nothing(store: Store) -> None:
    for name in ("blob", "queue", "conn", "log"):
        mailbox = store.opened(keys=STREAM.connection(name))
        mailbox.commit(batch(mail(1)))
    assert [e["connection"] for e in store.entries()] == ["blob", "queue", "conn", "log"]
    assert len({e["id"] for e in store.entries()}) == 4


def test_reading_takes_nothing_and_writes_nothing(store: Store) -> None:
    target = parse_target(store.url, ca_file=None)
    assert read_state(target, KEYS) is None
    assert store.client.dbsize() == 0
    mailbox = store.opened()
    mailbox.commit(batch(mail(1)))
    before = store.snapshot()
    state = read_state(target, KEYS)
    assert state == mailbox.state
    assert store.snapshot() == before
    mailbox.commit(batch(mail(2)))  # still the owner
