"""The probe Job: tests a connection and counts its new mails."""

from collections.abc import Mapping

from mailfetch_fetcher.contract import assignment
from mailfetch_fetcher.contract.assignment import Assignment, Assignments
from mailfetch_operator import names
from mailfetch_operator.desired.pod import build_pod_spec, in_environment, owner_reference
from mailfetch_operator.model import Config, Connection, Manifest

DEADLINE_SECONDS = 300
TTL_SECONDS = 600
"""As long as the Job exists, its count is fresh enough to open the gate."""


def build_probe_job(
    connection: Connection, wanted: Assignment, requests: Mapping[names.Request, str], serial: int, config: Config
) -> Manifest:
    """The Job; its name is the same for the same assignment, requests and serial, so that it is made once."""
    fingerprint = assignment.fingerprint(wanted)
    labels = {names.APP_LABEL: names.PROBE_APP, names.CONNECTION_LABEL: connection.name} | names.MANAGED
    text = assignment.encode(Assignments(cluster_id=config.cluster_id, connections=(wanted,)))
    pod = build_pod_spec(
        config=config,
        container={
            "name": "probe",
            "command": ["mailfetch-fetcher", "probe"],
            "env": [{"name": "MAILFETCH_PROBE", "value": in_environment(text)}],
            "resources": dict(config.resources),
        },
        volumes=[],
        specs=[wanted.spec],
        grace=5,
    )
    notes = {names.FINGERPRINT: fingerprint, names.SERIAL: str(serial)}
    notes |= {names.request_annotation(name): value for name, value in requests.items()}
    parts = (fingerprint, str(serial), *(f"{k}={v}" for k, v in sorted(requests.items())))
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": names.probe_job(connection.name, *parts),
            "namespace": connection.namespace,
            "labels": labels,
            "annotations": notes,
            "ownerReferences": [owner_reference(connection, controller=True)],
        },
        "spec": {
            "backoffLimit": 2,
            "activeDeadlineSeconds": DEADLINE_SECONDS,
            "ttlSecondsAfterFinished": TTL_SECONDS,
            "template": {"metadata": {"labels": labels}, "spec": pod | {"restartPolicy": "Never"}},
        },
    }
