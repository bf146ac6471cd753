"""The request `refetch`: once for each value, each mail once for each request, whatever happens in between."""

from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.integration.fetcher.helpers import (
    Account,
    Fetcher,
    KillableFetcher,
    assignment,
    bodies,
    entries,
    fake_spec,
    give_fake_secret,
    log_steps,
)
from tests.servers import mailgen
from tests.servers.imapfake import FakeImap
from tests.servers.proxy import FaultProxy
from tests.servers.redis import RedisServer, wait_until

STATE = "mail:{helpdesk/support}:conn:support:state"


@pytest.fixture
def running(fetcher: Fetcher, account: Account) -> Fetcher:
    """Has downloaded ten mails."""
    account.dovecot.fill(account.user, mailgen.mails(10))
    account.give_secrets(fetcher)
    fetcher.assign(assignment(account.spec()))
    fetcher.caught_up(10)
    return fetcher


def ask(fetcher: Fetcher, account: Account, value: str) -> None:
    fetcher.assign(assignment(account.spec(), requests={"refetch": value}))
    fetcher.answered("refetch", value)


def test_by_uid(running: Fetcher, server: RedisServer, account: Account) -> None:
    ask(running, account, "uid:2,4-5,99")
    again = entries(server.client())[10:]
    assert [int(entry["uid"]) for entry in again] == [2, 4, 5]
    first = {entry["uid"]: entry["id"] for entry in entries(server.client())[:10]}
    assert all(entry["id"].startswith(f"{first[entry['uid']]}~") for entry in again)
    assert bodies(server.client())[10:] == [bodies(server.client())[uid - 1] for uid in (2, 4, 5)]


def test_once_for_each_value_also_in_the_next_session(running: Fetcher, server: RedisServer, account: Account) -> None:
    ask(running, account, "uid:3")
    for _ in range(2):
        running.assign()
        wait_until(lambda: running.report() is None, what="the session has ended")
        ask(running, account, "uid:3")
    assert len(bodies(server.client())) == 11
    ask(running, account, "uid:3#again")
    assert [entry["uid"] for entry in entries(server.client())[10:]] == ["3", "3"]
    assert len({entry["id"] for entry in entries(server.client())}) == 12


def test_since_a_day(running: Fetcher, server: RedisServer, account: Account) -> None:
    account.dovecot.deliver(account.user, mailgen.make_mail(10))
    running.caught_up(11)
    ask(running, account, "since:2026-02-01")
    ask(running, account, f"since:{mailgen.FIRST_DATE:%Y-%m-%d}")
    counted = Counter(entry["uid"] for entry in entries(server.client()))
    assert counted == Counter({str(uid): 2 for uid in range(1, 11)} | {"11": 3})


@pytest.mark.parametrize("value", ["uid:x", "since:yesterday", "all", "", "uid:"])
def test_what_cannot_be_understood_is_told_once(
    running: Fetcher, server: RedisServer, account: Account, value: str
) -> None:
    ask(running, account, value)
    assert f"refetch={value}" in running.noticed("RefetchRefused")
    report = running.report()
    assert report
    assert (report.problem, len(report.notices)) == (None, 1)
    running.assign(assignment(account.spec(), requests={"refetch": value, "fetch": "1"}))
    report = running.answered("fetch", "1")
    assert len(report.notices) == 1
    assert len(bodies(server.client())) == 10


def test_a_mail_that_was_never_wanted_is_had_on_request(
    fetcher: Fetcher, server: RedisServer, account: Account
) -> None:
    account.dovecot.fill(account.user, mailgen.mails(5))
    account.give_secrets(fetcher)
    spec = account.spec(backlog={"startFrom": "Now"})
    fetcher.assign(assignment(spec))
    fetcher.wait_for(lambda r: r.phase == "Listening")
    fetcher.assign(assignment(spec, requests={"refetch": "uid:4"}))
    fetcher.answered("refetch", "uid:4")
    assert [entry["uid"] for entry in entries(server.client())] == ["4"]


def test_the_cursor_stays_where_it_is(running: Fetcher, server: RedisServer, account: Account) -> None:
    client: Any = server.client()
    before = client.hmget(STATE, "cursor", "anchor")
    ask(running, account, "uid:1-3")
    assert client.hmget(STATE, "cursor", "anchor") == before
    account.dovecot.deliver(account.user, mailgen.make_mail(10))
    running.caught_up(14)
    assert len(log_steps(client, "refetch")) == 1


def test_a_kill_in_the_middle(tmp_path: Path, server: RedisServer, account: Account) -> None:
    mails = [mailgen.large_mail(100_000, seed=n) for n in range(30)]
    account.dovecot.fill(account.user, mails)
    with FaultProxy(account.dovecot.imaps_port) as proxy, KillableFetcher(tmp_path / "k", server.url) as pod:
        spec = account.spec(server={"host": "127.0.0.1", "port": proxy.port})
        account.give_secrets(pod)
        pod.assign(assignment(spec))
        wait_until(lambda: len(bodies(server.client())) == 30, what="all mails")
        proxy.delay = 0.05
        pod.assign(assignment(spec, requests={"refetch": "uid:1-99"}))
        wait_until(lambda: len(bodies(server.client())) > 30, what="some of them again")
        pod.kill()
        assert 30 < len(bodies(server.client())) < 60
        proxy.delay = 0.0
        pod.start()
        wait_until(lambda: b'"done":true' in (server.client().hget(STATE, "refetch") or b""), what="the end")
        again = entries(server.client())[30:]
        assert [int(entry["uid"]) for entry in again] == list(range(1, 31))
        assert len({entry["id"] for entry in entries(server.client())}) == 60


def test_pop3(fetcher: Fetcher, server: RedisServer, account: Account) -> None:
    account.dovecot.fill(account.user, mailgen.mails(6))
    account.give_secrets(fetcher)
    fetcher.assign(assignment(account.pop3()))
    fetcher.caught_up(6)
    value = f"since:{mailgen.FIRST_DATE - timedelta(days=1):%Y-%m-%d}"  # the day there, in whatever zone
    fetcher.assign(assignment(account.pop3(), requests={"refetch": value}))
    fetcher.answered("refetch", value)
    assert len(bodies(server.client())) == 12
    assert len(set(bodies(server.client()))) == 6
    fetcher.assign(assignment(account.pop3(), requests={"refetch": "uid:1"}))
    fetcher.answered("refetch", "uid:1")
    assert "POP3" in fetcher.noticed("RefetchRefused")


def test_a_mail_that_comes_meanwhile_comes_once(fetcher: Fetcher, server: RedisServer) -> None:
    with FakeImap() as fake:
        for n in range(2):
            fake.inbox.add(mailgen.make_mail(n))
        spec = fake_spec(fake.port)
        give_fake_secret(fetcher)
        fetcher.assign(assignment(spec))
        fetcher.caught_up(2)
        session = fake.sessions[0]
        listed = session._uid_fetch

        def listed_later(rest: str) -> None:
            if "INTERNALDATE" in rest and fake.inbox.exists == 2:
                fake.inbox.add(mailgen.make_mail(2))
            listed(rest)

        session._uid_fetch = listed_later  # type: ignore[method-assign]
        request = {"refetch": "since:1990-01-01"}
        fetcher.assign(assignment(spec, requests=request))
        fetcher.answered("refetch", request["refetch"])
        assert fake.inbox.exists == 3
        fetcher.assign(assignment(spec, requests=request | {"fetch": "look"}))
        fetcher.answered("fetch", "look")
        assert Counter(entry["uid"] for entry in entries(server.client())) == {"1": 2, "2": 2, "3": 1}
