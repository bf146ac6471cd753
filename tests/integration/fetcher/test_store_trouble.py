"""Gates, lost and rewound states, lost leases: nothing is downloaded twice, nothing touched that should not be."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from mailfetch_fetcher.contract.assignment import fingerprint
from mailfetch_fetcher.contract.keys import StreamKeys
from tests.integration.fetcher.helpers import NAMESPACE, Account, Fetcher, assignment, bodies, fetcher_on
from tests.servers import mailgen
from tests.servers.proxy import FaultProxy
from tests.servers.redis import RedisServer, wait_until

KEYS = StreamKeys(namespace=NAMESPACE, stream="support").connection("support")


@pytest.fixture
def running(fetcher: Fetcher, account: Account) -> Fetcher:
    """Has downloaded ten mails."""
    account.dovecot.fill(account.user, mailgen.mails(10))
    account.give_secrets(fetcher)
    fetcher.assign(assignment(account.spec(schedule={"interval": "300ms"})))
    fetcher.caught_up(10)
    return fetcher


def test_a_lost_state_closes_the_gate_until_it_is_approved_anew(
    running: Fetcher, server: RedisServer, account: Account
) -> None:
    server.client().flushall()
    report = running.wait_for(lambda r: r.phase == "Waiting")
    assert report.gate == "StateLost"
    assert server.client().exists(KEYS.state, KEYS.stream.queue) == 0
    running.assign(assignment(account.spec(schedule={"interval": "300ms"}), gate_epoch=2))
    running.wait_for(lambda r: r.phase == "Listening" and r.messages == 10)
    assert account.verdict(server.url, seen=True).ok


def test_a_lost_state_is_noticed_by_the_next_session_too(
    running: Fetcher, server: RedisServer, account: Account
) -> None:
    """The spec changes before the operator has learned the id of the state."""
    assert account.user
    running.assign()
    wait_until(lambda: running.report() is None, what="the session has ended")
    running.assign(assignment(account.spec(), state_id="0123456789abcdef"))
    assert running.wait_for(lambda r: r.phase == "Waiting").gate == "StateLost"


def test_a_change_of_the_spec_does_not_forget_the_state(
    running: Fetcher, server: RedisServer, account: Account
) -> None:
    changed = assignment(account.spec(schedule={"interval": "200ms"}))  # without state_id, as from a slow operator
    server.client().flushall()
    running.assign(changed)
    assert running.wait_for(lambda r: r.phase == "Waiting").gate == "StateLost"
    assert server.client().exists(KEYS.state) == 0


def test_another_mailbox_under_the_same_name_waits(
    running: Fetcher, server: RedisServer, account: Account, make_account: object
) -> None:
    assert callable(make_account)
    other: Account = make_account()
    other.dovecot.fill(other.user, mailgen.mails(3, seed=7))
    state_id = running.caught_up(10).state_id
    running.assign(assignment(other.spec()))
    assert running.wait_for(lambda r: r.phase == "Waiting").gate == "IdentityChanged"
    assert len(bodies(server.client())) == 10
    moved = assignment(other.spec(), gate_epoch=2, state_id=state_id)  # a probe took it for the one that moved
    running.assign(moved)
    report = running.wait_for(lambda r: r.phase == "Waiting" and r.fingerprint == fingerprint(moved))
    assert (report.gate, len(bodies(server.client()))) == ("IdentityChanged", 10)
    assert "cannot be recognised" in report.gate_message
    running.assign(assignment(other.spec(), gate_epoch=3))
    running.wait_for(lambda r: r.phase == "Listening")
    assert len(bodies(server.client())) == 13


@pytest.mark.parametrize("action", ["MarkSeen", "Delete"])
def test_a_store_that_went_back(tmp_path: Path, account: Account, server: RedisServer, action: str) -> None:
    """The operator has seen step 1000; Redis is at an older one."""
    account.dovecot.fill(account.user, mailgen.mails(5))
    spec = account.spec(afterDownload={"action": "None"})
    with fetcher_on(tmp_path / "one", server.url) as fetcher:
        account.give_secrets(fetcher)
        fetcher.assign(assignment(spec))
        state_id = fetcher.caught_up(5).state_id
    account.dovecot.deliver(account.user, mailgen.make_mail(5))
    spec = account.spec(afterDownload={"action": action}, schedule={"interval": "300ms"})
    with fetcher_on(tmp_path / "two", server.url) as fetcher:
        account.give_secrets(fetcher)
        fetcher.assign(assignment(spec, state_id=state_id, seq=1000))
        if action == "MarkSeen":
            fetcher.caught_up(6)
            assert account.dovecot.flags(account.user)[6] == {"\\seen"}
            return
        report = fetcher.wait_for(lambda r: r.actions.reason == "StoreWentBack")
        assert "resume-actions=1000" in report.actions.message
        assert "step 1000" in fetcher.noticed("StoreWentBack")
        fetcher.assign(assignment(spec, state_id=state_id, seq=1000, requests={"resume-actions": "999"}))
        report = fetcher.wait_for(lambda r: r.requests)
        assert (report.actions.reason, report.actions.pending) == ("StoreWentBack", 1)
        assert 6 in account.dovecot.flags(account.user)
        fetcher.assign(assignment(spec, state_id=state_id, seq=1000, requests={"resume-actions": "1000"}))
        fetcher.wait_for(lambda r: r.actions.reason == "Done")
        assert set(account.dovecot.flags(account.user)) == {1, 2, 3, 4, 5}
    # The next process is told the same number, and the same consent: it has nothing to say.
    account.dovecot.deliver(account.user, mailgen.make_mail(6))
    with fetcher_on(tmp_path / "three", server.url) as fetcher:
        account.give_secrets(fetcher)
        fetcher.assign(assignment(spec, state_id=state_id, seq=1000, requests={"resume-actions": "1000"}))
        report = fetcher.caught_up(7)
        assert report.notices == ()
        assert set(account.dovecot.flags(account.user)) == {1, 2, 3, 4, 5}


# ---- leases ----


@pytest.fixture
def two(tmp_path: Path, server: RedisServer) -> Iterator[tuple[Fetcher, Fetcher]]:
    """Two pods with leases of two seconds."""
    with (
        fetcher_on(tmp_path / "a", server.url, pod_uid="pod-a", lease=2.0) as a,
        fetcher_on(tmp_path / "b", server.url, pod_uid="pod-b", lease=2.0) as b,
    ):
        yield a, b


def test_two_fetchers_never_share_a_mailbox(
    two: tuple[Fetcher, Fetcher], server: RedisServer, account: Account
) -> None:
    account.dovecot.fill(account.user, mailgen.mails(400))
    for one in two:
        account.give_secrets(one)
        one.assign(assignment(account.spec()))
    wait_until(lambda: len(bodies(server.client())) >= 400, what="all mails")
    assert account.verdict(server.url).ok
    wait_until(lambda: sum(r.phase == "Listening" for one in two if (r := one.report())) == 1, what="one of them")
    loser = next(one for one in two if (r := one.report()) and r.phase != "Listening")
    message = loser.problem("StoreUnavailable")
    assert "holds the lease" in message


def test_a_fetcher_that_stops_gives_its_lease_back(
    two: tuple[Fetcher, Fetcher], server: RedisServer, account: Account
) -> None:
    a, b = two
    for one in two:
        account.give_secrets(one)
    a.assign(assignment(account.spec()))
    a.wait_for(lambda r: r.phase == "Listening")
    a.assign()
    wait_until(lambda: server.client().exists(KEYS.lease) == 0, what="the lease is free")
    b.assign(assignment(account.spec()))
    b.wait_for(lambda r: r.phase == "Listening")


def test_a_lost_lease_ends_idle_at_once(two: tuple[Fetcher, Fetcher], server: RedisServer, account: Account) -> None:
    """Somebody else became the owner while the session idles, with a day to go."""
    a, _ = two
    account.give_secrets(a)
    a.assign(assignment(account.spec()))
    a.wait_for(lambda r: r.phase == "Listening")
    server.client().hset(KEYS.state, "owner", "pod-x 1234")
    server.client().set(KEYS.lease, "pod-x 1234", px=3000)
    a.problem("StoreUnavailable")
    a.wait_for(lambda r: r.phase == "Listening")  # and comes back when that one has ended


def test_a_redis_that_answers_nothing_stops_everything_in_time(
    tmp_path: Path, server: RedisServer, account: Account
) -> None:
    with FaultProxy(server.port) as proxy:
        fetcher = Fetcher(tmp_path / "pod", f"redis://127.0.0.1:{proxy.port}/0")
        account.dovecot.fill(account.user, mailgen.mails(200))
        account.give_secrets(fetcher)
        fetcher.assign(assignment(account.spec()))
        fetcher.wait_for(lambda r: r.connected)
        proxy.freeze()
        account.dovecot.deliver(account.user, mailgen.make_mail(200))
        fetcher.stop()  # waits at most a minute; a pod has 30 s
        proxy.thaw()


def test_the_operator_notices_it_while_the_session_runs(running: Fetcher, account: Account) -> None:
    """Nothing starts anew: the actions pause, and go on when people agree."""
    spec = account.spec(afterDownload={"action": "Delete"}, schedule={"interval": "300ms"})
    first = assignment(spec)
    running.assign(first)
    before = running.wait_for(lambda r: r.fingerprint == fingerprint(first) and r.phase == "Listening")
    left = account.left()
    told = msgspec.structs.replace(first, state_id=before.state_id, seq=1000)
    running.assign(told)
    assert "step 1000" in running.noticed("StoreWentBack")
    account.dovecot.deliver(account.user, mailgen.make_mail(10))
    report = running.wait_for(lambda r: r.actions.reason == "StoreWentBack")
    assert "resume-actions=1000" in report.actions.message
    assert (report.messages, report.actions.pending, account.left()) == (11, 1, left + 1)
    running.assign(msgspec.structs.replace(told, requests={"resume-actions": "1000"}))
    running.caught_up(11)
    assert account.left() == left
    assert [n.reason for n in running.caught_up(11).notices] == ["StoreWentBack"]
