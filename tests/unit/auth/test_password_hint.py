"""Whoever tries a password at Google or Microsoft is told what these want instead."""

import pytest

from mailfetch_fetcher.sources import imap_errors, pop3_errors
from mailfetch_fetcher.sources.imap_settings import ImapSettings
from mailfetch_fetcher.sources.pop3_errors import Refused
from mailfetch_fetcher.sources.pop3_settings import Pop3Settings


def messages(host: str) -> list[str]:
    imap = ImapSettings(host=host, port=993, username="u", password="the password")
    pop3 = Pop3Settings(host=host, port=995, username="u", password=lambda: "the password")
    return [
        imap_errors.login_refused(imap, "LOGIN failed.").message,
        pop3_errors.login_refused(pop3, Refused(b"Logon failure"), password="the password").message,
    ]


@pytest.mark.parametrize(
    ("host", "text"),
    [
        ("outlook.office365.com", "MicrosoftOAuth2"),
        ("Outlook.Office365.us.", "MicrosoftOAuth2"),
        ("imap.gmail.com", "GoogleOAuth2"),
        ("pop.gmail.com", "GoogleOAuth2"),
    ],
)
def test_at_the_providers(host: str, text: str) -> None:
    assert all(f"use spec.auth.type {text}" in message for message in messages(host))


def test_elsewhere() -> None:
    assert not any("OAuth2" in message for message in messages("imap.example.com"))
