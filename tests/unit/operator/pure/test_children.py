"""The manifests of children: ConfigMap, Deployment, probe Job."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from mailfetch_fetcher.contract import assignment as contract
from mailfetch_fetcher.contract.assignment import Assignment
from mailfetch_operator import names
from mailfetch_operator.desired.probe import build_probe_job
from mailfetch_operator.desired.purge import build_purge_job
from mailfetch_operator.desired.tools import build_tools
from mailfetch_operator.model import Config, Connection, FetcherKey, Manifest
from mailfetch_operator.plan import plan_fetcher
from tests.unit.operator.pure.sim import CONFIG, KEY, SPEC, manifest

GOLDEN = Path(__file__).parent / "golden"


def member(name: str = "support", **spec: Any) -> tuple[Connection, Assignment]:
    c = Connection.from_object(manifest(name, spec=SPEC | spec))
    assert c.spec
    found = Assignment(
        namespace=c.namespace, name=c.name, uid=c.uid, generation=1, spec=c.spec, identity=c.identity, gate_epoch=1
    )
    return c, found


def fetcher(*members: tuple[Connection, Assignment], config: Config = CONFIG, key: FetcherKey = KEY) -> list[Manifest]:
    plan = plan_fetcher(key, [a for _, a in members], [c for c, _ in members], config)
    assert not plan.delete
    return list(plan.apply)


def job(connection: Connection, wanted: Assignment, requests: dict[names.Request, str], serial: int = 0) -> Manifest:
    return build_probe_job(connection, wanted, requests, serial, CONFIG)


def pod_specs() -> dict[str, Manifest]:
    c, a = member()
    deployment = fetcher((c, a))[1]
    return {
        "fetcher": deployment["spec"]["template"]["spec"],
        "probe": job(c, a, {})["spec"]["template"]["spec"],
        "purge": build_purge_job(c, 0, CONFIG)["spec"]["template"]["spec"],
        "tools": build_tools(c.namespace, [c], CONFIG)["spec"]["template"]["spec"],
    }


def violations(pod: Manifest) -> list[str]:
    """What Pod Security `restricted` (and we) would refuse."""
    found = []
    security = pod.get("securityContext", {})
    if security.get("runAsNonRoot") is not True:
        found.append("runAsNonRoot")
    if security.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        found.append("seccompProfile")
    found += [k for k in ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace") if pod.get(k)]
    for container in pod["containers"] + pod.get("initContainers", []):
        own = container.get("securityContext", {})
        if own.get("allowPrivilegeEscalation") is not False or own.get("privileged"):
            found.append("privilege escalation")
        if own.get("capabilities") != {"drop": ["ALL"]}:
            found.append("capabilities")
        if own.get("readOnlyRootFilesystem") is not True:
            found.append("read-only root")
        found += [f"host port {p}" for p in container.get("ports", []) if "hostPort" in p]
    allowed = {"configMap", "emptyDir", "projected", "secret", "downwardAPI"}
    found += [f"volume {v['name']}" for v in pod["volumes"] if not set(v) - {"name"} <= allowed]
    if pod.get("automountServiceAccountToken") is not False:
        found.append("API token")
    if pod.get("enableServiceLinks") is not False:
        found.append("service links")
    return found


@pytest.mark.parametrize("kind", ["fetcher", "probe", "purge", "tools"])
def test_pods_are_restricted_and_have_no_api_token(kind: str) -> None:
    assert violations(pod_specs()[kind]) == []


def test_the_checker_of_restriction_finds_something() -> None:
    pod = pod_specs()["fetcher"]
    pod |= {"automountServiceAccountToken": True, "hostNetwork": True, "securityContext": {}}
    pod["containers"][0]["securityContext"] = {}
    pod["volumes"].append({"name": "host", "hostPath": {"path": "/"}})
    assert len(violations(pod)) == 8


@pytest.mark.parametrize("kind", ["fetcher", "probe", "purge", "tools"])
def test_every_mount_has_its_volume_and_no_secret_stands_in_the_environment(kind: str) -> None:
    pod = pod_specs()[kind]
    (container,) = pod["containers"]
    assert {m["name"] for m in container["volumeMounts"]} == {v["name"] for v in pod["volumes"]}
    assert all("subPath" not in m for m in container["volumeMounts"])
    assert "secretKeyRef" not in json.dumps(container.get("env", []))
    assert "envFrom" not in container


def test_golden_fetcher() -> None:
    c, a = member()
    check_golden("fetcher", fetcher((c, a)))


def test_golden_probe() -> None:
    c, a = member()
    check_golden("probe", [job(c, a, {"test": "r1"})])


def test_golden_purge() -> None:
    check_golden("purge", [build_purge_job(member(deletionPolicy="Purge")[0], 0, CONFIG)])


class Plain(yaml.SafeDumper):
    """Writes every value out."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def check_golden(name: str, found: list[Manifest]) -> None:
    """Compares with golden/<name>.yaml; delete that file to have it written anew, then review the difference."""
    path = GOLDEN / f"{name}.yaml"
    text = yaml.dump_all(found, Dumper=Plain, sort_keys=False, width=120)
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        pytest.fail(f"{path} was written; review and commit it")
    assert list(yaml.safe_load_all(path.read_text())) == list(yaml.safe_load_all(text))


def test_assignments_read_back_and_are_in_the_order_of_their_names() -> None:
    members = [member(n) for n in ("zeta", "alpha", "mid")]
    config_map = fetcher(*members)[0]
    read = contract.decode(config_map["data"]["assignments.json"])
    assert read.cluster_id == "cluster-1"
    assert [a.name for a in read.connections] == ["alpha", "mid", "zeta"]
    assert fetcher(*reversed(members)) == fetcher(*members)


def test_secrets_appear_once_with_all_their_keys() -> None:
    shared = {"caSecretRef": {"name": "support-mailbox", "key": "ca.crt"}}
    other = SPEC["auth"] | {"passwordSecretRef": {"name": "billing-mailbox"}}
    deployment = fetcher(member("support", tls=shared), member("billing", auth=other), member("third"))[1]
    volume = next(v for v in deployment["spec"]["template"]["spec"]["volumes"] if v["name"] == "secrets")
    assert volume["projected"]["sources"] == [
        {
            "secret": {
                "name": "billing-mailbox",
                "optional": True,
                "items": [{"key": "password", "path": "billing-mailbox/password"}],
            }
        },
        {
            "secret": {
                "name": "support-mailbox",
                "optional": True,
                "items": [
                    {"key": "ca.crt", "path": "support-mailbox/ca.crt"},
                    {"key": "password", "path": "support-mailbox/password"},
                ],
            }
        },
    ]


def template(*members: tuple[Connection, Assignment], config: Config = CONFIG) -> Manifest:
    found: Manifest = fetcher(*members, config=config)[1]["spec"]["template"]
    return found


def test_a_connection_that_needs_no_new_secret_joins_without_a_restart() -> None:
    first = member("support")
    second = member("support2", folder="Archive", schedule={"interval": "5m"})
    assert template(first) == template(first, second)


def test_a_new_secret_image_or_resource_rolls_the_fetcher() -> None:
    first = member("support")
    other = member("billing", auth=SPEC["auth"] | {"passwordSecretRef": {"name": "billing-mailbox"}})
    assert template(first) != template(first, other)
    assert template(first) != template(first, config=Config(image="mailfetch:next", cluster_id="cluster-1"))
    resources = {"limits": {"memory": "1Gi"}}
    assert template(first) != template(
        first, config=Config(image=CONFIG.image, cluster_id="cluster-1", resources=resources)
    )


def test_a_new_version_alone_does_not_roll_the_fetcher() -> None:
    first = member("support")
    assert template(first) == template(first, config=Config(image=CONFIG.image, cluster_id="cluster-1", version="9"))


def test_a_dedicated_fetcher_may_bring_its_resources() -> None:
    own = {"mode": "Dedicated", "resources": {"requests": {"cpu": 1, "memory": "1Gi"}}}
    config = Config(image=CONFIG.image, cluster_id="c", resources={"requests": {"cpu": "10m"}})
    (container,) = template(member("support", placement=own), config=config)["spec"]["containers"]
    assert container["resources"] == {"requests": {"cpu": 1, "memory": "1Gi"}}
    (container,) = template(member("support"), config=config)["spec"]["containers"]
    assert container["resources"] == {"requests": {"cpu": "10m"}}


def test_pull_settings() -> None:
    config = Config(image="i", cluster_id="c", pull_policy="Never", pull_secrets=("one", "two"))
    pod = template(member(), config=config)["spec"]
    assert pod["imagePullSecrets"] == [{"name": "one"}, {"name": "two"}]
    assert pod["containers"][0]["imagePullPolicy"] == "Never"


def test_children_belong_to_all_that_they_serve() -> None:
    config_map, deployment = fetcher(member("support"), member("billing"))
    for child in (config_map, deployment):
        owners = child["metadata"]["ownerReferences"]
        assert [o["name"] for o in owners] == ["billing", "support"]
        assert not any(o.get("controller") for o in owners)
    assert config_map["metadata"]["name"] == deployment["metadata"]["name"] == KEY.name


def test_a_fetcher_without_work_is_deleted() -> None:
    plan = plan_fetcher(KEY, [], [], CONFIG)
    assert (plan.apply, plan.delete) == ((), True)


def test_the_selector_finds_the_pods_of_this_fetcher_and_no_probe() -> None:
    c, a = member()
    deployment = fetcher((c, a))[1]
    selector = deployment["spec"]["selector"]["matchLabels"].items()
    assert selector <= deployment["spec"]["template"]["metadata"]["labels"].items()
    assert not selector <= job(c, a, {})["spec"]["template"]["metadata"]["labels"].items()


def test_a_probe_gets_its_connection_in_the_environment() -> None:
    c, a = member()
    found = job(c, a, {"test": "r1", "estimate": "e1"}, serial=3)
    (container,) = found["spec"]["template"]["spec"]["containers"]
    (variable,) = container["env"]
    assert variable["name"] == "MAILFETCH_PROBE"
    assert contract.decode(variable["value"]).connections == (a,)
    assert found["metadata"]["annotations"] == {
        "mailfetch.dev/fingerprint": contract.fingerprint(a),
        "mailfetch.dev/serial": "3",
        "mailfetch.dev/request-test": "r1",
        "mailfetch.dev/request-estimate": "e1",
    }
    (owner,) = found["metadata"]["ownerReferences"]
    assert (owner["name"], owner["controller"]) == ("support", True)


def test_kubernetes_has_nothing_to_expand_in_the_environment_of_a_probe() -> None:
    c, a = member(folder="$(POD_NAME) $$ $")
    (variable,) = job(c, a, {})["spec"]["template"]["spec"]["containers"][0]["env"]
    assert "$" not in variable["value"]
    assert contract.decode(variable["value"]).connections[0].folder == "$(POD_NAME) $$ $"


def test_names_of_probes_are_the_same_for_the_same_and_fit_the_longest_connection() -> None:
    c, a = member("a" * 52)
    name = job(c, a, {})["metadata"]["name"]
    assert name == job(c, a, {})["metadata"]["name"]
    assert len(name) == 63
    assert re.fullmatch(r"a{52}-probe-[a-z0-9]{4}", name)
    others = {job(c, a, {}, serial=n)["metadata"]["name"] for n in range(1, 20)}
    assert len(others | {name, job(c, a, {"test": "r1"})["metadata"]["name"]}) == 21
