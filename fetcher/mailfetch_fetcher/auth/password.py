"""Passwords from mounted Secrets: read at each login, never kept; and whether a Secret changed since the last login."""

import hashlib
import os
from pathlib import Path

from mailfetch_fetcher.contract import secrets
from mailfetch_fetcher.contract.spec import Spec
from mailfetch_fetcher.errors import Pace, SourceError


def read_password(spec: Spec, *, directory: Path, namespace: str) -> str:
    """The password that `spec.auth.passwordSecretRef` names; one newline at its end is not part of it.

    Args:
        spec: Spec of the connection.
        directory: Where the Secrets are mounted.
        namespace: Namespace of the connection, for the command in messages.

    Raises:
        SourceError: SecretNotFound if there is none, InvalidConfiguration if it is not UTF-8.
    """
    named = secrets.password(spec)
    if named is None:
        raise SourceError(
            "InvalidConfiguration", "spec.auth.passwordSecretRef is missing; name a Secret", pace=Pace.CONFIGURATION
        )
    raw = read_secret(directory, *named)
    raw = raw.removesuffix(b"\n").removesuffix(b"\r") if raw else raw
    if not raw:
        secret, key = named
        what = f"has no key '{key}' or does not exist" if raw is None else f"has an empty key '{key}'"
        create = f"kubectl -n {namespace} create secret generic {secret} --from-literal={key}='THE PASSWORD'"
        patch = f'kubectl -n {namespace} patch secret {secret} -p \'{{"stringData":{{"{key}":"THE PASSWORD"}}}}\''
        remedy = f"create it: {create}, or if it is there: {patch}" if raw is None else f"fill it in: {patch}"
        raise SourceError(
            "SecretNotFound",
            f"the Secret '{secret}' in namespace {namespace} {what}; {remedy}",
            pace=Pace.CONFIGURATION,
        )
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise SourceError(
            "InvalidConfiguration",
            f"the password in key '{named[1]}' of the Secret '{named[0]}' is not UTF-8 text; store it as UTF-8",
            pace=Pace.CONFIGURATION,
        ) from None  # the cause would show bytes of the password


def read_secret(directory: Path, secret: str, key: str) -> bytes | None:
    """The bytes of a Secret's key, or None if it is not there."""
    try:
        return (directory / secrets.file_name(secret, key)).read_bytes()
    except OSError:
        return None


class SecretWatch:
    """Tells whether a Secret that a connection uses has changed. It keeps hashes under a random key, no content."""

    def __init__(self, spec: Spec, *, directory: Path) -> None:
        self._names = tuple(secrets.references(spec))
        self._directory = directory
        self._key = os.urandom(16)
        self._marked = self._hash()

    def mark(self) -> None:
        """From now on: to be called just before the Secrets are read for a login."""
        self._marked = self._hash()

    def changed(self) -> bool:
        """The content differs from what it was at the last `mark`."""
        return self._hash() != self._marked

    def _hash(self) -> bytes:
        digest = hashlib.blake2b(key=self._key, digest_size=16)
        for secret, key in self._names:
            content = read_secret(self._directory, secret, key)
            digest.update(b"-" if content is None else b"%d:" % len(content) + content)
        return digest.digest()
