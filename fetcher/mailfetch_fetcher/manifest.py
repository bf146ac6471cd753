"""Reads MailConnections and Secrets from a manifest file, for running without Kubernetes.

No API server has validated the file, so what the CRD would refuse and a fetcher would stumble over is refused here,
with the name of the field.
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml

from mailfetch_fetcher.baseline import since_of
from mailfetch_fetcher.contract import units
from mailfetch_fetcher.contract.assignment import Assignment
from mailfetch_fetcher.contract.identity import mailbox_identity
from mailfetch_fetcher.contract.secrets import file_name, references
from mailfetch_fetcher.contract.spec import Spec, parse_spec, unsupported

_Value = TypeVar("_Value")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_SECRET = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}")
_STREAM = re.compile(r"[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?")
REQUESTS = ("refetch", "resume-actions")
_LONGEST_NAME = 52
_LONGEST_DELAY = 8760 * 3600.0


class _Loader(yaml.SafeLoader):
    """As Kubernetes reads YAML: a date is a text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def load(path: Path) -> list[dict[str, Any]]:
    """All documents of a manifest file.

    Raises:
        ValueError: the file cannot be read or is no YAML; the text says where.
    """
    try:
        documents = list(yaml.load_all(path.read_text(), Loader=_Loader))
    except OSError as e:
        raise ValueError(f"{path}: {e.strerror}") from e
    except yaml.YAMLError as e:
        raise ValueError(f"{path} is not valid YAML: {e}") from e
    return [d for d in documents if isinstance(d, dict)]


def assignments(documents: list[dict[str, Any]]) -> Iterator[Assignment]:
    """One assignment for each MailConnection.

    Raises:
        ValueError: a manifest is not valid or asks for what this version cannot run; the text names the field.
    """
    seen: set[str] = set()
    for document in documents:
        if document.get("kind") != "MailConnection":
            continue
        name, namespace = _names(document)
        if name in seen:
            raise ValueError(f"MailConnection {name}: the name occurs twice in the file; rename one")
        seen.add(name)
        try:
            spec = parse_spec(document.get("spec"))
            if unknown := list(_unknown(document["spec"], msgspec.inspect.type_info(Spec), "spec")):
                raise ValueError(f"there is no field {unknown[0]}; is it misspelt?")
            check(spec)
        except ValueError as e:
            raise ValueError(f"MailConnection {name}: {e}") from e
        if missing := unsupported(spec):
            raise ValueError(f"MailConnection {name}: not in this version: {missing}")
        yield Assignment(
            namespace=namespace,
            name=name,
            uid="standalone",
            spec=spec,
            identity=mailbox_identity(spec),
            requests=_requests(document),
        )


def _requests(document: Mapping[str, Any]) -> dict[str, str]:
    """The annotations that make sense without an operator; each value is carried out once."""
    annotations = document["metadata"].get("annotations")
    found = annotations if isinstance(annotations, dict) else {}
    return {name: str(found[key]) for name in REQUESTS if (key := f"mailfetch.dev/{name}") in found}


def _names(document: Mapping[str, Any]) -> tuple[str, str]:
    """Name and namespace; both become parts of Redis keys."""
    metadata = document.get("metadata")
    if not isinstance(metadata, dict) or not metadata.get("name"):
        raise ValueError("MailConnection: metadata.name is missing")
    name, namespace = str(metadata["name"]), str(metadata.get("namespace") or "default")
    for text, longest in ((name, _LONGEST_NAME), (namespace, 63)):
        if not _NAME.fullmatch(text) or len(text) > longest:
            raise ValueError(
                f"MailConnection: '{text}' is not a name; use lower-case letters, digits and '-', at most {longest}"
            )
    return name, namespace


def check(spec: Spec) -> None:
    """The rules of the CRD that decide whether a connection can run at all.

    Raises:
        ValueError: names the field and the remedy.
    """
    if spec.auth.type == "Password":
        _check_password(spec)
    else:
        _check_oauth2(spec)
    for name, key in references(spec):
        if not _SECRET.fullmatch(name) or not _KEY.fullmatch(key) or key.startswith(".."):
            raise ValueError(
                f"the spec names the key '{key}' of a Secret '{name}': names of Secrets are of lower-case letters, "
                "digits, '-' and '.', keys of letters, digits, '-', '_' and '.'"
            )
    if spec.queue.stream and not _STREAM.fullmatch(spec.queue.stream):
        raise ValueError("spec.queue.stream must be of lower-case letters, digits, '-' and '.'")
    _check_after_download(spec)
    _check_backlog(spec)
    _check_duration("interval", spec.schedule.interval, low=10.0, high=86400.0, bounds="10s to 24h")
    _check_duration("timeout", spec.schedule.timeout, low=0.001, high=120.0, bounds="1ms to 2m")
    _named("spec.queue.maxMessageSize", lambda: units.size(spec.queue.max_message_size))
    _named("spec.retention.queue", lambda: units.period(spec.retention.queue))
    _named("spec.retention.log", lambda: units.period(spec.retention.log))
    if spec.approval.max_messages < 0:
        raise ValueError("spec.approval.maxMessages must be 0 or more (0: every backlog needs a yes)")
    if spec.queue.max_length < 1:
        raise ValueError("spec.queue.maxLength must be 1 or more")


def _check_password(spec: Spec) -> None:
    if spec.protocol == "MicrosoftGraph":
        raise ValueError("spec.auth.type must be MicrosoftOAuth2 for protocol MicrosoftGraph")
    if spec.auth.oauth2 is not None:
        raise ValueError("spec.auth.oauth2 is only for auth.type GoogleOAuth2 and MicrosoftOAuth2")
    if spec.server is None:
        raise ValueError("spec.server is required for auth.type Password")
    if spec.auth.password_secret_ref is None:
        raise ValueError("spec.auth.passwordSecretRef is required for auth.type Password")
    if spec.server.encryption == "None" and not spec.server.allow_insecure_login:
        raise ValueError(
            "spec.server.encryption None sends the password unencrypted; use TLS or StartTLS, or set "
            "spec.server.allowInsecureLogin: true"
        )


def _check_oauth2(spec: Spec) -> None:
    kind, oauth2 = spec.auth.type, spec.auth.oauth2
    if oauth2 is None:
        raise ValueError(f"spec.auth.oauth2 is required for auth.type {kind}")
    if spec.auth.password_secret_ref is not None:
        raise ValueError("spec.auth.passwordSecretRef is only for auth.type Password")
    if (oauth2.flow == "Delegated") != (oauth2.token_secret_ref is not None):
        raise ValueError(
            "spec.auth.oauth2.tokenSecretRef is required for flow Delegated, and forbidden for Application"
        )
    if spec.server and spec.server.encryption == "None":
        raise ValueError("spec.server.encryption must be TLS or StartTLS for OAuth2")
    if spec.protocol == "MicrosoftGraph" and (kind != "MicrosoftOAuth2" or spec.server):
        raise ValueError("protocol MicrosoftGraph needs auth.type MicrosoftOAuth2 and takes no spec.server")
    if kind == "GoogleOAuth2" and (oauth2.cloud != "Global" or spec.shared_mailbox):
        raise ValueError("spec.auth.oauth2.cloud and spec.sharedMailbox are not for auth.type GoogleOAuth2")


def _check_after_download(spec: Spec) -> None:
    after = spec.after_download
    if (after.action == "Move") != bool(after.folder):
        raise ValueError("spec.afterDownload.folder is required with action: Move, and forbidden without it")
    if after.action == "Move" and after.folder == (spec.folder or "INBOX"):
        raise ValueError("spec.afterDownload.folder must be another folder than spec.folder")
    if (after.when == "Acknowledged") != bool(after.consumer_group):
        raise ValueError(
            "spec.afterDownload.consumerGroup is required with when: Acknowledged, and forbidden without it"
        )
    if after.permanent:
        _check_permanent(spec)
    if spec.protocol == "POP3" and spec.folder:
        raise ValueError("spec.folder: POP3 has no folders; leave it out")
    if spec.protocol == "POP3" and after.action == "Move":
        raise ValueError("spec.afterDownload.action: POP3 cannot move mails; use Delete, MarkSeen or None")
    delay = _named("spec.afterDownload.delay", lambda: units.duration(after.delay, default=0.0))
    if delay > _LONGEST_DELAY:
        raise ValueError("spec.afterDownload.delay must be 0s to 8760h (a year)")


def _check_permanent(spec: Spec) -> None:
    if spec.after_download.action != "Delete":
        raise ValueError("spec.afterDownload.permanent is only for action: Delete; leave it out")
    if spec.protocol != "MicrosoftGraph":
        raise ValueError(
            "spec.afterDownload.permanent is only for protocol: MicrosoftGraph; leave it out: over IMAP and POP3 "
            "Delete expunges the mail anyway (on Gmail over IMAP it moves it to the Trash)"
        )
    if spec.auth.oauth2 and spec.auth.oauth2.cloud != "Global":
        raise ValueError(
            "spec.afterDownload.permanent is only for spec.auth.oauth2.cloud: Global; leave it out, and Delete moves "
            "mails to Deleted Items"
        )


def _check_backlog(spec: Spec) -> None:
    backlog = spec.backlog
    if (backlog.start_from == "Since") != bool(backlog.since):
        raise ValueError("spec.backlog.since is required with startFrom: Since, and forbidden without it")
    _named("spec.backlog.since", lambda: since_of(backlog))


def _check_duration(field: str, text: str, *, low: float, high: float, bounds: str) -> None:
    seconds = _named(f"spec.schedule.{field}", lambda: units.duration(text, default=low))
    if not low <= seconds <= high:
        raise ValueError(f"spec.schedule.{field} must be {bounds}, or 0s for the default")


def _named(field: str, read: Callable[[], _Value]) -> _Value:
    """A value that is read from a text; what is wrong with it names the field."""
    try:
        return read()
    except ValueError as e:
        raise ValueError(f"{field}: {e}") from e


def _unknown(raw: object, info: msgspec.inspect.Type, path: str) -> Iterator[str]:
    """Fields that the API does not have: `msgspec` ignores them, but here no API server has refused them."""
    if isinstance(info, msgspec.inspect.UnionType):
        for member in info.types:
            yield from _unknown(raw, member, path)
    elif isinstance(info, msgspec.inspect.VarTupleType) and isinstance(raw, list):
        for n, item in enumerate(raw):
            yield from _unknown(item, info.item_type, f"{path}[{n}]")
    elif isinstance(info, msgspec.inspect.StructType) and isinstance(raw, dict):
        known = {field.encode_name: field.type for field in info.fields}
        for key, value in raw.items():
            if key in known:
                yield from _unknown(value, known[key], f"{path}.{key}")
            else:
                yield f"{path}.{key}"


def write_secrets(documents: list[dict[str, Any]], directory: Path) -> None:
    """Writes the file's Secrets as they would be mounted (`contract/secrets.py`), readable by the owner only.

    Raises:
        ValueError: a value is not base64.
    """
    for document in documents:
        if document.get("kind") != "Secret":
            continue
        metadata = document.get("metadata")
        name = str(metadata.get("name") or "") if isinstance(metadata, dict) else ""
        if not name or "/" in name or name.startswith("."):
            raise ValueError("Secret: metadata.name is missing or is not a name")
        for key, value in _values(name, document).items():
            target = directory / file_name(name, key)
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            target.touch(mode=0o600)
            target.write_bytes(value)


def _values(name: str, document: Mapping[str, Any]) -> dict[str, bytes]:
    values: dict[str, bytes] = {}
    for key, text in (document.get("data") or {}).items():
        try:
            values[str(key)] = base64.b64decode(str(text), validate=True)
        except binascii.Error as e:
            raise ValueError(f"Secret {name}: data.{key} is not base64 (plain text belongs into stringData)") from e
    values |= {str(key): str(text).encode() for key, text in (document.get("stringData") or {}).items()}
    for key in values:
        if "/" in key or key.startswith("."):
            raise ValueError(f"Secret {name}: '{key}' is not the name of a key")
    return values
