"""Registration with Kopf, and nothing else: an event goes into the cache, the cache puts keys into the queue.

No handler that changes objects is registered, so Kopf writes nothing: no annotation, no finalizer.
"""

from typing import Any

import kopf

from mailfetch_operator.api import watching
from mailfetch_operator.api.kinds import WATCHED, Kind
from mailfetch_operator.runtime import Operator


def build_registry(operator: Operator) -> kopf.OperatorRegistry:
    """The handlers of an operator."""
    registry = kopf.OperatorRegistry()

    @kopf.on.startup(registry=registry, errors=kopf.ErrorsMode.PERMANENT)
    async def startup(settings: kopf.OperatorSettings, **_: Any) -> None:
        watching.configure(settings)
        await operator.start()

    @kopf.on.cleanup(registry=registry, errors=kopf.ErrorsMode.PERMANENT)
    async def cleanup(**_: Any) -> None:
        await operator.stop()

    @kopf.on.login(registry=registry, errors=kopf.ErrorsMode.PERMANENT)
    async def login(settings: kopf.OperatorSettings, **_: Any) -> kopf.AiohttpSession:
        observer = watching.Observer(watch=operator.liveness.attempted, relist=operator.watch_relisted)
        return watching.login(settings, observer)

    for kind in WATCHED:
        _register(registry, operator, kind)
    return registry


def _register(registry: kopf.OperatorRegistry, operator: Operator, kind: Kind) -> None:
    @kopf.on.event(kind.group, kind.version, kind.plural, registry=registry, id=f"watch-{kind.plural}")
    async def event(event: kopf.RawEvent, **_: Any) -> None:
        operator.event(kind, event["type"], dict(event["object"]))
