"""How objects are found in the cache: children by their labels, connections by fetcher, mailbox and stream."""

from collections.abc import Hashable, Iterator, Mapping
from typing import Any

from mailfetch_operator import names
from mailfetch_operator.model import Connection

_LABELS = (names.FETCHER_LABEL, names.CONNECTION_LABEL)


def by_label(kind: str, namespace: str, label: str, value: str) -> Hashable:
    """Children that carry one of our labels."""
    return "label", kind, namespace, label, value


def by_fetcher(namespace: str, fetcher: str) -> Hashable:
    """Connections that want to be served by a fetcher, also those that it has no room for."""
    return "fetcher", namespace, fetcher


def by_mailbox(namespace: str, identity: str) -> Hashable:
    """Connections that mean a mailbox."""
    return "mailbox", namespace, identity


def by_namespace(namespace: str) -> Hashable:
    """All connections of a namespace."""
    return "namespace", namespace


def by_stream(namespace: str, stream: str) -> Hashable:
    """Connections that write into a stream."""
    return "stream", namespace, stream


def keys(obj: Mapping[str, Any]) -> Iterator[Hashable]:
    """All keys of an object; the `index` of the cache."""
    meta = obj["metadata"]
    namespace = meta["namespace"]
    if obj["kind"] == names.KIND:
        connection = Connection.from_object(obj)
        yield by_namespace(namespace)
        if connection.spec:
            yield by_fetcher(namespace, wanted_fetcher(connection))
            yield by_mailbox(namespace, connection.identity)
            yield by_stream(namespace, connection.stream)
        return
    labels = meta.get("labels") or {}
    for label in _LABELS:
        if label in labels:
            yield by_label(obj["kind"], namespace, label, labels[label])


def wanted_fetcher(connection: Connection) -> str:
    """Name of the fetcher that the spec asks for, or empty without a spec."""
    if connection.spec is None:
        return ""
    if connection.spec.placement.mode == "Dedicated":
        return names.dedicated_fetcher(connection.name)
    return names.pool_fetcher(connection.spec.placement.pool)
