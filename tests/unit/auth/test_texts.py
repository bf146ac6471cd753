"""Whoever was shown a credential may repeat it, in whatever form: nothing of it comes through, and texts stay whole."""

import base64
import urllib.parse

import pytest

from mailfetch_fetcher.auth.failures import first_sentence, read_refusal
from mailfetch_fetcher.contract.texts import without_credentials
from mailfetch_fetcher.https import Answer
from tests.unit.auth.test_failures import NOW

GOOGLE = "ya29." + 16 * "Ab3dEf9hI_"
MICROSOFT = "eyJ0" + 150 * "Ab3dEf9hI-"
PERSONAL = "M.C559_BAY.0.U.-" + 12 * "rGp58WAmdX3!a5I*Tq" + "$$"
OPAQUE = "EwB4" + 30 * "Ab3/Ef9hIjKlMn+pQrStUvWxYz0123456789=="


def piece(text: str, secret: str, *, length: int = 24) -> str:
    """Something of a secret that a text shows."""
    found = (secret[at : at + length] for at in range(len(secret) - length))
    return next((part for part in found if part in text), "")


@pytest.mark.parametrize("token", [GOOGLE, MICROSOFT, PERSONAL, OPAQUE])
@pytest.mark.parametrize(
    "form",
    [
        lambda t: t,
        lambda t: base64.b64encode(f"user=u@contoso.com\x01auth=Bearer {t}\x01\x01".encode()).decode(),
        lambda t: base64.urlsafe_b64encode(t.encode()).decode(),
        lambda t: urllib.parse.quote(t, safe=""),
        lambda t: t.replace("/", "\\/"),
    ],
    ids=["plain", "base64", "base64url", "percent", "json"],
)
def test_no_form_of_a_token_is_shown(token: str, form: object) -> None:
    assert callable(form)
    said = form(token)
    text = f"The token '{said}' is not good, {said[:100]} is its start"
    assert piece(without_credentials(text), said) == ""
    assert piece(first_sentence(text), said) == ""
    assert without_credentials(text).endswith("is its start")


@pytest.mark.parametrize(
    "body", ['{{"error": "{}"}}', '{{"error": "invalid_grant", "error_description": "Bad {}. No."}}']
)
def test_an_authority_that_repeats_a_refresh_token(body: str) -> None:
    refusal = read_refusal(Answer(status_code=400, headers={}, text=body.format(MICROSOFT)), now=NOW)
    assert piece(repr(refusal), MICROSOFT) == ""


@pytest.mark.parametrize(
    "text",
    [
        "AADSTS700016: Application with identifier '6731de76-14a6-49ae-97bc-6eba6914391e' was not found",
        "[AUTHENTICATIONFAILED] Invalid credentials (Failure) https://support.google.com/mail/accounts/answer/78754",
        'AUTHENTICATE failed. [Error="AccountDisabled" AuthResultFromPopImapEnd=0 Proxy=a.prod.outlook.com:1993]',
    ],
)
def test_what_helps_people_stays(text: str) -> None:
    assert without_credentials(text) == text
