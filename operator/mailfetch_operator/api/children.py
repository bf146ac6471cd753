"""Writes the children of MailConnections, and only if they differ from what is there.

A child carries the hash of the manifest that it was made from, so a restarted operator writes nothing. The hash alone
would not notice that somebody edited the child; so what was applied must also still be found in it.
"""

import hashlib
import json
import logging
from collections.abc import Mapping
from typing import Any

from mailfetch_operator import names
from mailfetch_operator.api.client import Api, ConflictError, NotFoundError
from mailfetch_operator.api.kinds import CONFIG_MAP, DEPLOYMENT, JOB, POD, STATEFUL_SET, Kind, kind_of
from mailfetch_operator.cache import Cache, prune
from mailfetch_operator.index import by_label

logger = logging.getLogger(__name__)

Object = dict[str, Any]

APPLIED_HASH = f"{names.GROUP}/applied-hash"
"""On children: hash of the manifest that was last applied."""
ASSIGNMENTS_HASH = f"{names.GROUP}/assignments"
"""On fetcher pods: hash of the ConfigMap that the kubelet was told of."""


class Children:
    """Applies and deletes children; keeps the cache in step with what it wrote."""

    def __init__(self, *, api: Api, cache: Cache) -> None:
        self._api = api
        self._cache = cache
        self._generations: dict[str, tuple[str, int]] = {}

    async def ensure(self, manifest: Object) -> str:
        """Makes the child what the manifest says, without a request if it is. Returns the manifest's hash.

        Raises:
            ApiError: refused.
        """
        kind, digest, meta = kind_of(manifest), digest_of(manifest), manifest["metadata"]
        if self.current(manifest):
            return digest
        answer = await self._api.apply(kind, _stamped(manifest))
        logger.info("applied %s %s/%s", kind.kind, meta["namespace"], meta["name"])
        self._generations[answer["metadata"]["uid"]] = (digest, answer["metadata"].get("generation", 0))
        self._cache.put(kind.kind, answer, silent=True)
        return digest

    def current(self, manifest: Object) -> bool:
        """Whether the child is what the manifest says, as far as is known."""
        kind, meta = kind_of(manifest), manifest["metadata"]
        live = self._cache.get(kind.kind, meta["namespace"], meta["name"])
        if not live or live["metadata"].get("deletionTimestamp"):
            return False
        return self._as_applied(kind, _stamped(manifest), digest_of(manifest), live)

    async def remove_fetcher(self, namespace: str, name: str) -> None:
        """Deletes a fetcher's Deployment and ConfigMap.

        Raises:
            ApiError: refused.
        """
        for kind in (DEPLOYMENT, CONFIG_MAP):
            await self._delete(kind, namespace, name)

    async def remove_tools(self, namespace: str) -> None:
        """Deletes the tools of a namespace.

        Raises:
            ApiError: refused.
        """
        await self._delete(STATEFUL_SET, namespace, names.TOOLS)

    async def create_job(self, manifest: Object) -> None:
        """Creates a probe or purge Job; one of that name that exists is the same one.

        Raises:
            NamespaceEndsError: nothing can be made there any more.
            ApiError: refused.
        """
        meta = manifest["metadata"]
        try:
            answer = await self._api.create(JOB, manifest)
        except ConflictError:
            return
        logger.info("created Job %s/%s", meta["namespace"], meta["name"])
        self._cache.put(JOB.kind, answer, silent=True)

    async def remove_job(self, namespace: str, name: str) -> None:
        """Deletes a Job and its pod.

        Raises:
            ApiError: refused.
        """
        await self._delete(JOB, namespace, name)

    async def refresh_mounts(self, namespace: str, fetcher: str, digest: str) -> None:
        """Makes the kubelet bring the ConfigMap into the pods at once: it looks when the pod itself changes.

        Raises:
            ApiError: refused.
        """
        for pod in self._cache.find(by_label(POD.kind, namespace, names.FETCHER_LABEL, fetcher)):
            meta = pod["metadata"]
            ended = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
            if ended or meta.get("deletionTimestamp") or meta["annotations"].get(ASSIGNMENTS_HASH) == digest:
                continue
            body = {"metadata": {"annotations": {ASSIGNMENTS_HASH: digest}, "uid": meta["uid"]}}
            try:
                answer = await self._api.merge(POD, namespace=namespace, name=meta["name"], body=body)
            except (NotFoundError, ConflictError):
                continue  # gone, or another one by now: its event brings us here again
            self._cache.put(POD.kind, answer, silent=True)

    async def _delete(self, kind: Kind, namespace: str, name: str) -> None:
        live = self._cache.get(kind.kind, namespace, name)
        if not live or live["metadata"].get("deletionTimestamp"):
            return
        await self._api.delete(kind, namespace=namespace, name=name, uid=live["metadata"]["uid"])
        logger.info("deleted %s %s/%s", kind.kind, namespace, name)

    def _as_applied(self, kind: Kind, stamped: Object, digest: str, live: Object) -> bool:
        wanted = prune(kind.kind, stamped)
        if not contains(live["metadata"], wanted["metadata"]):
            return False
        generation = live["metadata"].get("generation", 0)
        if generation and self._generations.get(live["metadata"]["uid"]) == (digest, generation):
            # Nobody changed the spec since. Saves the comparison, and ends it for values that the API server writes
            # in another way than we do ("0.5" becomes "500m"), which would look edited for ever.
            return True
        return all(contains(live.get(part), wanted[part]) for part in ("spec", "data") if part in wanted)


def digest_of(manifest: Mapping[str, Any]) -> str:
    """A short hash of a manifest."""
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def contains(live: object, wanted: object) -> bool:
    """Whether everything wanted is found: the API server adds fields to objects, but not items to our lists."""
    if isinstance(wanted, Mapping):
        return isinstance(live, Mapping) and all(contains(live.get(key), value) for key, value in wanted.items())
    if isinstance(wanted, list | tuple):
        if not isinstance(live, list) or len(live) != len(wanted):
            return False
        return all(contains(one, other) for one, other in zip(live, wanted, strict=True))
    return live == wanted or (live is None and wanted == "")


def _stamped(manifest: Object) -> Object:
    meta = manifest["metadata"]
    annotations = {**meta.get("annotations", {}), APPLIED_HASH: digest_of(manifest)}
    return {**manifest, "metadata": {**meta, "annotations": annotations}}
