"""Who signed in, as the answers of both authorities say it: signed ID tokens, and MSAL's client_info."""

import base64
import functools
import json
import time
import uuid
from collections.abc import Iterable
from typing import Any

import jwt

from tests.servers.authority_keys import KeyPair, make_key_pair
from tests.servers.authority_model import Account, Client

_KID = "id-tokens-1"


@functools.cache
def _signing() -> KeyPair:
    """Made once, as that takes its time."""
    return make_key_pair("id tokens")


def public_keys() -> list[dict[str, Any]]:
    """What is published, as JWKs."""
    key = jwt.algorithms.RSAAlgorithm.to_jwk(_signing().key.public_key(), as_dict=True)
    return [{**key, "kid": _KID, "use": "sig"}]


def make_id_token(client: Client, account: Account, host: str, scopes: Iterable[str], nonce: str) -> str:
    """Made for a client by an authority."""
    now = int(time.time())
    subject, google = _subject(account), client.google
    claims: dict[str, object] = {
        **{"iss": f"https://{host}" if google else f"https://{host}/{account.tenant}/v2.0", "aud": client.id},
        **{"sub": subject, "iat": now, "nbf": now, "exp": now + 3600},
    }
    if nonce:
        claims["nonce"] = nonce
    if google and {"email", "https://www.googleapis.com/auth/userinfo.email"} & set(scopes):
        claims |= {"email": account.address, "email_verified": True}
    if not google:
        claims |= {"oid": subject, "tid": account.tenant, "ver": "2.0"}
        if "profile" in scopes:
            claims |= {"preferred_username": account.address, "name": account.address.partition("@")[0]}
    return jwt.encode(claims, _signing().key, algorithm="RS256", headers={"kid": _KID})


def client_info(account: Account) -> str:
    """Which account an answer is about."""
    info = json.dumps({"uid": _subject(account), "utid": account.tenant}).encode()
    return base64.urlsafe_b64encode(info).rstrip(b"=").decode()


def _subject(account: Account) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, account.address))
