"""Leads names of the outside world to servers of this machine, for the pods of one namespace.

A Service whose endpoint is this machine gives a server the port that its real one has, and an admission policy enters
the name into the `hostAliases` of every new pod: a cluster can do that since 1.36, and Mailfetch knows nothing of it.
"""

import contextlib
import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

from tests.e2e.world import DEADLINE, World

Object = dict[str, Any]
_POLICY = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingAdmissionPolicy"}


@contextlib.contextmanager
def named(world: World, servers: Mapping[tuple[str, int], int]) -> Iterator[None]:
    """Pods that are made from now on reach the servers.

    Args:
        world: Whose pods.
        servers: (host, port) → port of the address at which pods reach this machine.
    """
    aliases = [
        _alias(world, host, {port: to for (name, port), to in servers.items() if name == host})
        for host in dict.fromkeys(host for host, _ in servers)
    ]
    policy = _POLICY | {"metadata": {"name": f"names-{world.namespace}"}, "spec": _spec(world.namespace, aliases)}
    binding = _POLICY | {
        "kind": "MutatingAdmissionPolicyBinding",
        "metadata": policy["metadata"],
        "spec": {"policyName": f"names-{world.namespace}"},
    }
    for made in (policy, binding):
        world.apply(made)
    try:
        _wait_until_entered(world, len(aliases))
        yield
    finally:
        world.cluster.kubectl(
            "delete", "mutatingadmissionpolicy,mutatingadmissionpolicybinding", f"names-{world.namespace}"
        )


def _alias(world: World, host: str, ports: Mapping[int, int]) -> Object:
    """Makes the Service of a name; returns the entry for pods."""
    name = host.replace(".", "-")
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "spec": {"ports": [{"name": f"port-{port}", "port": port} for port in ports]},
    }
    endpoint = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "addressType": "IPv4",
        "ports": [{"name": f"port-{port}", "port": to} for port, to in ports.items()],
        "endpoints": [{"addresses": [world.cluster.host_ip]}],
    }
    labels = {"kubernetes.io/service-name": name}
    for made in (service, endpoint):
        world.apply(made | {"metadata": {"name": name, "namespace": world.namespace, "labels": labels}})
    address = world.kubectl("get", "service", name, "-o", "jsonpath={.spec.clusterIP}")
    return {"ip": address, "hostnames": [host]}


def _spec(namespace: str, aliases: list[Object]) -> Object:
    # One by one: the API server (1.36) does not survive a list of objects as a value.
    entries = [
        f"Object.spec.hostAliases{{ip: {json.dumps(a['ip'])}, hostnames: {json.dumps(a['hostnames'])}}}"
        for a in aliases
    ]
    patches = ['JSONPatch{op: "add", path: "/spec/hostAliases", value: []}']
    patches += [f'JSONPatch{{op: "add", path: "/spec/hostAliases/-", value: {entry}}}' for entry in entries]
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    return {
        "failurePolicy": "Fail",
        "reinvocationPolicy": "Never",
        "matchConstraints": {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
            "resourceRules": [rule],
        },
        "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": f"[{', '.join(patches)}]"}}],
    }


def _wait_until_entered(world: World, count: int) -> None:
    """The API server takes a moment until it obeys a new policy."""
    security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "trial", "namespace": world.namespace},
        "spec": {
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{"name": "trial", "image": world.cluster.image, "securityContext": security}],
        },
    }
    deadline = time.monotonic() + DEADLINE
    create = ("create", "--dry-run=server", "-f", "-", "-o", "json")
    while (
        len(json.loads(world.cluster.kubectl(*create, input=json.dumps(pod)).stdout)["spec"].get("hostAliases", []))
        != count
    ):
        assert time.monotonic() < deadline, "the policy has no effect"
        time.sleep(0.2)
