"""Shared mailboxes: with the token or the password of somebody who may open them."""

import pytest

from tests.integration.fetcher.helpers import NEVER, Fetcher, assignment
from tests.integration.oauth.helpers import Providers
from tests.servers import mailgen
from tests.servers.dovecot import Dovecot


@pytest.mark.parametrize("protocol", ["IMAP", "POP3"])
def test_with_the_token_of_a_member(providers: Providers, fetcher: Fetcher, protocol: str) -> None:
    member = providers.microsoft()
    shared = f"{protocol.lower()}-{member.address}"
    providers.exchange.fill(shared, mailgen.mails(2))
    member.give_secrets(fetcher)
    fetcher.assign(assignment(member.spec(protocol=protocol, sharedMailbox=shared)))
    fetcher.caught_up(2)


def test_with_a_token_of_another_organisation(providers: Providers, fetcher: Fetcher) -> None:
    member = providers.microsoft()
    member.give_secrets(fetcher)
    fetcher.assign(assignment(member.spec(sharedMailbox="billing@elsewhere.example.com")))
    message = fetcher.problem("AuthFailed")
    assert f"Add-MailboxPermission -Identity billing@elsewhere.example.com -User {member.address}" in message


@pytest.mark.parametrize("protocol", ["IMAP", "POP3"])
def test_with_a_password(exchange: Dovecot, fetcher: Fetcher, protocol: str) -> None:
    user, shared = f"member-{protocol}@contoso.com", f"password-{protocol}@contoso.com"
    exchange.add_master(user, "the password")
    exchange.fill(shared, mailgen.mails(2))
    fetcher.write("secrets/mailbox/password", "the password")
    fetcher.write("secrets/ca/ca.crt", exchange.certificates.ca.read_bytes())
    port = exchange.imaps_port if protocol == "IMAP" else exchange.pop3s_port
    spec = {
        "protocol": protocol,
        "server": {"host": "127.0.0.1", "port": port},
        "tls": {"caSecretRef": {"name": "ca"}},
        "auth": {"type": "Password", "username": user, "passwordSecretRef": {"name": "mailbox"}},
        "sharedMailbox": shared,
        "schedule": {"interval": NEVER},
    }
    fetcher.assign(assignment(spec))
    fetcher.caught_up(2)
    assert exchange.flags(shared) != {}
