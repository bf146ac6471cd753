"""Each failure has its own reason and a message with the remedy, and ends by itself when its cause is gone."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mailfetch_fetcher.contract.report import ConnectionReport
from tests.integration.fetcher.helpers import Account, Fetcher, assignment, fetcher_on
from tests.servers import mailgen
from tests.servers.certs import Kind as Certificate
from tests.servers.certs import make_certificates
from tests.servers.dovecot import Dovecot
from tests.servers.redis import RedisServer, free_port

PASSWORD = "the password"


@pytest.fixture
def started(fetcher: Fetcher, account: Account) -> Callable[..., None]:
    """Runs the account, with one mail in it, under a spec with these changes."""

    def start(**changes: Any) -> None:
        account.dovecot.fill(account.user, mailgen.mails(1))
        account.give_secrets(fetcher)
        fetcher.assign(assignment(account.spec(**changes)))

    return start


def test_a_wrong_password_is_tried_again_when_the_secret_changes(
    fetcher: Fetcher, account: Account, started: Callable[..., None]
) -> None:
    account.give_secrets(fetcher)
    fetcher.write("secrets/mailbox/password", "wrong")
    account.dovecot.fill(account.user, mailgen.mails(1))
    fetcher.assign(assignment(account.spec()))
    message = fetcher.problem("AuthFailed")
    assert "spec.auth.passwordSecretRef" in message
    assert "wrong" not in message
    fetcher.write("secrets/mailbox/password", PASSWORD)  # the next try by itself would come after 15 s at the earliest
    fetcher.caught_up(1)
    report = fetcher.report()
    assert report
    assert report.last_problem
    assert report.last_problem.reason == "AuthFailed"


def test_a_missing_password_secret(fetcher: Fetcher, account: Account) -> None:
    account.dovecot.fill(account.user, mailgen.mails(1))
    fetcher.write("secrets/ca/ca.crt", account.dovecot.certificates.ca.read_bytes())
    fetcher.assign(assignment(account.spec()))
    assert "create secret generic mailbox" in fetcher.problem("SecretNotFound")
    account.give_secrets(fetcher)
    fetcher.caught_up(1)


def test_a_missing_ca_secret(fetcher: Fetcher, account: Account) -> None:
    account.dovecot.fill(account.user, mailgen.mails(1))
    fetcher.write("secrets/mailbox/password", PASSWORD)
    fetcher.assign(assignment(account.spec()))
    assert "spec.tls.caSecretRef" in fetcher.problem("SecretNotFound")
    account.give_secrets(fetcher)
    fetcher.caught_up(1)


def test_an_unknown_host(fetcher: Fetcher, account: Account, started: Callable[..., None]) -> None:
    started(server={"host": "nobody.invalid", "port": 993})
    assert "spec.server.host" in fetcher.problem("ConnectionFailed")
    fetcher.assign(assignment(account.spec(), gate_epoch=2))  # another host is another mailbox
    fetcher.caught_up(1)


def test_a_refused_port(fetcher: Fetcher, account: Account, started: Callable[..., None]) -> None:
    started(server={"host": "127.0.0.1", "port": free_port()})
    assert "refused the connection" in fetcher.problem("ConnectionFailed")
    fetcher.assign(assignment(account.spec(), gate_epoch=2))
    fetcher.caught_up(1)


def test_an_unknown_ca(fetcher: Fetcher, account: Account, started: Callable[..., None], tmp_path: Path) -> None:
    account.dovecot.fill(account.user, mailgen.mails(1))
    account.give_secrets(fetcher)
    other = make_certificates(tmp_path / "other")
    fetcher.write("secrets/ca/ca.crt", other.ca.read_bytes())
    fetcher.assign(assignment(account.spec()))
    assert "is not trusted" in fetcher.problem("TLSFailed")
    account.give_secrets(fetcher)
    fetcher.caught_up(1)


@pytest.fixture
def own_dovecot(tmp_path: Path) -> Iterator[Dovecot]:
    """For tests that break the server."""
    with Dovecot(make_certificates(tmp_path / "certificates")) as running:
        yield running


@pytest.mark.parametrize(("certificate", "words"), [("expired", "has expired"), ("wronghost", "for another name")])
def test_a_bad_certificate(fetcher: Fetcher, own_dovecot: Dovecot, certificate: Certificate, words: str) -> None:
    own_dovecot.restart(certificate=certificate)
    account = Account(own_dovecot, "user1@mail.test", PASSWORD)
    own_dovecot.fill(account.user, mailgen.mails(1))
    account.give_secrets(fetcher)
    fetcher.assign(assignment(account.spec()))
    assert words in fetcher.problem("TLSFailed")
    own_dovecot.restart(certificate="server")
    fetcher.assign(assignment(account.spec(), requests={"fetch": "now"}))  # does not wait for the back-off
    report = fetcher.caught_up(1)
    assert report.requests == {"fetch": "now"}


def test_the_server_goes_away_and_comes_back(fetcher: Fetcher, own_dovecot: Dovecot) -> None:
    account = Account(own_dovecot, "user1@mail.test", PASSWORD)
    own_dovecot.fill(account.user, mailgen.mails(1))
    account.give_secrets(fetcher)
    fetcher.assign(assignment(account.spec()))
    fetcher.caught_up(1)
    own_dovecot.halt()
    fetcher.problem("ConnectionFailed")
    own_dovecot.start()
    own_dovecot.deliver(account.user, mailgen.make_mail(1))
    assert fetcher.caught_up(2).problem is None


def test_a_missing_folder(fetcher: Fetcher, account: Account, started: Callable[..., None]) -> None:
    started(folder="Invoices")
    assert "spec.folder" in fetcher.problem("FolderNotFound")
    account.dovecot.create_folder(account.user, "Invoices")
    account.dovecot.fill(account.user, mailgen.mails(2), folder="Invoices")
    fetcher.assign(assignment(account.spec(folder="Invoices"), requests={"fetch": "1"}))
    fetcher.caught_up(2)


def test_a_missing_move_target(fetcher: Fetcher, account: Account, started: Callable[..., None]) -> None:
    started(afterDownload={"action": "Move", "folder": "Done"})
    assert "spec.afterDownload.folder" in fetcher.problem("FolderNotFound")
    account.dovecot.create_folder(account.user, "Done")
    fetcher.caught_up(1)


# ---- Redis ----


def test_a_missing_redis_secret(fetcher: Fetcher, server: RedisServer, account: Account) -> None:
    (fetcher.directory / "redis/url").unlink()
    account.dovecot.fill(account.user, mailgen.mails(1))
    account.give_secrets(fetcher)
    fetcher.assign(assignment(account.spec()))
    assert "create secret generic mailfetch-redis" in fetcher.problem("SecretNotFound")
    fetcher.write("redis/url", server.url)
    fetcher.caught_up(1)


def test_no_redis(fetcher: Fetcher, server: RedisServer, account: Account) -> None:
    server.kill()
    account.dovecot.fill(account.user, mailgen.mails(1))
    account.give_secrets(fetcher)
    fetcher.assign(assignment(account.spec()))
    report = fetcher.wait_for(lambda r: r.problem and r.problem.reason == "StoreUnavailable")
    assert not report.connected
    server.restart()
    fetcher.caught_up(1)


def test_redis_dies_between_two_rounds(fetcher: Fetcher, server: RedisServer, account: Account) -> None:
    account.dovecot.fill(account.user, mailgen.mails(5))
    account.give_secrets(fetcher)
    fetcher.assign(assignment(account.spec(schedule={"interval": "300ms"})))
    fetcher.caught_up(5)
    server.kill()
    report = fetcher.wait_for(lambda r: r.problem and r.problem.reason == "StoreUnavailable")
    assert report.connected  # the way to the mailbox is not in doubt
    server.restart()
    account.dovecot.deliver(account.user, mailgen.make_mail(5))
    fetcher.caught_up(6)
    assert account.verdict(server.url).ok


def test_an_unsafe_redis_holds_actions_but_not_mails(fetcher: Fetcher, server: RedisServer, account: Account) -> None:
    server.client().config_set("maxmemory-policy", "allkeys-lru")
    account.dovecot.fill(account.user, mailgen.mails(20))
    account.give_secrets(fetcher)
    fetcher.assign(assignment(account.spec(schedule={"interval": "300ms"})))
    report = fetcher.wait_for(lambda r: r.messages == 20 and r.phase == "Listening")
    assert (report.actions.reason, report.actions.pending, report.problem) == ("StoreUnsafe", 20, None)
    assert "noeviction" in report.actions.message
    assert not any(account.dovecot.flags(account.user).values())
    server.client().config_set("maxmemory-policy", "noeviction")
    fetcher.wait_for(lambda r: r.actions.reason == "Done")
    assert account.verdict(server.url, seen=True).ok


def test_a_full_queue_goes_on_when_the_consumer_has_acknowledged(
    fetcher: Fetcher, server: RedisServer, account: Account
) -> None:
    stream = "mail:{helpdesk/support}:queue"
    client: Any = server.client()
    client.xgroup_create(stream, "crm", "0", mkstream=True)
    account.dovecot.fill(account.user, mailgen.mails(30))
    account.give_secrets(fetcher)
    queue = {"maxLength": 12, "consumerGroups": ["crm"]}
    fetcher.assign(assignment(account.spec(queue=queue, afterDownload={"action": "None"})))
    assert "crm" in fetcher.problem("QueueFull")
    taken: list[bytes] = []

    def more(report: ConnectionReport) -> bool:
        return report.messages > len(taken)

    while len(taken) < 30:
        fetcher.wait_for(more)
        for _, entries in client.xreadgroup("crm", "c1", {stream: ">"}, count=100):
            taken += [fields[b"sha256"] for _, fields in entries]
            client.xack(stream, "crm", *(key for key, _ in entries))
        requests = {"fetch": str(len(taken))}  # does not wait for the back-off
        fetcher.assign(assignment(account.spec(queue=queue, afterDownload={"action": "None"}), requests=requests))
    fetcher.caught_up(30)
    assert len(set(taken)) == len(taken) == 30
    assert client.xlen(stream) <= 12


def test_failures_of_one_mailbox_leave_the_others_alone(
    fetcher: Fetcher, server: RedisServer, account: Account, make_account: Any
) -> None:
    broken = {"host": "127.0.0.1", "port": free_port()}
    others = [make_account() for _ in range(5)]
    account.give_secrets(fetcher)
    for one in others:
        one.dovecot.fill(one.user, mailgen.mails(40))
    fetcher.assign(
        assignment(account.spec(server=broken), name="broken"),
        *(assignment(one.spec(), name=f"m{n}") for n, one in enumerate(others)),
    )
    for n, one in enumerate(others):
        fetcher.caught_up(40, f"m{n}")
        assert one.verdict(server.url, stream=f"m{n}", seen=True).ok
    fetcher.problem("ConnectionFailed", "broken")
    assert fetcher.pool.trouble() == ""


def test_the_same_failure_again_is_no_news(tmp_path: Path, account: Account) -> None:
    with fetcher_on(tmp_path / "pod", f"redis://127.0.0.1:{free_port()}/0") as fetcher:
        account.give_secrets(fetcher)
        fetcher.assign(assignment(account.spec()))
        first = fetcher.wait_for(lambda r: r.problem)
        fetcher.assign(assignment(account.spec(), requests={"fetch": "1"}))
        again = fetcher.wait_for(lambda r: r.failures > first.failures)
        assert again.problem == first.problem


def test_no_secret_in_any_report(tmp_path: Path, account: Account, caplog: pytest.LogCaptureFixture) -> None:
    """Neither the mailbox's password nor that of Redis, whatever fails."""
    secret = "s3cr3t-of-redis"
    with RedisServer(kind="valkey", password="another") as server:
        for n, url in enumerate(
            (f"redis://:{secret}@127.0.0.1:{server.port}/0", f"redis://u:{secret}@[x/0", f"re:{secret}")
        ):
            with fetcher_on(tmp_path / str(n), url) as fetcher:
                account.give_secrets(fetcher)
                fetcher.assign(assignment(account.spec()))
                fetcher.wait_for(lambda r: r.problem)
                assert secret not in str(fetcher.report())
    assert secret not in caplog.text
    assert PASSWORD not in caplog.text
