"""Makes the source of an assignment: reads its Secrets, as they are now, and picks the protocol."""

import dataclasses
from pathlib import Path

from mailfetch_fetcher.auth.password import read_password, read_secret
from mailfetch_fetcher.contract import secrets as names
from mailfetch_fetcher.contract.assignment import Assignment
from mailfetch_fetcher.contract.probe import StepName
from mailfetch_fetcher.contract.spec import Spec, unsupported
from mailfetch_fetcher.errors import Pace, SourceError
from mailfetch_fetcher.sources.base import Source
from mailfetch_fetcher.sources.imap import ImapSource
from mailfetch_fetcher.sources.imap_connect import Observe
from mailfetch_fetcher.sources.imap_settings import from_spec
from mailfetch_fetcher.tls import client_context

PART = 512 * 1024
"""Bytes: the longest stretch of a mail that is read without a sign of life; larger mails come in such parts."""


def _ignore(_stage: StepName, _detail: str) -> None:
    pass


def make_source(a: Assignment, *, secrets: Path, observe: Observe = _ignore) -> Source:
    """A source that is not connected yet.

    Args:
        a: What to fetch.
        secrets: Directory of the mounted Secrets.
        observe: Told of each stage of the connection that succeeded.

    Raises:
        SourceError: a Secret is missing, or the spec asks for what this version cannot run.
    """
    if missing := unsupported(a.spec):
        raise SourceError("InvalidConfiguration", f"not in this version: {missing}", pace=Pace.CONFIGURATION)
    password = read_password(a.spec, directory=secrets, namespace=a.namespace)
    ca = _authority(a.spec, directory=secrets, namespace=a.namespace)
    try:
        settings = dataclasses.replace(from_spec(a.spec, password=password), part_size=PART)
    except ValueError as e:
        raise SourceError("InvalidConfiguration", str(e), pace=Pace.CONFIGURATION) from e
    context = None if settings.encryption == "None" else client_context(ca)
    return ImapSource(settings, context=context, observe=observe)


def _authority(spec: Spec, *, directory: Path, namespace: str) -> bytes | None:
    """The private CA, or None for the system's."""
    named = names.certificate_authority(spec)
    if named is None:
        return None
    ca = read_secret(directory, *named)
    if not ca:
        secret, key = named
        raise SourceError(
            "SecretNotFound",
            f"the Secret '{secret}' with key '{key}' (spec.tls.caSecretRef) is missing or empty; create it: "
            f"kubectl -n {namespace} create secret generic {secret} --from-file={key}=ca.pem",
            pace=Pace.CONFIGURATION,
        )
    return ca
