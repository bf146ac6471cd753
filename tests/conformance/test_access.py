"""Logins and encryption: what is refused is named, nothing is downloaded, and nothing is given away."""

import dataclasses

import pytest

from tests.conformance.fetching import Connection
from tests.conformance.mailboxes import Mailbox
from tests.servers import mailgen


def test_a_password_of_any_characters(any_mailbox: Mailbox, connection: Connection) -> None:
    any_mailbox.need("UTF-8 passwords")
    assert not any_mailbox.password.isascii()
    any_mailbox.fill(list(mailgen.mails(1)))
    connection.once()
    connection.must_hold(any_mailbox.read())


def test_a_wrong_password_that_is_corrected(any_mailbox: Mailbox, connection: Connection) -> None:
    any_mailbox.fill(list(mailgen.mails(2)))
    told = connection.once(fails=True, password="Wrong-1")
    assert "AuthFailed" in told
    assert "Wrong-1" not in told
    connection.must_hold([])
    connection.once()
    connection.must_hold(any_mailbox.read())


def test_an_unknown_user(mailbox: Mailbox, connection: Connection) -> None:
    auth = {"type": "Password", "username": "nobody-here", "passwordSecretRef": {"name": "mailbox"}}
    assert "AuthFailed" in connection.once(fails=True, auth=auth)
    connection.must_hold([])


def test_encryption_that_the_server_lacks_is_not_done_without(mailbox: Mailbox, connection: Connection) -> None:
    """StartTLS asked of a server that does not offer it: no password is sent."""
    if "STARTTLS" not in mailbox.server.lacks:
        pytest.skip(f"{mailbox.server.name} offers STARTTLS")
    connection.mailbox = dataclasses.replace(mailbox, encryption="StartTLS")
    mailbox.fill(list(mailgen.mails(2)))
    plain = mailbox.server.port(mailbox.protocol, "None")
    assert "TLSFailed" in connection.once(fails=True, port=plain)
    connection.must_hold([])


def test_a_certificate_of_an_unknown_authority(mailbox: Mailbox, connection: Connection) -> None:
    mailbox.need("TLS")
    mailbox.fill(list(mailgen.mails(2)))
    assert "TLSFailed" in connection.once(fails=True, tls={})
    connection.must_hold([])
