"""Signing in at Microsoft Entra, with msal: PKCE, state and nonce are the library's."""

import re
import time
import warnings
from collections.abc import Callable
from typing import Any

import msal
import requests
from msal.exceptions import MsalError

from kubectl_mailfetch.authorize.http import Http
from kubectl_mailfetch.authorize.loopback import Loopback
from kubectl_mailfetch.authorize.plan import Client, Plan
from kubectl_mailfetch.authorize.words import Granted, refusal, unreachable
from kubectl_mailfetch.errors import Exit, PluginError
from kubectl_mailfetch.model import plain

_KEY = re.compile(r"-----BEGIN ([A-Z ]*PRIVATE KEY)-----.*?-----END \1-----", re.DOTALL)
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


def in_browser(
    plan: Plan, client: Client, *, http: Http, loopback: Loopback, show: Callable[[str], None], timeout: float
) -> Granted:
    """Authorization code with PKCE (RFC 7636), brought back by the browser.

    Args:
        plan: What is asked for.
        client: The app.
        http: To the authority.
        loopback: Takes the answer.
        show: Opens or prints the address.
        timeout: Seconds to wait for the person.

    Raises:
        PluginError: it did not work; says why.
    """
    try:
        app = _app(plan, client, http)
        with warnings.catch_warnings():
            # msal prefers answers by POST; a code in the address is bound to this process by PKCE, and is used up.
            warnings.simplefilter("ignore")
            flow = app.initiate_auth_code_flow(
                list(plan.scopes),
                redirect_uri=f"http://localhost:{loopback.port}",
                login_hint=plan.username,
                prompt="select_account",  # or the browser's present account would be taken without asking
            )
        loopback.expect(flow["state"])
        show(flow["auth_uri"])
        result = app.acquire_token_by_auth_code_flow(flow, dict(loopback.wait(timeout)))
    except (requests.RequestException, MsalError) as e:
        raise unreachable(plan.cloud.authority, e) from None
    except (ValueError, RuntimeError) as e:
        raise _odd(e, plan) from None
    return _granted(result, plan)


def by_device(plan: Plan, client: Client, *, http: Http, say: Callable[[str], None], timeout: float) -> Granted:
    """Device code (RFC 8628): the person enters a code on any other machine.

    Args:
        plan: What is asked for.
        client: The app, a public client.
        http: To the authority.
        say: Tells the person.
        timeout: Seconds to wait for the person.

    Raises:
        PluginError: it did not work; says why.
    """
    if not client.public:
        raise PluginError(
            f"--device is for public clients, and the Secret {plan.client_secret} has a client secret or certificate."
            " Leave --device out (with --no-browser the address is only printed).",
            code=Exit.USAGE,
        )
    try:
        app = _app(plan, client, http)
        flow = app.initiate_device_flow(list(plan.scopes))
        if "user_code" not in flow:
            raise refusal(flow, plan)
        say(f"Open {plain(flow['verification_uri'])} on any machine, enter {plain(flow['user_code'])} and sign in as")
        say(f"  {plan.username}")
        say("Waiting … (Ctrl-C ends it; nothing is written)")
        flow["expires_at"] = min(flow["expires_at"], time.time() + timeout)
        result = app.acquire_token_by_device_flow(flow)
    except (requests.RequestException, MsalError) as e:
        raise unreachable(plan.cloud.authority, e) from None
    except (ValueError, RuntimeError) as e:
        raise _odd(e, plan) from None
    return _granted(result, plan)


def _app(plan: Plan, client: Client, http: Http) -> Any:
    """The authorities of the table are known, so nobody needs to be asked whether they are Microsoft's."""
    common = {
        "client_id": client.id,
        "authority": f"https://{plan.cloud.authority}/{client.tenant}",
        "http_client": http,
        "instance_discovery": False,
    }
    if client.public:
        return msal.PublicClientApplication(**common)
    return msal.ConfidentialClientApplication(client_credential=_credential(client), **common)


def _credential(client: Client) -> str | dict[str, str]:
    """The same choice as the fetcher's, which redeems the refresh token: the strongest that is there."""
    if client.federated:
        return {"client_assertion": client.federated}
    if not client.certificate:
        return client.secret
    key = _KEY.search(client.private_key or client.certificate)  # both may be in one text
    certificates = "\n".join(match[0] for match in _CERTIFICATE.finditer(client.certificate))
    return {"private_key": key[0] if key else "", "public_certificate": certificates}


def _granted(result: dict[str, Any], plan: Plan) -> Granted:
    if "access_token" not in result:
        raise refusal(result, plan)
    claims = result.get("id_token_claims") or {}
    return Granted(
        access=result["access_token"],
        refresh=str(result.get("refresh_token") or ""),
        scopes=frozenset(str(result.get("scope") or "").split()),
        account=plain(claims.get("preferred_username") or claims.get("email") or claims.get("upn") or ""),
    )


def _odd(error: Exception, plan: Plan) -> PluginError:
    """Msal refuses before or without an answer; its text may hold the answer, so only known parts are shown."""
    if "tenant" in str(error).lower() or "authority" in str(error).lower():
        return PluginError(
            f"{plan.cloud.authority} does not know the tenant: correct the key tenant-id of the Secret"
            f" {plan.client_secret}, or spec.auth.oauth2.cloud. Nothing was written."
        )
    return PluginError(
        f"{plan.cloud.authority} or the Secret {plan.client_secret} gave something that cannot be used"
        f" ({type(error).__name__}): an answer that does not belong to this sign-in, or a certificate.pem or"
        " private-key.pem that is not PEM without a passphrase. Correct the Secret, or run the command again. Nothing"
        " was written."
    )
