"""The purge Job: removes what Redis holds of a connection that is being deleted."""

from mailfetch_fetcher.contract import assignment, purge
from mailfetch_fetcher.contract.assignment import Assignment, Assignments
from mailfetch_operator import names
from mailfetch_operator.desired.pod import build_pod_spec, in_environment, of_the_pod
from mailfetch_operator.model import Config, Connection, Manifest

DEADLINE_SECONDS = 3600
"""A stream of millions of entries takes minutes; what was removed by then stays removed."""
TTL_SECONDS = 600
"""As long as ended Jobs exist, the tries are counted, and their logs can be read."""


def build_purge_job(connection: Connection, serial: int, config: Config) -> Manifest:
    """The Job; its name is the same for the same object and serial, so that it is made once.

    It has no owner: `kubectl delete --cascade=foreground` would remove it before it has done anything. It needs
    no mailbox, so it gets Redis only.
    """
    assert connection.spec is not None
    wanted = Assignment(
        namespace=connection.namespace,
        name=connection.name,
        uid=connection.uid,
        generation=connection.generation,
        spec=connection.spec,
        identity=connection.identity,
    )
    text = assignment.encode(Assignments(cluster_id=config.cluster_id, connections=(wanted,)))
    labels = {names.APP_LABEL: names.PURGE_APP, names.CONNECTION_LABEL: connection.name} | names.MANAGED
    pod = build_pod_spec(
        config=config,
        container={
            "name": "purge",
            "command": ["mailfetch-fetcher", "purge"],
            "env": [{"name": purge.VARIABLE, "value": in_environment(text)}, of_the_pod("POD_UID", "metadata.uid")],
            "resources": dict(config.resources),
        },
        volumes=[],
        specs=[],
        grace=5,
    )
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": names.purge_job(connection.name, connection.uid, str(serial)),
            "namespace": connection.namespace,
            "labels": labels,
            "annotations": {names.CONNECTION_UID: connection.uid, names.SERIAL: str(serial)},
        },
        "spec": {
            "backoffLimit": 0,  # the operator tries again, with a longer pause each time, and tells why
            "activeDeadlineSeconds": DEADLINE_SECONDS,
            "ttlSecondsAfterFinished": TTL_SECONDS,
            "template": {"metadata": {"labels": labels}, "spec": pod | {"restartPolicy": "Never"}},
        },
    }
