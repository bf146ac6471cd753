"""A connection that is not saved yet: the documents of a manifest file."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from kubectl_mailfetch.errors import Exit, PluginError

Document = dict[str, Any]
_LARGEST = 4 * 1024 * 1024


def read_documents(path: str) -> list[Document]:
    """The objects of a YAML or JSON file; `-` is standard input. Lists are unfolded.

    Raises:
        PluginError: it cannot be read.
    """
    try:
        text = sys.stdin.read(_LARGEST) if path == "-" else Path(path).read_text(encoding="utf-8")
        found = [d for d in yaml.safe_load_all(text) if d is not None]
    except OSError as e:
        raise PluginError(f"cannot read {path}: {e.strerror}", code=Exit.USAGE) from e
    except (UnicodeDecodeError, yaml.YAMLError) as e:
        where = getattr(e, "problem_mark", None)  # never the text itself: it may hold Secrets
        line = f" near line {where.line + 1}" if where else ""
        raise PluginError(f"{path} is not readable as YAML{line}", code=Exit.USAGE) from None
    objects = [o for d in found for o in (d.get("items") or [] if _is(d, "List") else [d])]
    if not all(isinstance(o, dict) for o in objects):
        raise PluginError(f"{path} holds something that is no Kubernetes object", code=Exit.USAGE)
    return objects


def find_connection(documents: Sequence[Document], name: str, *, path: str) -> Document:
    """The MailConnection of that name; without a name the only one.

    Raises:
        PluginError: there is none, or several and no name.
    """
    found = [d for d in documents if _is(d, "MailConnection")]
    named = [d for d in found if not name or _name(d) == name]
    known = ", ".join(sorted(map(_name, found))) or "none"
    if not named:
        raise PluginError(
            f"{path} holds no MailConnection {name} (it has: {known})".replace("  ", " "), code=Exit.USAGE
        )
    if len(named) > 1:
        raise PluginError(f"{path} holds several MailConnections; name one of them: {known}", code=Exit.USAGE)
    if not _name(named[0]):
        raise PluginError(f"the MailConnection in {path} has no metadata.name", code=Exit.USAGE)
    return named[0]


def find_secret(documents: Sequence[Document], name: str) -> Document | None:
    """The Secret of that name, if the file has it."""
    return next((d for d in documents if _is(d, "Secret") and _name(d) == name), None)


def _is(document: Any, kind: str) -> bool:
    return isinstance(document, dict) and document.get("kind") == kind


def _name(document: Document) -> str:
    return str((document.get("metadata") or {}).get("name") or "")
