"""Keys and signed assertions, as administrators, clusters and Google's console make them."""

import datetime
import json
import time
import uuid
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID


@dataclass(frozen=True, kw_only=True)
class KeyPair:
    """An RSA key with a certificate of its own, both also as PEM."""

    key: rsa.RSAPrivateKey
    certificate: x509.Certificate

    @property
    def private_pem(self) -> str:
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()

    @property
    def certificate_pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()


def make_key_pair(name: str = "mail fetcher") -> KeyPair:
    """A new one."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=3650))
        .sign(key, hashes.SHA256())
    )
    return KeyPair(key=key, certificate=made)


def federated_token(pair: KeyPair, *, issuer: str, subject: str, seconds: int = 3600, **more: Any) -> str:
    """What a cluster writes into a pod: a token of a service account for Entra's token exchange."""
    now = int(time.time())
    claims = {
        **{"iss": issuer, "sub": subject, "aud": ["api://AzureADTokenExchange"], "jti": str(uuid.uuid4())},
        **{"iat": now, "nbf": now, "exp": now + seconds},
        **more,
    }
    return jwt.encode(claims, pair.key, algorithm="RS256")


def service_account_json(pair: KeyPair, email: str) -> str:
    """The key file that Google's console gives out."""
    return json.dumps(
        {
            "type": "service_account",
            "project_id": email.partition("@")[2].partition(".")[0],
            "private_key_id": uuid.uuid4().hex,
            "private_key": pair.private_pem,
            "client_email": email,
            "client_id": "100000000000000000001",
            "auth_uri": "https://accounts.google.com/o/oauth2/auth",
            "token_uri": "https://oauth2.googleapis.com/token",
            "universe_domain": "googleapis.com",
        }
    )
