"""Finding the cluster as kubectl does: --kubeconfig, else KUBECONFIG (several files), else ~/.kube/config."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from kubectl_mailfetch.errors import Exit, PluginError

_FILES = ("certificate-authority", "client-certificate", "client-key", "tokenFile")


def candidates(option: str, environment: Mapping[str, str]) -> list[Path]:
    """The files to read, in order of precedence; a file that was named must exist, others are left out.

    Raises:
        PluginError: a named file does not exist.
    """
    if option:
        return [_existing(Path(option).expanduser(), "--kubeconfig")]
    named = [Path(p).expanduser() for p in environment.get("KUBECONFIG", "").split(os.pathsep) if p]
    if len(named) == 1:
        return [_existing(named[0], "KUBECONFIG")]
    default = Path(environment.get("HOME", "~")).expanduser() / ".kube" / "config"
    return [p for p in (named or [default]) if p.is_file()]


def load(paths: Sequence[Path]) -> dict[str, Any]:
    """Reads the files and merges them: the first that names something wins.

    Raises:
        PluginError: a file cannot be read.
    """
    merged: dict[str, Any] = {"clusters": [], "users": [], "contexts": [], "current-context": ""}
    for path in paths:
        doc = _read(path)
        merged["current-context"] = merged["current-context"] or doc.get("current-context") or ""
        for kind, inner in (("clusters", "cluster"), ("users", "user"), ("contexts", "context")):
            known = {item["name"] for item in merged[kind]}
            for item in doc.get(kind) or []:
                if item["name"] not in known:
                    merged[kind].append({"name": item["name"], inner: _absolute(item.get(inner) or {}, path)})
    return merged


def choose_context(doc: Mapping[str, Any], wanted: str) -> str:
    """The context to use.

    Raises:
        PluginError: there is none, or it is incomplete.
    """
    contexts = {c["name"]: c["context"] for c in doc["contexts"]}
    name = wanted or doc["current-context"]
    if name not in contexts:
        known = ", ".join(sorted(contexts)) or "none"
        what = f"there is no context '{name}' in the kubeconfig" if name else "the kubeconfig has no current context"
        raise PluginError(f"{what}; choose one with --context (known: {known})", code=Exit.NO_CLUSTER)
    if contexts[name].get("cluster") not in {c["name"] for c in doc["clusters"]}:
        raise PluginError(f"context '{name}' of the kubeconfig names no known cluster", code=Exit.NO_CLUSTER)
    return str(name)


def _existing(path: Path, source: str) -> Path:
    if not path.is_file():
        raise PluginError(f"{source} names {path}, which is not a file", code=Exit.NO_CLUSTER)
    return path


def _read(path: Path) -> dict[str, Any]:
    try:
        doc = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as e:
        raise PluginError(f"cannot read the kubeconfig {path}: {e}", code=Exit.NO_CLUSTER) from e
    if not isinstance(doc, dict):
        raise PluginError(f"{path} is not a kubeconfig", code=Exit.NO_CLUSTER)
    return doc


def _absolute(item: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """File names in a kubeconfig are relative to it."""
    return {k: str((path.parent / str(v)).absolute()) if k in _FILES and v else v for k, v in item.items()}
