"""Signed assertions instead of secrets: certificates and federated tokens at Microsoft, service accounts at Google."""

import base64
import time
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from tests.servers.authority_errors import Refused
from tests.servers.authority_model import Client, Json, ServiceAccount

JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
EXCHANGE = "api://AzureADTokenExchange"
GOOGLE_AUDIENCE = "https://oauth2.googleapis.com/token"
_SKEW = 300
_UNCHECKED = {"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False}


def check_client_assertion(client: Client, assertion: str, *, audiences: frozenset[str]) -> None:
    """Accepts what Entra accepts: signed by a registered certificate, or by the issuer that the client trusts.

    Raises:
        Refused: with the code that names what is wrong.
    """
    try:
        header, claims = jwt.get_unverified_header(assertion), _claims(assertion)
    except jwt.PyJWTError as e:
        raise Refused("AADSTS50012", "The client assertion is malformed.") from e
    if client.federated and claims.get("iss") == client.federated.issuer:
        _check_federated(client, assertion, claims)
        return
    certificate = _certificate(client, header)
    if header.get("alg") not in ("PS256", "RS256"):
        raise Refused("AADSTS700027", "The algorithm is not supported.")
    _verify(assertion, certificate.public_key(), header["alg"], Refused("AADSTS700027", "Key was found, but signature "
            "is not valid"))  # fmt: skip
    if claims.get("iss") != client.id or claims.get("sub") != client.id:
        raise Refused("AADSTS50012", "The issuer or subject is not the client.")
    if claims.get("aud") not in audiences:
        raise Refused("AADSTS50012", "The audience is not this token endpoint.")
    _check_time(claims)
    if not claims.get("jti") or claims["jti"] in client.used_assertions:
        raise Refused("AADSTS50012", "The assertion was used before.")
    client.used_assertions.add(claims["jti"])


def check_service_account(account: ServiceAccount | None, assertion: str) -> Json:
    """The claims of a service account's assertion, which Google would accept.

    Raises:
        Refused: with Google's words.
    """
    if account is None:
        raise Refused("google_no_account")
    _verify(assertion, account.key, "RS256", Refused("google_bad_signature"))  # other algorithms are refused likewise
    claims = _claims(assertion)
    if claims.get("aud") != GOOGLE_AUDIENCE:
        raise Refused("google_bad_jwt", "Failed audience check.")
    now = time.time()
    issued, expires = claims.get("iat", 0), claims.get("exp", 0)
    if not (issued <= now + _SKEW and expires >= now - _SKEW and expires - issued <= 3600 + _SKEW):
        raise Refused("google_bad_time")
    return claims


def issuer(assertion: str) -> str:
    """Who says to have signed it; empty if that cannot be read."""
    try:
        return str(_claims(assertion).get("iss", ""))
    except jwt.PyJWTError:
        return ""


def _check_federated(client: Client, assertion: str, claims: Json) -> None:
    assert client.federated
    _verify(assertion, client.federated.key, "RS256", Refused("AADSTS50012", "The signature is not valid."))
    if claims.get("sub") != client.federated.subject:
        raise Refused("AADSTS700213", str(claims.get("sub")))
    audience = claims.get("aud")
    if EXCHANGE not in (audience if isinstance(audience, list) else [audience]):
        raise Refused("AADSTS700213", str(claims.get("sub")))
    _check_time(claims)  # such a token may be used many times: there is no check of its jti


def _certificate(client: Client, header: Json) -> x509.Certificate:
    for certificate in client.certificates:
        for name, algorithm in (("x5t#S256", hashes.SHA256()), ("x5t", hashes.SHA1())):
            thumbprint = base64.urlsafe_b64encode(certificate.fingerprint(algorithm)).decode().rstrip("=")
            if header.get(name, "").rstrip("=") == thumbprint:
                return certificate
    raise Refused("AADSTS700027", "The key was not found.")


def _check_time(claims: Json) -> None:
    now = time.time()
    if not (claims.get("nbf", now) <= now + _SKEW and now - _SKEW <= claims.get("exp", 0)):
        raise Refused("AADSTS700024")


def _verify(assertion: str, key: Any, algorithm: str, refused: Refused) -> None:
    try:
        jwt.decode(assertion, key, algorithms=[algorithm], options=_UNCHECKED)  # type: ignore[arg-type]
    except jwt.PyJWTError as e:
        raise refused from e


def _claims(assertion: str) -> Json:
    claims: Json = jwt.decode(assertion, options={"verify_signature": False})
    return claims
