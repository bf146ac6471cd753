"""Connecting to a real Dovecot: encryption, certificates, users, folders, and what goes wrong with them."""

import contextlib
import os
from collections.abc import Callable

import pytest

from mailfetch_fetcher.errors import SourceError
from mailfetch_fetcher.sources.base import Message
from mailfetch_fetcher.sources.imap import ImapSource
from mailfetch_fetcher.tls import client_context
from tests.integration.logins import *  # noqa: F403 - more tests
from tests.integration.logins import failure
from tests.servers.certs import Certificates
from tests.servers.dovecot import Dovecot
from tests.servers.imapfake_calls import never
from tests.servers.mailgen import mails

Make = Callable[..., ImapSource]


def subjects(source: ImapSource) -> int:
    return sum(isinstance(m, Message) for w in source.discover("", known=never) for m in source.fetch(w.refs))


@pytest.mark.parametrize("encryption", ["TLS", "StartTLS", "None"])
def test_every_encryption(dovecot: Dovecot, user: str, make_source: Make, encryption: str) -> None:
    dovecot.fill(user, mails(2))
    source = make_source(user, encryption=encryption, allow_insecure_login=encryption == "None")
    opened = source.open()
    assert opened.insecure is (encryption == "None")
    assert opened.can_push
    assert subjects(source) == 2


def test_users_and_passwords_of_any_language(dovecot: Dovecot, open_source: Make) -> None:
    for name, password in (("jörg@mail.test", 'pä:ss"wörd\\ 台北 '), ("иван", "\U0001f511")):
        dovecot.add_user(name, password)
        dovecot.fill(name, mails(1))
        assert subjects(open_source(name)) == 1


def test_a_password_in_the_clear_is_refused_by_the_server(certificates: Certificates, make_source: Make) -> None:
    with Dovecot(certificates, listen="127.0.0.2", secure_only=True) as server:
        error = failure(make_source("user1@mail.test", server=server, encryption="None", allow_insecure_login=True))
        assert error.reason == "InvalidConfiguration"
        assert "LOGINDISABLED" in error.message
        make_source("user1@mail.test", server=server, encryption="StartTLS").open()


def test_an_unknown_authority(dovecot: Dovecot, user: str, make_source: Make) -> None:
    known = make_source(user)
    error = failure(ImapSource(known._settings, context=client_context(None)))
    assert error.reason == "TLSFailed"
    assert "spec.tls.caSecretRef" in error.message


def test_a_port_without_tls(dovecot: Dovecot, user: str, make_source: Make) -> None:
    error = failure(make_source(user, port=dovecot.imap_port))
    assert error.reason == "TLSFailed"
    assert "StartTLS" in error.message


def test_a_server_that_does_not_run_and_comes_back(certificates: Certificates, make_source: Make) -> None:
    with Dovecot(certificates) as server:
        server.halt()
        assert failure(make_source("user1@mail.test", server=server)).reason == "ConnectionFailed"
        server.start()
        make_source("user1@mail.test", server=server).open()


def test_folders_of_any_language(dovecot: Dovecot, user: str, open_source: Make) -> None:
    for name in ("Entwürfe & mehr/台北", 'Quote "x" \\ y', "2026"):
        dovecot.create_folder(user, name)
        dovecot.fill(user, mails(2), folder=name)
        assert subjects(open_source(user, folder=name)) == 2


def test_a_missing_folder(dovecot: Dovecot, user: str, make_source: Make) -> None:
    dovecot.create_folder(user, "Support/Incoming")
    error = failure(make_source(user, folder="Support/Incomming"))
    assert error.reason == "FolderNotFound"
    assert "Support/Incoming" in error.message
    dovecot.create_folder(user, "Support/Incomming")
    make_source(user, folder="Support/Incomming").open()


def test_a_folder_that_only_holds_folders(dovecot: Dovecot, user: str, make_source: Make) -> None:
    dovecot.create_folder(user, "Parent/Child")
    assert failure(make_source(user, folder="Parent")).reason == "FolderNotFound"


def test_another_separator_and_prefix(certificates: Certificates, open_source: Make) -> None:
    with Dovecot(certificates, separator=".", prefix="INBOX.") as server:
        server.create_folder("user1@mail.test", "INBOX.Archive.2026")
        server.fill("user1@mail.test", mails(2), folder="INBOX.Archive.2026")
        for name in ("Archive/2026", "INBOX.Archive.2026", "INBOX/Archive/2026"):
            assert subjects(open_source("user1@mail.test", server=server, folder=name)) == 2
        source = open_source("user1@mail.test", server=server, action="Move", target="Archive/2026")
        assert source.snapshot("", known=never).total == 0


def test_each_stage_is_observed_in_order(dovecot: Dovecot, user: str, make_source: Make) -> None:
    stages = ["dns", "tcp", "tls", "capability", "login", "folder", "permission"]
    for encryption in ("TLS", "None"):
        source = make_source(user, encryption=encryption, allow_insecure_login=True, action="MarkSeen")
        seen: list[str] = []
        source._observe = lambda stage, _detail, seen=seen: seen.append(stage)  # type: ignore[misc]
        source.open()
        assert seen == stages


@pytest.mark.parametrize("encryption", ["TLS", "StartTLS", "None"])
@pytest.mark.parametrize("password", ["secret", "wrong"])
def test_nothing_stays_open(dovecot: Dovecot, user: str, make_source: Make, encryption: str, password: str) -> None:
    before = os.listdir("/proc/self/fd")
    source = make_source(user, encryption=encryption, allow_insecure_login=True, password=password)
    with contextlib.suppress(SourceError):
        source.open()
    source.close()
    assert os.listdir("/proc/self/fd") == before
