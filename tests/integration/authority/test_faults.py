"""What tests make the double do: refusals, broken answers, dead tokens. And what it says of clients that are wrong."""

import base64
from collections.abc import Callable
from typing import Any

import pytest
import requests

from tests.servers.authority import Authority
from tests.servers.authority_errors import BROKEN, ERRORS
from tests.servers.authority_model import TENANT
from tests.servers.certs import Certificates
from tests.servers.resolve import resolve

IMAP = "https://outlook.office.com/IMAP.AccessAsUser.All"
MAIL = "https://outlook.office.com"
TOKEN = f"https://login.microsoftonline.com/{TENANT}/oauth2/v2.0/token"
AUTHORIZE = f"https://login.microsoftonline.com/{TENANT}/oauth2/v2.0/authorize"

Ask = Callable[..., requests.Response]


@pytest.fixture
def ask(authority: Authority, http: requests.Session) -> Ask:
    """Refreshes a token by hand."""
    authority.register_client("app")
    refresh = authority.authorize("app", "u@contoso.com", IMAP)

    def post(**changes: Any) -> requests.Response:
        form = {"grant_type": "refresh_token", "client_id": "app", "refresh_token": refresh, "scope": IMAP, **changes}
        return http.post(TOKEN, data=form, timeout=30, allow_redirects=False)

    return post


@pytest.mark.parametrize("name", sorted(ERRORS))
def test_every_refusal_is_complete(authority: Authority, ask: Ask, name: str) -> None:
    authority.fail_next(name)
    answer, refusal = ask(), ERRORS[name]
    body = answer.json()
    assert (answer.status_code, body["error"]) == (refusal.status, refusal.error)
    if refusal.code:
        assert body["error_codes"] == [refusal.code]
        assert body["error_description"].startswith(f"AADSTS{refusal.code}: ")
        assert {"timestamp", "trace_id", "correlation_id"} <= set(body)
    assert answer.headers.get("Retry-After", "") == refusal.retry_after
    assert ask().status_code == 200


@pytest.mark.parametrize("name", sorted(BROKEN.keys() - {"cut_body"}))
def test_every_broken_answer_arrives(authority: Authority, ask: Ask, name: str) -> None:
    authority.fail_next(name)
    answer = ask()
    assert (answer.status_code, answer.content) == (BROKEN[name].status, BROKEN[name].body)


@pytest.mark.parametrize("name", ["cut", "cut_body"])
def test_cut_connections(authority: Authority, ask: Ask, name: str) -> None:
    authority.fail_next(name)
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        ask()
    assert ask().status_code == 200


def test_lost_answer_has_had_its_effect(authority: Authority, ask: Ask) -> None:
    authority.strict_reuse = True
    authority.fail_next("lost")
    with pytest.raises(requests.ConnectionError):
        ask()
    assert ask().json()["error_codes"] == [70000]


def test_silence_lasts_until_the_client_gives_up(authority: Authority, http: requests.Session) -> None:
    authority.fail_next("silence")
    with pytest.raises(requests.ReadTimeout):
        http.post(TOKEN, data={"grant_type": "client_credentials", "client_id": "app"}, timeout=0.2)


def test_faults_by_number_grant_and_endpoint(authority: Authority, http: requests.Session, ask: Ask) -> None:
    authority.fail_next("503", times=None, grant="client_credentials")
    authority.fail_next("429", times=2)
    assert [ask().status_code for _ in range(3)] == [429, 429, 200]
    form = {"grant_type": "client_credentials", "client_id": "app"}
    assert [http.post(TOKEN, data=form).status_code for _ in range(3)] == [503, 503, 503]
    authority.recover()
    assert http.post(TOKEN, data=form).status_code == 401
    authority.fail_next("500", endpoint="discovery")
    discovery = f"https://login.microsoftonline.com/{TENANT}/v2.0/.well-known/openid-configuration"
    assert [http.get(discovery).status_code for _ in range(2)] == [500, 200]
    with pytest.raises(ValueError, match="no such"):
        authority.fail_next("no such")


def test_revoked_expired_and_unknown_tokens(authority: Authority, ask: Ask) -> None:
    good = ask().json()["access_token"]
    assert authority.look_up(good)
    authority.revoke_tokens("u@contoso.com")
    assert (authority.look_up(good), authority.check(good, audience=MAIL)) == (None, "revoked")
    authority.expires_in = 0
    assert authority.check(ask().json()["access_token"], audience=MAIL) == "expired"
    assert authority.check("none", audience=MAIL) == "unknown"
    authority.revoke(refusal="AADSTS700082")
    assert ask().json()["error_codes"] == [700082]


def test_blocked_accounts_and_clients(authority: Authority, ask: Ask) -> None:
    authority.accounts["u@contoso.com"].blocked = "AADSTS50057"
    assert ask().json()["error_codes"] == [50057]
    authority.clients["app"].refused = "AADSTS7000112"
    assert ask().json()["error_codes"] == [7000112]


def test_requests_are_remembered_without_secrets(authority: Authority, ask: Ask) -> None:
    ask()
    authority.fail_next("AADSTS53003")
    ask(claims="{}")
    first, second = authority.requests
    assert (first.grant, first.client, first.account, first.outcome) == ("refresh_token", "app", "u@contoso.com", "ok")
    assert (second.outcome, second.claims, second.scopes) == ("AADSTS53003", "{}", (IMAP,))
    assert not [secret for secret in authority.issued if secret in repr(authority.requests)]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda http: http.post("https://www.googleapis.com/elsewhere", data={"a": "b"}), "POST https://www.google"),
        (lambda http: http.get(TOKEN), "GET https://login"),
        (lambda http: http.post(TOKEN + "?a=b", data={"grant_type": "refresh_token"}), "with a query"),
        (lambda http: http.post(TOKEN, json={"grant_type": "refresh_token"}), "form of type 'application/json'"),
        (lambda http: http.post(TOKEN, data={"grant_type": "password"}), "grant type 'password'"),
        (lambda http: http.post(TOKEN, data={"grant_type": "refresh_token", "code": "c"}), "with ['code']"),
        (lambda http: http.post(TOKEN, data={"grant_type": "refresh_token", "client_secret": ""}), "with empty"),
        (
            lambda http: http.post(
                TOKEN, data={"grant_type": "client_credentials", "client_secret": "s"}, auth=("app", "s")
            ),
            "several ways",
        ),
        (lambda http: http.post(TOKEN, data=[("scope", "a"), ("scope", "b")]), "['scope'] more than once"),
        (lambda http: http.post(TOKEN, data={"grant_type": "refresh_token", "claims": "none"}), "no JSON object"),
        (lambda http: http.get(AUTHORIZE, params={"client_id": "app"}), "without PKCE"),
        (lambda http: http.get(AUTHORIZE, params={"client_id": "app"}), "without an unguessable state"),
        (lambda http: http.get(AUTHORIZE, params={"scope": "openid"}), "without a nonce"),
        (lambda http: http.get(AUTHORIZE, params={"client_secret": "s"}), "['client_secret'] in the address"),
    ],
)
def test_what_no_correct_client_does(
    certificates: Certificates, http: requests.Session, wrong: Callable[[requests.Session], object], said: str
) -> None:
    def use() -> None:
        with Authority(certificates) as authority, resolve(authority.addresses):
            authority.register_client("app")
            wrong(http)

    with pytest.raises(AssertionError) as error:
        use()
    assert said in str(error.value)


def test_introspection_wants_its_password(authority: Authority) -> None:
    url = authority.introspection().replace("client:secret@", "")
    assert requests.post(url, data={"token": "t"}).status_code == 401
    header = {"Authorization": "Basic " + base64.b64encode(b"client:secret").decode()}
    assert requests.post(url, data={"token": "t"}, headers=header).json() == {"active": False}
