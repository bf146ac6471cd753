"""Kopf's side: its settings, its login, and what its watch streams do.

Kopf says nothing of its streams, but takes an HTTP session of ours, and that can be observed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import aiohttp
import kopf

from mailfetch_operator import liveness
from mailfetch_operator.api.kinds import WATCHED

PREFIX = "kopf.mailfetch.dev"


@dataclass(frozen=True, kw_only=True)
class Observer:
    """Called when Kopf opens a watch, and when it has listed a kind anew. Both with the path."""

    watch: Callable[[str], None]
    relist: Callable[[str], None]


def configure(settings: kopf.OperatorSettings) -> None:
    """Watch only: Kopf writes nothing to Kubernetes and keeps no state in objects."""
    settings.posting.enabled = False
    settings.scanning.disabled = True  # a fixed set of kinds and namespaces; no right to list CRDs or namespaces
    settings.peering.standalone = True
    settings.watching.chunk_size = 500
    settings.watching.server_timeout = liveness.WATCH_SECONDS
    settings.watching.connect_timeout = 20
    settings.watching.client_timeout = liveness.WATCH_SECONDS + 60  # should the server not end the stream
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 20
    settings.queueing.idle_timeout = 0.5
    settings.queueing.exit_timeout = 1.0
    # Nothing below is used as long as there are only event handlers; named, so that nothing foreign ever appears.
    settings.persistence.finalizer = f"{PREFIX}/finalizer"
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=PREFIX)
    settings.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix=PREFIX)
    for kind in WATCHED:
        if kind.selector:
            settings.watching.label_selectors[kind.group, kind.version, kind.plural] = kind.selector


def login(settings: kopf.OperatorSettings, observer: Observer) -> kopf.AiohttpSession:
    """A session with the pod's service account, else with KUBECONFIG. Called again after each 401.

    Raises:
        kopf.LoginError: there is neither.
    """
    info = kopf.login_with_service_account(settings=settings) or kopf.login_with_kubeconfig(settings=settings)
    if info is None:
        raise kopf.LoginError("neither a service account nor a kubeconfig: set KUBECONFIG")
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=info.as_ssl_context()),
        headers=info.as_http_headers(),
        trace_configs=[_trace(observer)],
    )
    return kopf.AiohttpSession(server=info.server, default_namespace=info.default_namespace, aiohttp_session=session)


def _trace(observer: Observer) -> aiohttp.TraceConfig:
    async def on_start(
        _session: aiohttp.ClientSession, _context: SimpleNamespace, params: aiohttp.TraceRequestStartParams
    ) -> None:
        if params.url.query.get("watch") == "true":
            observer.watch(params.url.path)

    async def on_end(
        _session: aiohttp.ClientSession, _context: SimpleNamespace, params: aiohttp.TraceRequestEndParams
    ) -> None:
        query: Any = params.url.query
        if "watch" not in query and "limit" in query and "continue" not in query:
            observer.relist(params.url.path)

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(on_start)
    trace.on_request_end.append(on_end)
    return trace
