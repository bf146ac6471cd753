"""Google's own libraries get their tokens from the double."""

import json
import urllib.parse
from typing import Any

import pytest
import requests
from google.auth.exceptions import RefreshError
from google.auth.transport.requests import Request
from google.oauth2 import service_account
from google.oauth2.credentials import Credentials
from google_auth_oauthlib.flow import Flow

from tests.servers.authority import Authority
from tests.servers.authority_keys import make_key_pair, service_account_json
from tests.servers.authority_model import GOOGLE_MAIL, Claims

CLIENT = "app.apps.googleusercontent.com"
TOKEN = "https://oauth2.googleapis.com/token"
ROBOT = "robot@project.iam.gserviceaccount.com"
EMAIL = "https://www.googleapis.com/auth/userinfo.email"


@pytest.fixture(autouse=True)
def client(authority: Authority) -> None:
    authority.register_client(CLIENT, secret="s")
    authority.sign_in_as = "u@example.com"


def flow(http: requests.Session, *scopes: str, redirect: str = "http://127.0.0.1:5000/back") -> Any:
    config = {
        "client_id": CLIENT,
        "client_secret": "s",
        "auth_uri": "https://accounts.google.com/o/oauth2/v2/auth",
        "token_uri": TOKEN,
        "redirect_uris": ["http://localhost"],
    }
    made = Flow.from_client_config(
        {"installed": config}, scopes=list(scopes), redirect_uri=redirect, autogenerate_code_verifier=True
    )
    made.oauth2session.verify, made.oauth2session.trust_env = http.verify, False
    return made


def sign_in(http: requests.Session, made: Any, **more: str) -> dict[str, str]:
    url, state = made.authorization_url(**{"access_type": "offline", "prompt": "consent", **more})
    answer = http.get(url, allow_redirects=False)
    assert answer.status_code == 302, answer.text
    query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(answer.headers["Location"]).query))
    assert query["state"] == state
    return query


def credentials(refresh: str, *, scopes: list[str] | None = None, secret: str = "s") -> Any:
    return Credentials(  # type: ignore[no-untyped-call]
        None, refresh_token=refresh, token_uri=TOKEN, client_id=CLIENT, client_secret=secret, scopes=scopes
    )


def claims(authority: Authority, token: str) -> Claims:
    found = authority.check(token, audience="https://mail.google.com/")
    assert isinstance(found, Claims), found
    return found


def test_code_flow(authority: Authority, http: requests.Session) -> None:
    made = flow(http, GOOGLE_MAIL)
    made.fetch_token(code=sign_in(http, made)["code"])
    got = claims(authority, made.credentials.token)
    assert (got.account, got.scopes) == ("u@example.com", frozenset({GOOGLE_MAIL}))
    assert made.credentials.refresh_token in authority.refreshes


def test_code_flow_tells_who_signed_in(authority: Authority, http: requests.Session) -> None:
    made = flow(http, "openid", EMAIL, GOOGLE_MAIL)
    made.fetch_token(code=sign_in(http, made)["code"])
    assert made.oauth2session.token["id_token"].count(".") == 2


def test_a_refresh_token_comes_with_offline_access_and_consent_alone(
    authority: Authority, http: requests.Session
) -> None:
    for more, expected in (({"access_type": "online"}, False), ({}, True), ({"prompt": "select_account"}, False)):
        made = flow(http, GOOGLE_MAIL)
        made.fetch_token(code=sign_in(http, made, **more)["code"])
        assert bool(made.credentials.refresh_token) is expected, more


def test_unticked_scopes_are_not_granted(authority: Authority, http: requests.Session) -> None:
    authority.unticked.add(GOOGLE_MAIL)
    made = flow(http, "openid", GOOGLE_MAIL)
    assert sign_in(http, made)["scope"] == "openid"


def test_denied_consent(authority: Authority, http: requests.Session) -> None:
    authority.decision = "deny"
    assert sign_in(http, flow(http, GOOGLE_MAIL))["error"] == "access_denied"


def test_redirect_goes_to_the_loopback_alone(authority: Authority, http: requests.Session) -> None:
    url, _ = flow(http, GOOGLE_MAIL, redirect="https://evil.test/back").authorization_url()
    answer = http.get(url, allow_redirects=False)
    assert (answer.status_code, "redirect_uri_mismatch" in answer.text) == (400, True)


def test_code_is_bound_to_its_verifier(authority: Authority, http: requests.Session) -> None:
    made = flow(http, GOOGLE_MAIL)
    code = sign_in(http, made)["code"]
    made.code_verifier = "x" * 43
    with pytest.raises(Exception, match="Invalid code verifier"):
        made.fetch_token(code=code)


def test_refresh_keeps_its_token(authority: Authority, http: requests.Session) -> None:
    refresh = authority.authorize(CLIENT, "u@example.com", GOOGLE_MAIL)
    known = credentials(refresh, scopes=[GOOGLE_MAIL])
    known.refresh(Request(session=http))
    assert claims(authority, known.token).account == "u@example.com"
    assert known.refresh_token == refresh
    authority.google_rotates = True
    known.refresh(Request(session=http))
    assert known.refresh_token != refresh


def test_refusals_of_a_refresh(authority: Authority, http: requests.Session) -> None:
    refresh = authority.authorize(CLIENT, "u@example.com", GOOGLE_MAIL)

    def refused(known: Any) -> tuple[str, str]:
        with pytest.raises(RefreshError) as error:
            known.refresh(Request(session=http))
        body = error.value.args[1]
        return body["error"], body["error_description"]

    assert refused(credentials(refresh, secret="wrong"))[0] == "invalid_client"
    assert refused(credentials(refresh, scopes=["https://www.googleapis.com/auth/drive"]))[0] == "invalid_scope"
    assert refused(credentials("1//0unknown")) == ("invalid_grant", "Bad Request")
    authority.revoke("u@example.com")
    assert refused(credentials(refresh)) == ("invalid_grant", "Token has been expired or revoked.")
    authority.clients[CLIENT].refused = "google_deleted_client"
    assert refused(credentials(refresh))[0] == "deleted_client"


def robot(key_file: str, *, subject: str = "u@example.com", scopes: tuple[str, ...] = (GOOGLE_MAIL,)) -> Any:
    info = json.loads(key_file)
    made = service_account.Credentials.from_service_account_info(info, scopes=list(scopes))  # type: ignore[no-untyped-call]
    return made.with_subject(subject)


def test_service_account_speaks_for_a_user(authority: Authority, http: requests.Session) -> None:
    key_file = authority.register_service_account(ROBOT, domains=["example.com"], scopes=[GOOGLE_MAIL])
    made = robot(key_file)
    made.refresh(Request(session=http))
    got = claims(authority, made.token)
    assert (got.account, got.client) == ("u@example.com", ROBOT)
    assert (authority.requests[-1].client, authority.requests[-1].account) == (ROBOT, "u@example.com")


def test_refusals_of_a_service_account(authority: Authority, http: requests.Session) -> None:
    pair = make_key_pair()
    key_file = authority.register_service_account(ROBOT, domains=["example.com"], scopes=[GOOGLE_MAIL], pair=pair)
    authority.google_account("u@other.test")

    def refused(made: Any) -> tuple[str, str]:
        with pytest.raises(RefreshError) as error:
            made.refresh(Request(session=http))
        body = error.value.args[1]
        return body["error"], body["error_description"]

    assert refused(robot(key_file, subject="u@other.test"))[0] == "unauthorized_client"
    assert refused(robot(key_file, subject="nobody@example.com")) == ("invalid_grant", "Invalid email or User ID")
    admin = "https://www.googleapis.com/auth/gmail.imap_admin"
    assert refused(robot(key_file, scopes=(admin,)))[0] == "unauthorized_client"
    forged = service_account_json(make_key_pair(), ROBOT)
    assert refused(robot(forged)) == ("invalid_grant", "Invalid JWT Signature.")
    stranger = service_account_json(pair, "stranger@project.iam.gserviceaccount.com")
    assert refused(robot(stranger)) == ("invalid_grant", "Invalid grant: account not found")
