"""What the token endpoints of both have in common: redeeming codes, and an eye on what no correct client sends."""

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from tests.servers.authority_assertions import JWT_BEARER
from tests.servers.authority_errors import Refused
from tests.servers.authority_http import basic
from tests.servers.authority_model import Account, Call, Client, Code

if TYPE_CHECKING:
    from tests.servers.authority_state import State

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
JWT_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_ENTRA = {"grant_type", "client_id", "client_secret", "client_assertion", "client_assertion_type", "scope", "claims"}
_ENTRA |= {"client_info"}
_GOOGLE = {"grant_type", "client_id", "client_secret"}
_KNOWN: Mapping[tuple[bool, str], set[str]] = {
    (False, "authorization_code"): _ENTRA | {"code", "redirect_uri", "code_verifier"},
    (False, "refresh_token"): _ENTRA | {"refresh_token"},
    (False, "client_credentials"): _ENTRA,
    (False, DEVICE_GRANT): _ENTRA | {"device_code", "code"},
    (True, "authorization_code"): _GOOGLE | {"code", "redirect_uri", "code_verifier"},
    (True, "refresh_token"): _GOOGLE | {"refresh_token", "scope"},
    (True, JWT_GRANT): {"grant_type", "assertion"},
}


def look_at_grant(authority: "State", call: Call, *, google: bool) -> None:
    """Records what no correct client sends."""
    if call.query:
        authority.fault(f"token request with a query: {sorted(call.query)}")
    grant = call.form.get("grant_type", "")
    known = _KNOWN.get((google, grant))
    if known is None:
        authority.fault(f"grant type {grant!r} at {call.host}")
    elif unknown := sorted(set(call.form) - known):
        authority.fault(f"{grant} at {call.host} with {unknown}")
    if empty := sorted(name for name, value in call.form.items() if not value):
        authority.fault(f"{grant} at {call.host} with empty {empty}")
    if "claims" in call.form and not _is_json_object(call.form["claims"]):
        authority.fault("claims that are no JSON object")
    ways = [name for name in ("client_secret", "client_assertion") if call.form.get(name)]
    if len(ways) + bool(basic(call)) > 1:
        authority.fault(f"{grant} at {call.host} proves the client in several ways: {ways}")
    if call.form.get("client_assertion") and call.form.get("client_assertion_type") != JWT_BEARER:
        authority.fault(f"client_assertion_type {call.form.get('client_assertion_type')!r}")


def _is_json_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def needed(form: Mapping[str, str], name: str, refusal: str = "AADSTS900144") -> str:
    """A parameter without which there is no answer."""
    if not form.get(name):
        raise Refused(refusal, name)
    return form[name]


def redeem_code(authority: "State", call: Call, client: Client, unknown: str, used: str, verifier: str) -> Code:
    """The code that is redeemed: once, by its client, with the redirect URI and verifier of its request."""
    code = authority.codes.get(needed(call.form, "code", unknown))
    if code is None or code.client is not client:
        raise Refused(unknown)
    if code.used:
        raise Refused(used)
    code.used = True
    if call.form.get("redirect_uri") != code.redirect:
        raise Refused("google_redirect_uri_mismatch" if client.google else "AADSTS50011", code.redirect)
    proof = call.form.get("code_verifier", "")
    if proof:
        authority.keep(proof)
    digest = hashlib.sha256(proof.encode()).digest()
    if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != code.challenge:
        raise Refused(verifier)
    return code


def redeem_device(authority: "State", form: Mapping[str, str], client: Client) -> tuple[Account, tuple[str, ...]]:
    """Who approved a device code, and for which scopes; raises Refused until somebody has."""
    device = authority.devices.get(needed(form, "device_code"))
    if device is None or device.client is not client:
        raise Refused("AADSTS70018")
    states = {
        **{"pending": "AADSTS70016", "declined": "authorization_declined"},
        **{"expired": "AADSTS70020", "used": "AADSTS54005"},
    }
    if device.state != "approved":
        raise Refused(states[device.state])
    device.state = "used"
    assert device.account
    return device.account, device.scopes
