"""Signing in at Google, with google-auth-oauthlib: PKCE and state are the library's.

Source: developers.google.com/identity/protocols/oauth2/native-app. Only clients of the type "Desktop app" may come
back to any port of the loopback address.
"""

from collections.abc import Callable, Mapping
from typing import Any

import requests
from google_auth_oauthlib.flow import Flow
from oauthlib.oauth2 import OAuth2Error  # type: ignore[import-untyped]
from requests_oauthlib import OAuth2Session  # type: ignore[import-untyped]

from kubectl_mailfetch.authorize.http import Http
from kubectl_mailfetch.authorize.loopback import Loopback
from kubectl_mailfetch.authorize.plan import Client, Plan
from kubectl_mailfetch.authorize.words import Granted, refusal, unreachable
from kubectl_mailfetch.errors import PluginError
from mailfetch_fetcher.contract.providers import GOOGLE_AUTHORIZE, GOOGLE_TOKEN


class _Session(Http, OAuth2Session):  # type: ignore[misc] # requests_oauthlib has no types
    """The library's session, with our bounds."""


def in_browser(
    plan: Plan, client: Client, *, ca_file: str, loopback: Loopback, show: Callable[[str], None], timeout: float
) -> Granted:
    """Authorization code with PKCE, brought back by the browser.

    Args:
        plan: What is asked for.
        client: The client, of the type "Desktop app".
        ca_file: The only authorities to trust (PEM), or empty.
        loopback: Takes the answer.
        show: Opens or prints the address.
        timeout: Seconds to wait for the person.

    Raises:
        PluginError: it did not work; says why.
    """
    config = {"client_id": client.id, "client_secret": client.secret}
    config |= {"auth_uri": GOOGLE_AUTHORIZE, "token_uri": GOOGLE_TOKEN}
    redirect = f"http://127.0.0.1:{loopback.port}"
    flow = Flow(
        _Session(ca_file, client_id=client.id, scope=list(plan.scopes), redirect_uri=redirect),
        client_type="installed",
        client_config={"installed": config},
        redirect_uri=redirect,
        autogenerate_code_verifier=True,
    )
    # Both are needed for a refresh token when the account has authorized this client before.
    address, state = flow.authorization_url(access_type="offline", prompt="consent", login_hint=plan.username)
    loopback.expect(state)
    show(address)
    answer = loopback.wait(timeout)
    if "code" not in answer:
        raise refusal(answer, plan)
    return _granted(_fetch(flow, answer["code"], plan))


def _fetch(flow: Any, code: str, plan: Plan) -> Mapping[str, Any]:
    host = GOOGLE_TOKEN.split("/")[2]
    try:
        token: Mapping[str, Any] = flow.fetch_token(code=code)
    except Warning as e:  # oauthlib's way to say that other scopes were granted than asked for
        return dict(getattr(e, "token", None) or {})
    except OAuth2Error as e:
        raise refusal({"error": e.error, "error_description": e.description}, plan) from None
    except requests.RequestException as e:
        raise unreachable(host, e) from None
    except ValueError:
        raise PluginError(f"the answer of {host} cannot be used. Run the command again. Nothing was written.") from None
    return token


def _granted(token: Mapping[str, Any]) -> Granted:
    scopes = token.get("scope") or ""
    return Granted(
        access=str(token.get("access_token") or ""),
        refresh=str(token.get("refresh_token") or ""),
        scopes=frozenset(scopes.split() if isinstance(scopes, str) else scopes),
    )
