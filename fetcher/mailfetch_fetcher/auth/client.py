"""The OAuth2 client as its mounted Secret describes it; read anew for each token (a federated token lives an hour)."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mailfetch_fetcher.auth.password import read_secret
from mailfetch_fetcher.contract.mounts import CLIENT_KEYS
from mailfetch_fetcher.errors import Pace, SourceError

_SAMPLES = {
    "certificate.pem": "--from-file=certificate.pem",
    "private-key.pem": "--from-file=private-key.pem",
    "service-account.json": "--from-file=service-account.json",
}


@dataclass(frozen=True, kw_only=True)
class Client:
    """A client Secret.

    Attributes:
        secret: Name of the Secret.
        namespace: Its namespace, for messages.
        values: Content by key, without white space around it; only keys that have one.
    """

    secret: str
    namespace: str
    values: Mapping[str, str] = field(repr=False)

    def get(self, key: str) -> str:
        """The content of a key, or nothing."""
        return self.values.get(key, "")

    def need(self, key: str) -> str:
        """The content of a key.

        Raises:
            SourceError: SecretNotFound, with the command that adds it.
        """
        if value := self.get(key):
            return value
        raise SourceError("SecretNotFound", self.missing(key), pace=Pace.CONFIGURATION)

    def missing(self, key: str) -> str:
        """For people: the key is not there."""
        sample = _SAMPLES.get(key, f"--from-literal={key}='THE VALUE'")
        if not self.values:
            create = f"kubectl -n {self.namespace} create secret generic {self.secret} {sample}"
            return (
                f"the Secret '{self.secret}' (spec.auth.oauth2.clientSecretRef) does not exist in namespace "
                f"{self.namespace} or is empty; create it with the keys of the OAuth2 client: {create}"
            )
        return (
            f"the Secret '{self.secret}' (spec.auth.oauth2.clientSecretRef) has no key '{key}'; add it: "
            f'kubectl -n {self.namespace} patch secret {self.secret} -p \'{{"stringData":{{"{key}":"THE VALUE"}}}}\''
        )

    def digest(self) -> bytes:
        """Changes with the content."""
        hashed = hashlib.sha256()
        for key in sorted(self.values):
            value = self.values[key].encode()
            hashed.update(f"{key} {len(value)}\n".encode() + value)
        return hashed.digest()


def read_client(secret: str, *, directory: Path, namespace: str) -> Client:
    """The client in a Secret.

    Args:
        secret: Name of the Secret.
        directory: Where the Secrets are mounted.
        namespace: Namespace of the connection.

    Raises:
        SourceError: InvalidConfiguration if a key holds no text.
    """
    values = {}
    for key in CLIENT_KEYS:
        raw = read_secret(directory, secret, key)
        if raw and (text := as_text(raw, secret=secret, key=key)):
            values[key] = text
    return Client(secret=secret, namespace=namespace, values=values)


def as_text(raw: bytes, *, secret: str, key: str) -> str:
    """The text of a key without white space around it: editors and `echo` add line ends.

    Raises:
        SourceError: it is not UTF-8.
    """
    try:
        return raw.decode().strip()
    except UnicodeDecodeError:
        raise SourceError(
            "InvalidConfiguration",
            f"key '{key}' of the Secret '{secret}' is not text; store it as it was given to you",
            pace=Pace.CONFIGURATION,
        ) from None  # the cause would show its bytes
