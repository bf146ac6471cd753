"""Looks for secrets in what a program left behind: logs, events, metrics, stored values, arguments of processes.

    assert find({"the password": "correct horse battery"}, {"the log": log}) == []

Whatever writes a secret in another way (compressed, encrypted) hides it from this search.
"""

import base64
import json
from collections.abc import Iterator, Mapping
from urllib.parse import quote, quote_plus

PIECE = 24
"""Bytes of the beginning or of the end that are enough to tell: texts get cut, and so do the secrets in them."""
_SHORTEST = 8


def find(secrets: Mapping[str, str], places: Mapping[str, bytes]) -> list[str]:
    """Which secret is where, without the secrets themselves; empty is what we want.

    Args:
        secrets: By what they are called.
        places: What is searched, by what it is called.

    Raises:
        ValueError: a secret is so short that anything may look like it.
    """
    known = {name: needles(secret) for name, secret in secrets.items()}
    found = (
        f"{name} is in {place}, {form}"
        for place, text in places.items()
        for name, forms in known.items()
        for form, needle in forms
        if needle in text
    )
    return list(dict.fromkeys(found))


def needles(secret: str) -> list[tuple[str, bytes]]:
    """What tells of a secret, by the form in which it is there."""
    if len(secret) < _SHORTEST:
        raise ValueError(f"a secret of {len(secret)} characters")
    found: dict[bytes, str] = {}
    for form, text in _forms(secret):
        for needle in (text[:PIECE], text[-PIECE:]):
            found.setdefault(needle, form)
    return [(form, needle) for needle, form in found.items()]


def _forms(secret: str) -> Iterator[tuple[str, bytes]]:
    """As logs, addresses, documents and logins write it."""
    yield "as it is", secret.encode()
    yield "as in an address", quote(secret, safe="").encode()
    yield "as in a form", quote_plus(secret).encode()
    yield "as in JSON", json.dumps(secret)[1:-1].encode()
    yield "as a Python text", repr(secret)[1:-1].encode()
    for before in range(3):  # base64 of a longer text: the secret may begin at any byte of a group of three
        encoded = _inside(secret.encode(), before)
        yield f"in base64 after {before} bytes", encoded
        yield f"in base64 for addresses after {before} bytes", encoded.translate(bytes.maketrans(b"+/", b"-_"))


def _inside(secret: bytes, before: int) -> bytes:
    """The characters of base64 that depend on the secret alone, when so many bytes stand before it in its group."""
    first, last = -(-before * 8 // 6), (before + len(secret)) * 8 // 6
    return base64.b64encode(bytes(before) + secret)[first:last]
