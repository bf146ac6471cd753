"""Where the password of a connection that is not saved comes from: typed, piped, the same file, or the cluster."""

import base64
import binascii
import getpass
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kubectl_mailfetch.authorize.documents import Document, find_secret
from kubectl_mailfetch.errors import Exit, PluginError
from kubectl_mailfetch.trial import references

_LONGEST = 64 * 1024
Values = dict[tuple[str, str], bytes]


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Where values may come from.

    Attributes:
        documents: The file.
        stdin: The password is on standard input.
        ask: The password is asked for, even if there is a Secret.
        in_cluster: Whether the cluster has a Secret with that key; None: you may not see that.
        prompt: Asks for a password, without showing it.
    """

    documents: Sequence[Document]
    stdin: bool
    ask: bool
    in_cluster: Callable[[str, str], bool | None]
    prompt: Callable[[str], str]


def collect(connection: Mapping[str, Any], sources: Sources) -> Values:
    """The values that the test needs and the cluster does not have: (Secret, key) → value.

    Raises:
        PluginError: the password is nowhere, or something cannot be read.
    """
    spec = connection["spec"]
    values: Values = {}
    for secret, key in references(spec):
        document = find_secret(sources.documents, secret)
        value = _of_file(document, key) if document else None
        if value is not None:
            values[secret, key] = value
    password = _password_reference(spec)
    if password is None:
        if sources.stdin or sources.ask:
            raise PluginError("auth.type of this connection is OAuth2: it has no password", code=Exit.USAGE)
    elif sources.stdin:
        values[password] = read_password()
    elif sources.ask or (password not in values and sources.in_cluster(*password) is False):
        values[password] = _typed(spec, password, sources)
    return values


def read_password() -> bytes:
    """Standard input, without the line break at its end.

    Raises:
        PluginError: there is nothing on it.
    """
    found = sys.stdin.buffer.read(_LONGEST).removesuffix(b"\n").removesuffix(b"\r")
    if not found:
        raise PluginError("--password-stdin: standard input is empty", code=Exit.USAGE)
    return found


def prompt(question: str) -> str:
    """Asks at the terminal, whatever standard input is.

    Raises:
        PluginError: there is no terminal.
    """
    try:
        with open("/dev/tty", "rb"):
            pass
    except OSError:
        raise PluginError(
            "would have to ask for the password, and there is no terminal; give it with --password-stdin, or put a"
            " Secret into the file",
            code=Exit.USAGE,
        ) from None
    return getpass.getpass(question)


def _typed(spec: Mapping[str, Any], password: tuple[str, str], sources: Sources) -> bytes:
    found = sources.prompt(f"Password of {spec['auth']['username']}: ")
    if not found:
        raise PluginError(f"no password was given, and there is no Secret {password[0]}", code=Exit.DECLINED)
    return found.encode()


def _password_reference(spec: Mapping[str, Any]) -> tuple[str, str] | None:
    return next(references({"auth": {"passwordSecretRef": spec["auth"].get("passwordSecretRef")}}), None)


def _of_file(document: Document, key: str) -> bytes | None:
    plain = dict(_mapping(document, "stringData"))
    if key in plain:
        return str(plain[key]).encode()
    data = dict(_mapping(document, "data"))
    if key not in data:
        return None
    try:
        return base64.b64decode(str(data[key]), validate=True)
    except binascii.Error:
        name = document["metadata"]["name"]
        raise PluginError(f"Secret {name} in the file: data.{key} is not base64", code=Exit.USAGE) from None


def _mapping(document: Document, key: str) -> Iterator[tuple[str, Any]]:
    found = document.get(key)
    yield from found.items() if isinstance(found, dict) else ()
