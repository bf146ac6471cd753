"""The objects as last seen, so that a reconcile reads nothing from the API server.

Filled by a list at start, kept current by watch events and by the answers to our own writes. Never goes back: an
object that is older than what is known is ignored. Only what reconciling needs is kept.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Object = dict[str, Any]

OWN_PREFIX = "mailfetch.dev/"

REMEMBERED = 10_000
"""Removed objects that are remembered, so that an answer that is under way does not bring them back."""


@dataclass(kw_only=True)
class Cache:
    """Objects by kind, namespace and name, and by whatever `index` says.

    Attributes:
        changed: Called with an object as it was and as it is now; either may be None.
        index: Keys under which an object is to be found besides its name.
    """

    changed: Callable[[Object | None, Object | None], None]
    index: Callable[[Object], Iterable[Hashable]] = lambda _: ()
    _objects: dict[tuple[str, str, str], Object] = field(default_factory=dict)
    _indexed: dict[Hashable, dict[str, Object]] = field(default_factory=dict)
    _gone: dict[str, int] = field(default_factory=dict)

    def get(self, kind: str, namespace: str, name: str) -> Object | None:
        """The object, or None."""
        return self._objects.get((kind, namespace, name))

    def all(self, kind: str) -> list[Object]:
        """All objects of a kind."""
        return [o for (found, _, _), o in self._objects.items() if found == kind]

    def find(self, key: Hashable) -> list[Object]:
        """All objects that `index` gave this key, by name."""
        return sorted(self._indexed.get(key, {}).values(), key=lambda o: str(o["metadata"]["name"]))

    def put(self, kind: str, raw: Mapping[str, Any], *, silent: bool = False) -> bool:
        """Takes an object from a list, a watch, or the answer to a write. False if it is nothing new.

        `silent`: the caller wrote it and deals with the change itself.
        """
        meta = raw["metadata"]
        known = self.get(kind, meta["namespace"], meta["name"])
        if (known and _version(raw) <= _version(known)) or _version(raw) <= self._gone.get(meta["uid"], 0):
            return False
        pruned = prune(kind, raw)
        if known:
            self._unindex(known)
        self._objects[kind, meta["namespace"], meta["name"]] = pruned
        for key in self.index(pruned):
            self._indexed.setdefault(key, {})[meta["uid"]] = pruned
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
            self._unindex(known)
            del self._objects[kind, meta["namespace"], meta["name"]]
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

    def _unindex(self, obj: Object) -> None:
        for key in self.index(obj):
            found = self._indexed[key]
            del found[obj["metadata"]["uid"]]
            if not found:
                del self._indexed[key]


def prune(kind: str, raw: Mapping[str, Any]) -> Object:
    """What reconciling needs of an object. Notably not `managedFields`, nor the annotation of `kubectl apply`."""
    meta = raw["metadata"]
    kept: Object = {
        key: meta[key]
        for key in (
            "name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp",
            "finalizers", "labels", "ownerReferences",
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
