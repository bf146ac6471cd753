"""What an administrator can set: environment variables, or flags of the same meaning, read once at start.

The chart writes the variables; flags are for trying things out. `OPTIONS` is also the text of `--help`.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mailfetch_fetcher.contract import report


class SettingsError(Exception):
    """A setting is missing or wrong; the message says which and what to write."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings, checked; `OPTIONS` says what each means."""

    namespaces: tuple[str, ...] = ()
    fetcher_image: str = ""
    fetcher_image_pull_policy: str = "IfNotPresent"
    fetcher_pull_secrets: tuple[str, ...] = ()
    fetcher_resources: Mapping[str, Any] = field(default_factory=dict)
    tools_resources: Mapping[str, Any] = field(default_factory=dict)
    cluster_id: str = ""
    http_port: int = 8080
    liveness_port: int = 8081
    report_port: int = report.PORT
    log_level: str = "INFO"

    @property
    def watched(self) -> tuple[str | None, ...]:
        """The namespaces to list and watch; `None` stands for all at once."""
        return self.namespaces or (None,)


OPTIONS: tuple[tuple[str, str, str], ...] = (
    ("namespaces", "", "namespaces to serve, separated by commas; empty: all (cluster mode)"),
    ("fetcher-image", "", "image of fetchers and probes; required"),
    ("fetcher-image-pull-policy", "IfNotPresent", "Always, IfNotPresent or Never"),
    ("fetcher-pull-secrets", "", "names of image pull Secrets of fetchers, separated by commas"),
    ("fetcher-resources", "", 'resources of shared fetchers as JSON: {"requests": {...}, "limits": {...}}'),
    ("tools-resources", "", "resources of the tools of a namespace, in the same way"),
    ("cluster-id", "", "tells apart clusters that share a Redis; empty: UID of kube-system (cluster mode only)"),
    ("http-port", "8080", "port of /metrics"),
    ("liveness-port", "8081", "port of /healthz"),
    ("report-port", str(report.PORT), "port on which fetchers serve /report"),
    ("log-level", "INFO", "DEBUG, INFO, WARNING or ERROR"),
)
"""Name of the flag, default, meaning. The environment variable of `http-port` is `MAILFETCH_HTTP_PORT`."""


def read(*, environ: Mapping[str, str], argv: Sequence[str]) -> Settings:
    """The settings: flags, else the environment, else the defaults.

    Raises:
        SettingsError: a required one is missing, or a value cannot be read.
    """
    parser = argparse.ArgumentParser(
        prog="mailfetch-operator",
        description="Reconciles MailConnections into fetchers and reports their status.",
        epilog="Each flag has an environment variable: --http-port is MAILFETCH_HTTP_PORT. A flag wins.",
    )
    for name, default, text in OPTIONS:
        value = environ.get(_variable(name), "") or default
        parser.add_argument(f"--{name}", default=value, help=text, metavar="VALUE")
    raw: dict[str, str] = vars(parser.parse_args(argv))
    namespaces = _names(raw["namespaces"])
    _require(
        bool(raw["fetcher_image"]), "MAILFETCH_FETCHER_IMAGE is empty: name the image that fetchers and probes run"
    )
    _require(
        bool(raw["cluster_id"]) or not namespaces,
        "MAILFETCH_CLUSTER_ID is empty: an operator that serves only MAILFETCH_NAMESPACES may not read the namespace "
        "kube-system, so choose an id that no other cluster on the same Redis has, and never change it",
    )
    return Settings(
        namespaces=namespaces,
        fetcher_image=raw["fetcher_image"],
        fetcher_image_pull_policy=_one_of(raw, "fetcher-image-pull-policy", ("Always", "IfNotPresent", "Never")),
        fetcher_pull_secrets=_names(raw["fetcher_pull_secrets"]),
        fetcher_resources=_resources(raw, "fetcher-resources"),
        tools_resources=_resources(raw, "tools-resources"),
        cluster_id=raw["cluster_id"],
        http_port=_port(raw, "http-port"),
        liveness_port=_port(raw, "liveness-port"),
        report_port=_port(raw, "report-port"),
        log_level=_one_of(raw, "log-level", ("DEBUG", "INFO", "WARNING", "ERROR")),
    )


def _variable(name: str) -> str:
    return "MAILFETCH_" + name.replace("-", "_").upper()


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise SettingsError(message)


def _names(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def _one_of(raw: Mapping[str, str], name: str, allowed: tuple[str, ...]) -> str:
    value = raw[name.replace("-", "_")]
    _require(value in allowed, f"{_variable(name)} is '{value}': write one of {', '.join(allowed)}")
    return value


def _port(raw: Mapping[str, str], name: str) -> int:
    value = raw[name.replace("-", "_")]
    good = value.isascii() and value.isdigit() and 0 < int(value) < 65536
    _require(good, f"{_variable(name)} is '{value}': write a port number from 1 to 65535")
    return int(value)


def _resources(raw: Mapping[str, str], name: str) -> dict[str, Any]:
    try:
        value = json.loads(raw[name.replace("-", "_")] or "{}")
    except ValueError as e:
        raise SettingsError(f"{_variable(name)} is not JSON: {e}") from e
    good = isinstance(value, dict) and set(value) <= {"requests", "limits"}
    _require(good, f'{_variable(name)}: write it as in {{"requests": {{"memory": "128Mi"}}, "limits": {{}}}}')
    return dict(value)
