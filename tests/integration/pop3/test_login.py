"""Connecting to a real Dovecot: encryption, certificates, users, a mailbox in use, and what goes wrong with them."""

import contextlib
import os
from collections.abc import Callable
from typing import get_args

import pytest

from mailfetch_fetcher.contract.probe import StepName
from mailfetch_fetcher.errors import Pace, SourceError
from mailfetch_fetcher.sources.pop3 import Pop3Source
from mailfetch_fetcher.tls import client_context
from tests.integration.logins import *  # noqa: F403 - more tests
from tests.integration.logins import failure
from tests.servers.certs import Certificates
from tests.servers.dovecot import Dovecot
from tests.servers.ledger import Ledger
from tests.servers.mailgen import mails

Make = Callable[..., Pop3Source]


@pytest.mark.parametrize("encryption", ["TLS", "StartTLS", "None"])
def test_every_encryption(dovecot: Dovecot, user: str, make_source: Make, ledger: Ledger, encryption: str) -> None:
    dovecot.fill(user, mails(2))
    source = make_source(user, encryption=encryption, allow_insecure_login=encryption == "None")
    assert source.open().insecure is (encryption == "None")
    assert len(ledger.download(source)) == 2


def test_users_and_passwords_of_any_language(dovecot: Dovecot, open_source: Make) -> None:
    for name, password in (("jörg.pop@mail.test", 'pä:ss"wörd\\ 台北 '), ("иван.pop", "\U0001f511")):
        dovecot.add_user(name, password)
        dovecot.fill(name, mails(1))
        assert len(Ledger().download(open_source(name))) == 1


def test_a_password_in_the_clear_is_refused_by_the_server(certificates: Certificates, make_source: Make) -> None:
    with Dovecot(certificates, listen="127.0.0.2", secure_only=True) as server:
        error = failure(make_source("user1@mail.test", server=server, encryption="None", allow_insecure_login=True))
        assert error.reason == "InvalidConfiguration"
        assert "without encryption" in error.message
        make_source("user1@mail.test", server=server, encryption="StartTLS").open()


def test_an_unknown_authority(user: str, make_source: Make) -> None:
    error = failure(Pop3Source(make_source(user)._settings, context=client_context(None)))
    assert error.reason == "TLSFailed"
    assert "spec.tls.caSecretRef" in error.message


def test_a_port_without_tls(dovecot: Dovecot, user: str, make_source: Make) -> None:
    error = failure(make_source(user, port=dovecot.pop3_port))
    assert error.reason == "TLSFailed"
    assert "StartTLS" in error.message


def test_the_port_of_imap(dovecot: Dovecot, user: str, make_source: Make) -> None:
    error = failure(make_source(user, port=dovecot.imaps_port))
    assert error.reason == "ConnectionFailed"
    assert "does not speak POP3" in error.message


def test_a_mailbox_in_use(certificates: Certificates, make_source: Make) -> None:
    with Dovecot(certificates, lock_session=True) as server:
        first = make_source("user1@mail.test", server=server)
        first.open()
        error = failure(make_source("user1@mail.test", server=server))
        assert (error.reason, error.pace) == ("ConnectionFailed", Pace.QUICK)
        assert "in use by another POP3 session" in error.message
        first.rest(durable=lambda: True)
        second = make_source("user1@mail.test", server=server)
        second.open()
        second.rest(durable=lambda: True)
        assert first.snapshot("", known=Ledger().known).total == 0


def test_each_stage_is_observed_in_order(user: str, make_source: Make) -> None:
    for encryption in ("TLS", "StartTLS", "None"):
        source = make_source(user, encryption=encryption, allow_insecure_login=True)
        seen: list[str] = []
        source._observe = lambda stage, _detail, seen=seen: seen.append(stage)  # type: ignore[misc]
        source.open()
        assert seen == list(get_args(StepName))


@pytest.mark.parametrize("encryption", ["TLS", "StartTLS", "None"])
@pytest.mark.parametrize("password", ["secret", "wrong"])
def test_nothing_stays_open(user: str, make_source: Make, encryption: str, password: str) -> None:
    before = os.listdir("/proc/self/fd")
    source = make_source(user, encryption=encryption, allow_insecure_login=True, password=password)
    with contextlib.suppress(SourceError):
        source.open()
        source.rest(durable=lambda: True)
        source.snapshot("", known=Ledger().known)
    source.close()
    assert os.listdir("/proc/self/fd") == before
