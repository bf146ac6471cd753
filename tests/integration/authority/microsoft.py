"""Microsoft's own library, and the browser's part of a sign-in."""

import urllib.parse
from typing import Any

import msal
import requests

from tests.servers.authority import Authority
from tests.servers.authority_model import TENANT, Claims

IMAP = "https://outlook.office.com/IMAP.AccessAsUser.All"
MAIL = "https://outlook.office.com"
GRAPH = "https://graph.microsoft.com"
LOGIN = "https://login.microsoftonline.com"
APPLICATION_SCOPE = ["https://outlook.office365.com/.default"]


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
