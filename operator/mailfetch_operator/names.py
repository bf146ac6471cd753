"""Names that people and other programs rely on: annotations, labels, names of children."""

import hashlib
from typing import Final, Literal

GROUP: Final = "mailfetch.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
KIND: Final = "MailConnection"
PLURAL: Final = "mailconnections"

ENABLE: Final = f"{GROUP}/enable"
ACKNOWLEDGE: Final = f"{GROUP}/acknowledge"

Request = Literal["test", "estimate", "fetch", "refetch", "resume-actions"]
PROBE_REQUESTS: Final[tuple[Request, ...]] = ("test", "estimate")
FETCHER_REQUESTS: Final[tuple[Request, ...]] = ("fetch", "refetch", "resume-actions")
MAX_REQUEST: Final = 253
"""Characters of a request's value that count."""

FETCHER_LABEL: Final = f"{GROUP}/fetcher"
"""On fetcher Deployments, their ConfigMaps and pods: name of the Deployment."""
CONNECTION_LABEL: Final = f"{GROUP}/connection"
"""On probe and purge Jobs and their pods: name of the MailConnection."""
CONNECTION_UID: Final = f"{GROUP}/connection-uid"
"""Annotation of a purge Job: UID of the MailConnection, which does not own it (see `desired.purge`)."""
FINGERPRINT: Final = f"{GROUP}/fingerprint"
SERIAL: Final = f"{GROUP}/serial"
"""Annotations of a probe Job; its requests stand under `request_annotation`. A purge Job has the second."""

PURGE_FINALIZER: Final = f"{GROUP}/purge"
"""On MailConnections with `deletionPolicy: Purge`: they stay until their data in Redis was removed."""

APP_LABEL: Final = "app.kubernetes.io/name"
PROBE_APP: Final = "mailfetch-probe"
PURGE_APP: Final = "mailfetch-purge"
"""Values of `APP_LABEL` that tell the Jobs of a connection apart."""

TOOLS: Final = "mailfetch-tools"
"""Name of the StatefulSet by which people see the queue and the log of a namespace, and its pod's `APP_LABEL`."""

MANAGED: Final = {"app.kubernetes.io/managed-by": "mailfetch-operator", "app.kubernetes.io/part-of": "mailfetch"}

_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"


def annotation(request: Request) -> str:
    """The annotation by which people ask for something."""
    return f"{GROUP}/{request}"


def request_annotation(request: Request) -> str:
    """The annotation of a probe Job that says which request it answers."""
    return f"{GROUP}/request-{request}"


def pool_fetcher(pool: str) -> str:
    """Name of the Deployment and ConfigMap of a pool."""
    return f"mailfetch-pool-{pool}"


def dedicated_fetcher(connection: str) -> str:
    """Name of the Deployment and ConfigMap of a connection of its own."""
    return f"mconn-{connection}"


def probe_job(connection: str, *parts: str) -> str:
    """Name of a probe Job: at most 63 characters, the same for the same parts."""
    return f"{connection}-probe-{_suffix(*parts)}"


def purge_job(connection: str, *parts: str) -> str:
    """Name of a purge Job, in the same way."""
    return f"{connection}-purge-{_suffix(*parts)}"


def _suffix(*parts: str) -> str:
    number = int.from_bytes(hashlib.sha256("\0".join(parts).encode()).digest()[:8], "big")
    suffix = ""
    for _ in range(4):
        number, digit = divmod(number, len(_ALPHABET))
        suffix += _ALPHABET[digit]
    return suffix
