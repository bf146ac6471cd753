"""The kinds that the operator reads and writes."""

from dataclasses import dataclass

MANAGED_BY = "mailfetch-operator"
CHILD_SELECTOR = f"app.kubernetes.io/managed-by={MANAGED_BY}"


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A namespaced kind of the API.

    Attributes:
        group: API group; empty for the core group.
        version: API version.
        plural: Name in paths.
        kind: Name in manifests.
        selector: Only objects with these labels are ours to see; empty means all.
    """

    group: str
    version: str
    plural: str
    kind: str
    selector: str = ""

    @property
    def api_version(self) -> str:
        """`apiVersion` in manifests."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, *, namespace: str | None = None, name: str = "", subresource: str = "") -> str:
        """Path below the server's address; without a namespace that of all namespaces."""
        parts = ["/apis" if self.group else "/api", self.api_version]
        if namespace:
            parts += ["namespaces", namespace]
        parts += [part for part in (self.plural, name, subresource) if part]
        return "/".join(parts)


CONNECTION = Kind(group="mailfetch.dev", version="v1alpha1", plural="mailconnections", kind="MailConnection")
DEPLOYMENT = Kind(group="apps", version="v1", plural="deployments", kind="Deployment", selector=CHILD_SELECTOR)
STATEFUL_SET = Kind(group="apps", version="v1", plural="statefulsets", kind="StatefulSet", selector=CHILD_SELECTOR)
JOB = Kind(group="batch", version="v1", plural="jobs", kind="Job", selector=CHILD_SELECTOR)
POD = Kind(group="", version="v1", plural="pods", kind="Pod", selector=CHILD_SELECTOR)
CONFIG_MAP = Kind(group="", version="v1", plural="configmaps", kind="ConfigMap", selector=CHILD_SELECTOR)
EVENT = Kind(group="events.k8s.io", version="v1", plural="events", kind="Event")

WATCHED = (CONNECTION, DEPLOYMENT, STATEFUL_SET, JOB, POD, CONFIG_MAP)
"""Listed at start and watched."""


def kind_of(manifest: dict[str, object]) -> Kind:
    """The kind of a manifest of ours.

    Raises:
        KeyError: it is none of the kinds that the operator writes.
    """
    return {k.kind: k for k in WATCHED}[str(manifest["kind"])]
