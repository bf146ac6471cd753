"""A pod's life: `assignments.json` and Secrets change under it, connections break hundreds of times, it is stopped."""

import gc
import os
import threading
import time
from pathlib import Path
from typing import Any

from mailfetch_fetcher.contract.assignment import FILE_NAME
from mailfetch_fetcher.memory import Memory
from mailfetch_fetcher.session import Session
from tests.integration.fetcher.helpers import NAMESPACE, Account, Fetcher, assignment, bodies, fetcher_on
from tests.servers import mailgen
from tests.servers.fakeserver import SILENCE
from tests.servers.imapfake import FakeImap
from tests.servers.proxy import FaultProxy
from tests.servers.redis import RedisServer, wait_until


def epoch_of(server: RedisServer, name: str = "support") -> str:
    """Changes when a session starts anew: the number of owners of the state."""
    client: Any = server.client()
    return str(client.hget(f"mail:{{{NAMESPACE}/{name}}}:conn:{name}:state", "epoch"))


def test_connections_come_and_go(fetcher: Fetcher, server: RedisServer, account: Account, make_account: Any) -> None:
    other = make_account()
    for one in (account, other):
        one.dovecot.fill(one.user, mailgen.mails(5))
    account.give_secrets(fetcher)
    one, two = assignment(account.spec(), name="one"), assignment(other.spec(), name="two")
    fetcher.assign(one)
    fetcher.caught_up(5, "one")
    epoch = epoch_of(server, "one")
    fetcher.assign(one, two)
    fetcher.caught_up(5, "two")
    fetcher.assign(two)
    wait_until(lambda: fetcher.report("one") is None, what="one has gone")
    assert not server.client().exists(f"mail:{{{NAMESPACE}/one}}:conn:one:lease")
    fetcher.assign(one, two)
    other.dovecot.deliver(other.user, mailgen.make_mail(5))
    account.dovecot.deliver(account.user, mailgen.make_mail(5))
    fetcher.caught_up(6, "one")
    fetcher.caught_up(6, "two")
    assert epoch == "b'1'"
    assert epoch_of(server, "one") == "b'2'"
    assert epoch_of(server, "two") == "b'1'"  # it was never disturbed


def test_what_is_no_change_of_the_work_disturbs_nothing(
    fetcher: Fetcher, server: RedisServer, account: Account
) -> None:
    account.give_secrets(fetcher)
    fetcher.assign(assignment(account.spec(), generation=1))
    fetcher.wait_for(lambda r: r.phase == "Listening")
    fetcher.assign(assignment(account.spec(), generation=2, seq=1, state_id="as the operator learns it"))
    fetcher.wait_for(lambda r: r.generation == 2)
    fetcher.write(f"assignments/{FILE_NAME}", (fetcher.directory / "assignments" / FILE_NAME).read_bytes())
    fetcher.assign(assignment(account.spec(), generation=3))
    fetcher.wait_for(lambda r: r.generation == 3)
    assert epoch_of(server) == "b'1'"


def test_a_broken_file_changes_nothing(fetcher: Fetcher, account: Account) -> None:
    account.give_secrets(fetcher)
    fetcher.assign(assignment(account.spec()))
    fetcher.wait_for(lambda r: r.phase == "Listening")
    for content in (b"", b"{", b"\xff\xfe\x00", b"[]", b'{"clusterId": 7}'):
        fetcher.write(f"assignments/{FILE_NAME}", content)
        time.sleep(1.2)  # longer than the pool's look at the file
        assert fetcher.pool.trouble() == ""
        account.dovecot.deliver(account.user, mailgen.make_mail(1))
    fetcher.caught_up(5)


def test_a_fetch_request_is_echoed_by_the_round_that_began_after_it(
    fetcher: Fetcher, server: RedisServer, account: Account
) -> None:
    spec = account.spec(schedule={"interval": "24h", "push": False})
    account.give_secrets(fetcher)
    fetcher.assign(assignment(spec))
    assert fetcher.wait_for(lambda r: r.phase == "Polling").requests == {}
    account.dovecot.deliver(account.user, mailgen.make_mail(1))
    fetcher.assign(assignment(spec, requests={"fetch": "r1"}))
    report = fetcher.wait_for(lambda r: r.requests == {"fetch": "r1"})
    assert report.messages == 1
    assert len(bodies(server.client())) == 1


def test_another_redis_in_the_secret_is_used_without_a_restart(
    fetcher: Fetcher, server: RedisServer, account: Account
) -> None:
    account.dovecot.fill(account.user, mailgen.mails(3))
    account.give_secrets(fetcher)
    fetcher.assign(assignment(account.spec(schedule={"interval": "300ms"})))
    fetcher.caught_up(3)
    with RedisServer(kind="valkey") as other:
        fetcher.write("redis/url", other.url)
        assert fetcher.wait_for(lambda r: r.phase == "Waiting").gate == "StateLost"
        assert other.client().dbsize() == 0


def test_two_hundred_lives_leak_nothing(fetcher: Fetcher, account: Account) -> None:
    """Each takes the lease, connects with TLS, logs in, and fails at the folder."""
    account.give_secrets(fetcher)
    wanted = assignment(account.spec(folder="Nowhere"))
    session = Session(assignment=wanted, cluster_id="c", env=fetcher.env, memory=Memory())

    def count(lives: int) -> tuple[int, int]:
        for _ in range(lives):
            assert session._attempt() > 0
        gc.collect()
        return len(os.listdir("/proc/self/fd")), threading.active_count()

    files, threads = count(5)
    after, threads_after = count(200)
    assert after <= files
    assert threads_after <= threads


# ---- stopping ----


def test_a_silent_mail_server_does_not_hold_up_the_end(tmp_path: Path, server: RedisServer, account: Account) -> None:
    """It stops answering in the middle of a mail; the lease is given back all the same."""
    account.dovecot.fill(account.user, [mailgen.large_mail(20_000_000)])
    with FaultProxy(account.dovecot.imaps_port) as proxy:
        fetcher = Fetcher(tmp_path / "pod", server.url)
        account.give_secrets(fetcher)
        proxy.delay = 0.01
        spec = account.spec(server={"host": "127.0.0.1", "port": proxy.port}, schedule={"timeout": "2m"})
        fetcher.assign(assignment(spec))
        wait_until(lambda: proxy.passed["to_client"] > 1_000_000, what="a part of the mail")
        proxy.freeze()
        fetcher.stop()
        assert not server.client().exists(f"mail:{{{NAMESPACE}/support}}:conn:support:lease")
        assert bodies(server.client()) == []
        leftover = [key for key in server.client().scan_iter("*:blob:*")]
        assert leftover == []


def test_a_silent_login_does_not_hold_up_the_end(tmp_path: Path, server: RedisServer) -> None:
    with FakeImap() as fake, fetcher_on(tmp_path / "pod", server.url) as fetcher:
        fake.quirks.answers["AUTHENTICATE"] = SILENCE
        fetcher.write("secrets/mailbox/password", "pass")
        spec = {
            "protocol": "IMAP",
            "server": {"host": "127.0.0.1", "port": fake.port, "encryption": "None", "allowInsecureLogin": True},
            "auth": {"type": "Password", "username": "user", "passwordSecretRef": {"name": "mailbox"}},
            "schedule": {"timeout": "2m"},
        }
        fetcher.assign(assignment(spec))
        fake.await_command("AUTHENTICATE")
        assert server.client().keys("*:lease")
        fetcher.stop()
        assert not server.client().keys("*:lease")  # given back, so that the next pod need not wait


def test_stopping_while_it_backs_off_is_at_once(fetcher: Fetcher, account: Account) -> None:
    account.give_secrets(fetcher)
    fetcher.write("secrets/mailbox/password", "wrong")  # backs off for 15 s at least
    fetcher.assign(assignment(account.spec()))
    fetcher.problem("AuthFailed")
    session = fetcher.pool._sessions["support"][0]
    session.stop()
    assert session.join(10.0)
