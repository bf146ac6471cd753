"""The objects as last seen, so that a reconcile reads nothing from the API server.

Filled by a list at start, kept current by watch events and by the answers to our own writes. Never goes back: an
object that is older than what is known is ignored. Only what reconciling needs is kept.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Object = dict[str, Any]

OWN_PREFIX = "mailfetch.dev/"

REMEMBERED = 10_000
"""Removed objects that are remembered, so that an answer that is under way does not bring them back."""


@dataclass(kw_only=True)
class Cache:
    """Objects by kind, namespace and name.

    `changed` is called with an object as it was and as it is now; either may be None.
    """

    changed: Callable[[Object | None, Object | None], None]
    _objects: dict[tuple[str, str], dict[str, Object]] = field(default_factory=dict)
    _gone: dict[str, int] = field(default_factory=dict)

    def get(self, kind: str, namespace: str, name: str) -> Object | None:
        """The object, or None."""
        return self._objects.get((kind, namespace), {}).get(name)

    def within(self, kind: str, namespace: str) -> list[Object]:
        """All objects of a kind in a namespace, by name."""
        return [o for _, o in sorted(self._objects.get((kind, namespace), {}).items())]

    def all(self, kind: str) -> list[Object]:
        """All objects of a kind."""
        return [o for (found, _), objects in self._objects.items() if found == kind for o in objects.values()]

    def labelled(self, kind: str, namespace: str, label: str, value: str) -> list[Object]:
        """All objects of a kind in a namespace that carry a label, by name."""
        return [o for o in self.within(kind, namespace) if (o["metadata"].get("labels") or {}).get(label) == value]

    def put(self, kind: str, raw: Mapping[str, Any], *, silent: bool = False) -> bool:
        """Takes an object from a list, a watch, or the answer to a write. False if it is nothing new.

        `silent`: the caller wrote it and deals with the change itself.
        """
        meta = raw["metadata"]
        known = self.get(kind, meta["namespace"], meta["name"])
        if (known and _version(raw) <= _version(known)) or _version(raw) <= self._gone.get(meta["uid"], 0):
            return False
        self._objects.setdefault((kind, meta["namespace"]), {})[meta["name"]] = pruned = prune(kind, raw)
        if not silent:
            self.changed(known, pruned)
        return True

    def remove(self, kind: str, raw: Mapping[str, Any]) -> None:
        """The object is gone, or not ours any more. An older answer that comes in later does not bring it back."""
        meta = raw["metadata"]
        self._gone[meta["uid"]] = _version(raw)
        if len(self._gone) > REMEMBERED:
            del self._gone[next(iter(self._gone))]
        known = self.get(kind, meta["namespace"], meta["name"])
        if known and known["metadata"]["uid"] == meta["uid"]:
            del self._objects[kind, meta["namespace"]][meta["name"]]
            self.changed(known, None)

    def retain(self, kind: str, namespace: str | None, *, uids: set[str], version: str) -> int:
        """After a complete list of a namespace (None: of all), drops what it did not hold. Says how many.

        A watch that had to start anew never tells what was deleted in between. Objects newer than the list stay.
        """
        gone = [
            o
            for o in self.all(kind)
            if namespace in (None, o["metadata"]["namespace"])
            and o["metadata"]["uid"] not in uids
            and _version(o) <= int(version)
        ]
        for o in gone:
            self.remove(kind, {"metadata": {**o["metadata"], "resourceVersion": version}})
        return len(gone)


def prune(kind: str, raw: Mapping[str, Any]) -> Object:
    """What reconciling needs of an object. Notably not `managedFields`, nor the annotation of `kubectl apply`."""
    meta = raw["metadata"]
    kept: Object = {
        key: meta[key]
        for key in (
            "name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp",
            "labels", "ownerReferences",
        )
        if key in meta
    }  # fmt: skip
    kept["annotations"] = {k: v for k, v in (meta.get("annotations") or {}).items() if k.startswith(OWN_PREFIX)}
    pruned: Object = {"kind": kind, "metadata": kept}
    parts = {"ConfigMap": ("data",), "Pod": ("status",), "Job": ("status",)}.get(kind, ("spec", "status"))
    pruned.update({part: raw[part] for part in parts if part in raw})
    return pruned


def _version(obj: Mapping[str, Any]) -> int:
    # Since Kubernetes 1.35 the API promises what was always so: versions of one kind are ordered integers.
    return int(obj["metadata"]["resourceVersion"])
