"""The operator's own HTTP: `/healthz` for the kubelet, `/metrics` for Prometheus."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from aiohttp import web
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from mailfetch_operator import metrics
from mailfetch_operator.liveness import Liveness
from mailfetch_operator.settings import Settings


class HttpServer:
    """Two ports, so that a NetworkPolicy can tell the kubelet from Prometheus."""

    def __init__(
        self, *, settings: Settings, liveness: Liveness, connections: Callable[[], Iterable[Mapping[str, Any]]]
    ) -> None:
        self._settings = settings
        self._liveness = liveness
        self._connections = connections
        self._runners: list[web.AppRunner] = []

    async def start(self) -> None:
        """Listens."""
        await self._listen(self._settings.liveness_port, web.get("/healthz", self._healthz))
        await self._listen(self._settings.http_port, web.get("/metrics", self._metrics))

    async def stop(self) -> None:
        """Ends."""
        for runner in self._runners:
            await runner.cleanup()

    async def _listen(self, port: int, route: web.RouteDef) -> None:
        app = web.Application()
        app.add_routes([route])
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await runner.setup()
        self._runners.append(runner)
        await web.TCPSite(runner, None, port).start()  # all addresses, IPv4 and IPv6

    async def _healthz(self, _request: web.Request) -> web.Response:
        problems = self._liveness.problems()
        return web.Response(text="\n".join(problems) or "ok", status=500 if problems else 200)

    async def _metrics(self, _request: web.Request) -> web.Response:
        states = Counter(state_of(obj) for obj in self._connections())
        metrics.CONNECTIONS.clear()
        for state, count in states.items():
            metrics.CONNECTIONS.labels(state).set(count)
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})


def state_of(connection: Mapping[str, Any]) -> str:
    """STATE as people see it: the reason of the condition Ready."""
    for condition in (connection.get("status") or {}).get("conditions") or ():
        if condition["type"] == "Ready":
            return str(condition["reason"])
    return "Pending"
