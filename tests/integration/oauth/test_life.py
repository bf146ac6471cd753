"""The life of tokens: fetched once, replaced when refused, kept over a restart."""

import logging
from pathlib import Path
from typing import Any

import pytest

from mailfetch_fetcher.auth.rotation import seal
from mailfetch_fetcher.clock import Clock
from mailfetch_fetcher.contract.assignment import Assignments, encode
from mailfetch_fetcher.metrics import REGISTRY
from mailfetch_fetcher.probe import examine
from mailfetch_fetcher.purging import purge_connection
from tests.integration.fetcher.helpers import NAMESPACE, Fetcher, assignment, bodies, fetcher_on
from tests.integration.oauth.helpers import Providers, asking, leave, start
from tests.servers import mailgen
from tests.servers.redis import RedisServer

TOKEN_KEY = f"mail:{{{NAMESPACE}/support}}:conn:support:token"


# ---- how often a token is asked for ----


def test_many_mailboxes_of_one_application_need_one_token(providers: Providers, fetcher: Fetcher) -> None:
    mailboxes = [providers.application(client={"client-secret": "s"}, secret="s") for _ in range(10)]
    for mailbox in mailboxes:
        mailbox.dovecot.fill(mailbox.address, mailgen.mails(1))
        mailbox.give_secrets(fetcher)
    fetcher.assign(*(assignment(m.spec(), name=f"box{n}") for n, m in enumerate(mailboxes)))
    for number in range(len(mailboxes)):
        fetcher.caught_up(1, f"box{number}")
    assert providers.authority.count(client=providers.app) == 1


def test_polls_ask_for_no_token(providers: Providers, fetcher: Fetcher) -> None:
    """POP3 logs in anew for each round."""
    mailbox = providers.microsoft()
    a = start(fetcher, mailbox, protocol="POP3")
    fetcher.caught_up(1)
    for number in range(3):
        mailbox.dovecot.deliver(mailbox.address, mailgen.make_mail(10 + number))
        fetcher.assign(asking(a, str(number)))
        fetcher.answered("fetch", str(number))
    fetcher.caught_up(4)
    assert providers.authority.count(client=providers.app) == 1


def test_a_token_that_was_revoked_is_replaced_at_once(
    providers: Providers, fetcher: Fetcher, server: RedisServer
) -> None:
    mailbox = providers.microsoft()
    a = start(fetcher, mailbox, protocol="POP3")
    fetcher.caught_up(1)
    providers.authority.revoke_tokens(mailbox.address)
    mailbox.dovecot.deliver(mailbox.address, mailgen.make_mail(10))
    fetcher.assign(asking(a, "again"))
    report = fetcher.caught_up(2)
    assert report.last_problem is None  # the second token came on the same connection
    assert providers.authority.count(client=providers.app) == 2
    assert len(bodies(server.client())) == 2


def test_when_the_token_ends_is_told(providers: Providers, fetcher: Fetcher) -> None:
    start(fetcher, providers.microsoft())
    fetcher.caught_up(1)
    labels = {"namespace": NAMESPACE, "connection": "support"}
    told = REGISTRY.get_sample_value("mailfetch_token_expiry_timestamp_seconds", labels)
    assert told == pytest.approx(Clock().now().timestamp() + 3599, abs=120)
    leave(fetcher)
    assert REGISTRY.get_sample_value("mailfetch_token_expiry_timestamp_seconds", labels) is None


# ---- refresh tokens that are replaced ----


@pytest.fixture
def strict(providers: Providers) -> Any:
    """Each refresh token works once, which Microsoft does not ask for: so only the newest one can have been used."""
    providers.authority.strict_reuse = True
    yield
    providers.authority.strict_reuse = False


@pytest.mark.usefixtures("strict")
def test_the_newest_refresh_token_survives_a_restart(providers: Providers, server: RedisServer, tmp_path: Path) -> None:
    mailbox = providers.microsoft()
    for life in range(3):
        with fetcher_on(tmp_path / str(life), server.url) as fetcher:
            start(fetcher, mailbox, mails=2)
            fetcher.caught_up(2 * (life + 1))
    assert providers.authority.count(client=providers.app) == 3


@pytest.mark.usefixtures("strict")
def test_a_new_authorization_counts_more_than_what_was_kept(
    providers: Providers, fetcher: Fetcher, server: RedisServer
) -> None:
    mailbox = providers.microsoft()
    a = start(fetcher, mailbox)
    fetcher.caught_up(1)
    kept = server.client().get(TOKEN_KEY)
    leave(fetcher)
    mailbox.refresh_token = providers.authority.authorize(
        providers.app, mailbox.address, "https://outlook.office.com/IMAP.AccessAsUser.All"
    )
    mailbox.give_secrets(fetcher)
    mailbox.dovecot.deliver(mailbox.address, mailgen.make_mail(10))
    fetcher.assign(a)
    fetcher.caught_up(2)
    assert server.client().get(TOKEN_KEY) not in (None, kept)
    assert not [r for r in providers.authority.requests if r.client == providers.app and r.outcome != "ok"]


def test_a_kept_token_that_is_refused_gives_way_to_the_one_in_the_secret(
    providers: Providers, fetcher: Fetcher, server: RedisServer
) -> None:
    mailbox = providers.microsoft()
    bad = seal("1.AX-unknown", mounted=mailbox.refresh_token.encode(), owner=b"helpdesk/support")
    server.client().set(TOKEN_KEY, bad)
    start(fetcher, mailbox)
    report = fetcher.caught_up(1)
    assert report.last_problem is None
    assert server.client().get(TOKEN_KEY) not in (None, bad)


def test_nothing_in_redis_or_the_log_tells_a_secret(
    providers: Providers, fetcher: Fetcher, server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    mailbox = providers.microsoft()
    a = start(fetcher, mailbox)
    fetcher.caught_up(1)
    providers.authority.revoke(mailbox.address)
    providers.authority.revoke_tokens(mailbox.address)
    leave(fetcher)
    mailbox.dovecot.deliver(mailbox.address, mailgen.make_mail(10))
    fetcher.assign(a)
    fetcher.problem("AuthorizationRequired")
    client: Any = server.client()
    dumped = b"".join(client.dump(key) for key in client.scan_iter("*"))
    hidden = {*providers.authority.issued, mailbox.client["client-secret"]}
    assert len(hidden) > 3
    assert client.exists(TOKEN_KEY)
    for secret in hidden:
        assert secret.encode() not in dumped
        assert secret not in caplog.text
        assert secret not in str(fetcher.report())


def test_purge_removes_the_kept_token(providers: Providers, fetcher: Fetcher, server: RedisServer) -> None:
    a = start(fetcher, providers.microsoft())
    fetcher.caught_up(1)
    assert server.client().exists(TOKEN_KEY)
    leave(fetcher)
    text = encode(Assignments(cluster_id="cluster-1", connections=(a,)))
    assert not purge_connection(text, redis=fetcher.env.redis, pod_uid="job", clock=Clock()).problem
    assert server.client().dbsize() == 0


@pytest.mark.usefixtures("strict")
def test_a_probe_reads_the_kept_token_and_keeps_none(
    providers: Providers, fetcher: Fetcher, server: RedisServer
) -> None:
    mailbox = providers.microsoft()
    a = start(fetcher, mailbox)
    fetcher.caught_up(1)
    kept = server.client().get(TOKEN_KEY)
    leave(fetcher)
    result = examine(a, cluster_id="cluster-1", secrets=fetcher.env.secrets, redis=fetcher.env.redis, clock=Clock())
    assert result.problem is None
    assert server.client().get(TOKEN_KEY) == kept
