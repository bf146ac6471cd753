"""The tools of a namespace: an idle pod in which people look at the queue and the log (`kubectl mailfetch queue`).

Whoever may exec there sees mail, but reaches no mailbox: it mounts the access to Redis and nothing else.
"""

from collections.abc import Sequence

from mailfetch_fetcher.contract import tools
from mailfetch_operator import names
from mailfetch_operator.desired.pod import build_pod_spec, of_the_pod, owner_reference
from mailfetch_operator.model import Config, Connection, Manifest


def build_tools(namespace: str, owners: Sequence[Connection], config: Config) -> Manifest:
    """The StatefulSet: its pod always has the same name, so that a Role can name it."""
    app = {names.APP_LABEL: names.TOOLS}
    labels = app | names.MANAGED
    version = {"app.kubernetes.io/version": config.version} if config.version else {}
    pod = build_pod_spec(
        config=config,
        container={
            "name": "tools",
            "command": ["mailfetch-fetcher", "tools", "idle"],
            "env": [of_the_pod(tools.NAMESPACE, "metadata.namespace")],
            "resources": dict(config.tools_resources),
        },
        volumes=[],
        specs=[],
        grace=5,
    )
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {
            "name": names.TOOLS,
            "namespace": namespace,
            "labels": labels | version,
            "ownerReferences": [owner_reference(o) for o in sorted(owners, key=lambda o: o.name)],
        },
        "spec": {
            "replicas": 1,
            "revisionHistoryLimit": 1,
            # In order, a pod whose image cannot be pulled would be waited for although the image was corrected.
            "podManagementPolicy": "Parallel",
            "serviceName": names.TOOLS,  # of no Service: nobody connects to it
            "selector": {"matchLabels": app},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }
