"""One request to the API server: time-out, retries and typed errors around the official client.

All writes of children are server-side applies, so writing twice is the same as writing once.
"""

import asyncio
import json
import logging
import random
import re
from collections.abc import AsyncIterator, Sequence
from typing import Any

import aiohttp
from kubernetes.aio import client as k8s
from kubernetes.aio import config as k8s_config
from kubernetes.aio.dynamic import DynamicClient
from kubernetes.aio.dynamic.exceptions import DynamicApiError

from mailfetch_operator import metrics
from mailfetch_operator.api.kinds import Kind
from mailfetch_operator.workqueue import ExpectedError

logger = logging.getLogger(__name__)

Object = dict[str, Any]

MANAGER = "mailfetch-operator"
STATUS_MANAGER = "mailfetch-status"
FINALIZER_MANAGER = "mailfetch-finalizer"
"""Field managers: for children, for the status of MailConnections, and for their finalizer."""

TIMEOUT = 20.0
TRIES = 4
CHUNK = 500
APPLY = "application/apply-patch+yaml; charset=utf-8"
"""With the charset, or the client would write the body itself, as JSON."""
MERGE = "application/merge-patch+json"


class ApiError(ExpectedError):
    """The API server refused or did not answer.

    Attributes:
        status: HTTP status; 0 if there was no answer.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class NotFoundError(ApiError):
    """404: the object is not there."""


class NamespaceEndsError(ApiError):
    """403: nothing can be made in the namespace any more, because it is being deleted."""


class ConflictError(ApiError):
    """409: another object has the name, or the object is not the one we mean."""


class Api:
    """The API server. Use `connect`."""

    def __init__(self, client: k8s.ApiClient) -> None:
        self._client = client
        self._dynamic = DynamicClient(client)  # not awaited: discovery is not needed for `request`

    @classmethod
    async def connect(cls) -> "Api":
        """Logs in with the pod's service account, else with KUBECONFIG."""
        configuration = k8s.Configuration()
        try:
            k8s_config.load_incluster_config(client_configuration=configuration)
        except k8s_config.ConfigException:
            await k8s_config.load_kube_config(client_configuration=configuration)
        return cls(k8s.ApiClient(configuration))

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.close()

    async def get(self, path: str) -> Object:
        """Reads anything.

        Raises:
            ApiError: it cannot be read.
        """
        return await self._request("get", path)

    async def list(self, kind: Kind, namespace: str | None) -> AsyncIterator[Object]:
        """Lists a kind in chunks; each is a list as the API answers it, all of one version.

        Raises:
            ApiError: the list cannot be read, or grew too old while it was read.
        """
        token: str | None = None
        while token != "":
            page = await self._request(
                "get",
                kind.path(namespace=namespace),
                label_selector=kind.selector or None,
                limit=CHUNK,
                _continue=token,
            )
            yield page
            token = page["metadata"].get("continue", "")

    async def apply(self, kind: Kind, manifest: Object) -> Object:
        """Server-side apply of a child; the answer is the object as it is now.

        Raises:
            ApiError: refused.
        """
        return await self._apply(kind, manifest, MANAGER)

    async def apply_status(self, kind: Kind, manifest: Object) -> Object:
        """Server-side apply of the status; the answer is the object as it is now.

        Give `metadata.uid` and `metadata.resourceVersion`, so that nothing is written that was planned from an older
        object: not to one of the same name that was made meanwhile, nor over what another process wrote.

        Raises:
            NotFoundError: the object is gone.
            ConflictError: it is another one by now, or was changed.
            ApiError: refused.
        """
        return await self._apply(kind, manifest, STATUS_MANAGER, subresource="status")

    async def _apply(self, kind: Kind, manifest: Object, manager: str, *, subresource: str = "") -> Object:
        meta = manifest["metadata"]
        path = kind.path(namespace=meta["namespace"], name=meta["name"], subresource=subresource)
        return await self._request(
            "patch", path, body=as_yaml(manifest), content_type=APPLY, field_manager=manager, force_conflicts="true"
        )

    async def merge(self, kind: Kind, *, namespace: str, name: str, body: Object, manager: str = MANAGER) -> Object:
        """Merge patch.

        Raises:
            NotFoundError: the object is gone.
            ConflictError: `metadata.uid` or `metadata.resourceVersion` in the body are another object's.
            ApiError: refused.
        """
        path = kind.path(namespace=namespace, name=name)
        return await self._request("patch", path, body=body, content_type=MERGE, field_manager=manager)

    async def set_finalizers(self, kind: Kind, obj: Object, finalizers: Sequence[str]) -> Object:
        """Replaces the finalizers of an object that is still as it was read; the answer is the object as it is now.

        Raises:
            NotFoundError: the object is gone.
            ConflictError: it is another one by now, or was changed.
            ApiError: refused.
        """
        meta = obj["metadata"]
        body = {"metadata": {key: meta[key] for key in ("uid", "resourceVersion")} | {"finalizers": list(finalizers)}}
        return await self.merge(
            kind, namespace=meta["namespace"], name=meta["name"], body=body, manager=FINALIZER_MANAGER
        )

    async def create(self, kind: Kind, manifest: Object) -> Object:
        """Creates an object.

        Raises:
            ConflictError: it exists.
            ApiError: refused.
        """
        path = kind.path(namespace=manifest["metadata"]["namespace"])
        return await self._request("post", path, body=manifest, field_manager=MANAGER)

    async def delete(self, kind: Kind, *, namespace: str, name: str, uid: str) -> None:
        """Deletes an object and, in the background, what it owns. One that is gone already is no error.

        Raises:
            ConflictError: the name means another object now.
            ApiError: refused.
        """
        body = {"preconditions": {"uid": uid}, "propagationPolicy": "Background"}
        try:
            await self._request("delete", kind.path(namespace=namespace, name=name), body=body)
        except NotFoundError:
            return

    async def _request(self, method: str, path: str, **params: Any) -> Object:
        for attempt in range(1, TRIES + 1):
            try:
                answer = await self._once(method, path, **params)
            except (DynamicApiError, aiohttp.ClientError, TimeoutError, OSError) as e:
                status = e.status if isinstance(e, DynamicApiError) else 0
                metrics.API_REQUESTS.labels(method, str(status) if status else "error").inc()
                if attempt == TRIES or not (status in (0, 429) or status >= 500):
                    raise _typed(status, e, f"{method.upper()} {path}") from e
                await asyncio.sleep(_pause(attempt, e))
            else:
                metrics.API_REQUESTS.labels(method, "200").inc()
                return answer
        raise AssertionError("not reached")

    async def _once(self, method: str, path: str, **params: Any) -> Object:
        answer: Object = await self._dynamic.request(
            method,
            path,
            serializer=lambda _client, data: data,
            _request_timeout=aiohttp.ClientTimeout(TIMEOUT),
            **params,
        )
        return answer


_UNREADABLE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
"""Characters that stand as they are in JSON, but not in YAML."""


def as_yaml(manifest: Object) -> bytes:
    """JSON that is YAML too.

    JSON escapes an emoji as two halves, which YAML refuses: one folder with an emoji in its name, and nothing of its
    pool could be written any more. So characters stand as they are, except those that YAML wants escaped.
    """
    text = json.dumps(manifest, ensure_ascii=False, separators=(",", ":"))
    return _UNREADABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text).encode()


def _pause(attempt: int, error: Exception) -> float:
    """Seconds before the next try: what the server asks for (at most 10), else growing with jitter."""
    headers = getattr(error, "headers", None) or {}
    asked = str(headers.get("Retry-After", ""))
    if asked.isascii() and asked.isdigit():
        return min(float(asked), 10.0) + random.random() / 2  # noqa: S311 - jitter
    return 0.2 * float(2**attempt) * (0.5 + random.random() / 2)  # noqa: S311 - jitter


def _typed(status: int, error: Exception, what: str) -> ApiError:
    text = f"{what}: {_detail(error)}"
    if status == 404:
        return NotFoundError(status, text)
    if status == 409:
        return ConflictError(status, text)
    if status == 403 and "NamespaceTerminating" in _body(error):
        return NamespaceEndsError(status, text)
    if status == 403:
        return ApiError(status, f"{text} (does the operator's Role of this chart version apply to this namespace?)")
    return ApiError(status, text)


def _body(error: Exception) -> str:
    body = getattr(error, "body", "") or ""
    return body.decode(errors="replace") if isinstance(body, bytes) else str(body)


def _detail(error: Exception) -> str:
    """The server's own message, without headers and stack."""
    if not isinstance(error, DynamicApiError):
        return repr(error)
    try:
        body = error.summary()
    except (ValueError, KeyError, TypeError):
        body = str(error.body)
    return f"{error.status}: {body}"
