"""Microsoft's own library gets its tokens from the double, by every grant."""

import urllib.parse
from typing import Any

import jwt
import msal
import requests

from tests.servers.authority import Authority
from tests.servers.authority_model import TENANT, Claims

IMAP = "https://outlook.office.com/IMAP.AccessAsUser.All"
MAIL = "https://outlook.office.com"
GRAPH = "https://graph.microsoft.com"
APPLICATION_SCOPE = ["https://outlook.office365.com/.default"]
LOGIN = "https://login.microsoftonline.com"


def public(http: requests.Session, *, tenant: str = "organizations") -> msal.PublicClientApplication:
    return msal.PublicClientApplication("app", authority=f"{LOGIN}/{tenant}", http_client=http)


def confidential(http: requests.Session, credential: Any, *, tenant: str = TENANT) -> Any:
    return msal.ConfidentialClientApplication(
        "app", client_credential=credential, authority=f"{LOGIN}/{tenant}", http_client=http
    )


def sign_in(http: requests.Session, app: Any, scopes: list[str], *, redirect: str = "http://localhost:8400") -> Any:
    """The browser's part: follows the authorization request as far as the loopback."""
    flow = app.initiate_auth_code_flow(scopes, redirect_uri=redirect)
    answer = http.get(flow["auth_uri"], allow_redirects=False)
    assert answer.status_code == 302, answer.text
    location = urllib.parse.urlsplit(answer.headers["Location"])
    assert f"{location.scheme}://{location.netloc}" == redirect
    return flow, dict(urllib.parse.parse_qsl(location.query))


def claims(authority: Authority, token: str, audience: str = MAIL) -> Claims:
    found = authority.check(token, audience=audience)
    assert isinstance(found, Claims), found
    return found


def test_code_flow_of_a_public_client(authority: Authority, http: requests.Session) -> None:
    authority.register_client("app")
    flow, answer = sign_in(http, app := public(http), [IMAP])
    result = app.acquire_token_by_auth_code_flow(flow, answer)
    got = claims(authority, result["access_token"])
    assert (got.account, got.scopes) == ("u@contoso.com", {"IMAP.AccessAsUser.All"})
    assert result["refresh_token"] in authority.issued
    assert result["scope"] == IMAP
    assert result["id_token_claims"]["preferred_username"] == "u@contoso.com"


def test_id_token_is_signed_by_the_published_key(authority: Authority, http: requests.Session) -> None:
    authority.register_client("app", secret="s")
    flow, answer = sign_in(http, app := confidential(http, "s"), [IMAP])
    token = app.acquire_token_by_auth_code_flow(flow, answer)["id_token"]
    keys = http.get(f"{LOGIN}/{TENANT}/discovery/v2.0/keys").json()
    key = jwt.PyJWKSet.from_dict(keys)[jwt.get_unverified_header(token)["kid"]]
    told = jwt.decode(token, key, algorithms=["RS256"], audience="app", issuer=f"{LOGIN}/{TENANT}/v2.0")
    assert told["tid"] == TENANT


def test_a_code_works_once(authority: Authority, http: requests.Session) -> None:
    authority.register_client("app", secret="s")
    flow, answer = sign_in(http, app := confidential(http, "s"), [IMAP])
    assert "access_token" in app.acquire_token_by_auth_code_flow(flow, answer)
    flow_again = {**flow}
    again = confidential(http, "s").acquire_token_by_auth_code_flow(flow_again, answer)
    assert again["error_codes"] == [54005]
