"""Console script `mailfetch-operator`."""

import asyncio
import logging
import os
import sys

import kopf

from mailfetch_operator import main as registration
from mailfetch_operator import settings as configuration
from mailfetch_operator.runtime import Operator


def main() -> None:
    """Reads the settings and runs until SIGTERM."""
    try:
        settings = configuration.read(environ=os.environ, argv=sys.argv[1:])
    except configuration.SettingsError as e:
        sys.exit(f"mailfetch-operator: {e}")
    _configure_logs(settings.log_level)
    # A handler that waits for the event loop's own signals would be one more thing that can hang; Kopf takes
    # SIGTERM and SIGINT and calls the cleanup handler.
    asyncio.run(_run(settings))


async def _run(settings: configuration.Settings) -> None:
    operator = Operator(settings)
    await kopf.operator(
        registry=registration.build_registry(operator),
        standalone=True,
        clusterwide=not settings.namespaces,
        namespaces=settings.namespaces,
    )


def _configure_logs(level: str) -> None:
    kopf.configure(log_format=kopf.LogFormat.JSON)
    logging.getLogger().setLevel(level)
    if level != "DEBUG":
        # Kopf tells of every event that it handles.
        logging.getLogger("kopf").setLevel(logging.WARNING)
