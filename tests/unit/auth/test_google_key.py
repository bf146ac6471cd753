"""Which key files of service accounts are accepted: none that would send an assertion anywhere but to Google."""

import json
from typing import Any

import pytest

from mailfetch_fetcher.auth import google
from mailfetch_fetcher.auth.authority import Authority, visit
from mailfetch_fetcher.auth.client import Client
from mailfetch_fetcher.errors import SourceError
from tests.servers.authority_keys import make_key_pair, service_account_json


@pytest.fixture(scope="module")
def good() -> dict[str, Any]:
    made: dict[str, Any] = json.loads(service_account_json(make_key_pair(), "robot@p.iam.gserviceaccount.com"))
    return made


def refusal(content: str) -> SourceError:
    """How a key file is refused; nothing is sent, as the session goes nowhere."""
    client = Client(secret="robot", namespace="helpdesk", values={"service-account.json": content} if content else {})
    with (
        visit("oauth2.googleapis.com", domain="googleapis.com", ca=None, timeout=1.0) as authority,
        pytest.raises(SourceError) as e,
    ):
        google.as_service_account(_Nowhere(authority), client, scopes=["s"], subject="u@example.com")
    return e.value


class _Nowhere(Authority):
    def __init__(self, authority: Authority) -> None:
        super().__init__(authority._session, host="nowhere", domain="nowhere", timeout=1.0)

    def _send(self, method: str, url: str, **what: Any) -> Any:
        raise AssertionError(f"{method} {url}")


@pytest.mark.parametrize(
    "where",
    [
        "http://oauth2.googleapis.com/token",
        "https://example.com/token",
        "https://googleapis.com.example.com/token",
        "https://evilgoogleapis.com/token",
        "https://oauth2.googleapis.com@example.com/token",
        "https://u@oauth2.googleapis.com/token",
        "",
    ],
)
def test_an_address_that_is_not_google_s(good: dict[str, Any], where: str) -> None:
    error = refusal(json.dumps({**good, "token_uri": where}))
    assert error.reason == "InvalidConfiguration"
    assert "token_uri" in error.message


@pytest.mark.parametrize(
    "changes", [{"type": "authorized_user"}, {"private_key": "nonsense"}, {"client_email": None}, {"private_key": None}]
)
def test_a_file_that_is_no_key(good: dict[str, Any], changes: dict[str, Any]) -> None:
    content = {key: value for key, value in {**good, **changes}.items() if value is not None}
    error = refusal(json.dumps(content))
    assert error.reason == "InvalidConfiguration"
    assert "'service-account.json' of the Secret 'robot'" in error.message
    assert str(good["private_key"])[40:80] not in error.message


@pytest.mark.parametrize("content", ["no json", "[]", "7", 9999 * "["])
def test_no_json(content: str) -> None:
    assert refusal(content).reason == "InvalidConfiguration"


def test_no_file() -> None:
    assert refusal("").reason == "SecretNotFound"
