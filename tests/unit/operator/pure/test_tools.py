"""The tools of a namespace: a pod in which people see mail, and from which no mailbox can be reached."""

import json
from typing import Any

from mailfetch_fetcher.contract import mounts, tools
from mailfetch_operator.model import Config, Connection, Manifest
from mailfetch_operator.plan import TOOLS_OWNERS, plan_tools
from tests.unit.operator.pure.sim import CONFIG, SPEC, manifest
from tests.unit.operator.pure.test_children import check_golden


def made(name: str, *, minute: int = 0, deleted: bool = False, **spec: Any) -> Connection:
    obj = manifest(name, spec=SPEC | spec)
    obj["metadata"]["creationTimestamp"] = f"2026-01-01T00:{minute:02}:00Z"
    if deleted:
        obj["metadata"] |= {"deletionTimestamp": "2026-01-02T00:00:00Z", "finalizers": ["mailfetch.dev/purge"]}
    return Connection.from_object(obj)


def planned(*connections: Connection, config: Config = CONFIG) -> Manifest:
    found = plan_tools("ns", connections, config)
    assert found
    return found


def owners(*connections: Connection) -> list[str]:
    return [ref["name"] for ref in planned(*connections)["metadata"]["ownerReferences"]]


def test_golden() -> None:
    check_golden("tools", [planned(made("support"))])


def test_it_mounts_the_access_to_redis_and_nothing_else() -> None:
    pod = planned(made("support", certificates=[{"secretName": "smime"}]))["spec"]["template"]["spec"]
    redis, tmp = pod["volumes"]
    assert tmp == {"name": "tmp", "emptyDir": {}}
    (source,) = redis["projected"]["sources"]
    # Optional: a namespace without the Secret gets no pod that cannot start.
    assert (source["secret"]["name"], source["secret"]["optional"]) == (mounts.REDIS_SECRET, True)
    (container,) = pod["containers"]
    assert {m["mountPath"] for m in container["volumeMounts"]} == {str(mounts.REDIS_MOUNT), "/tmp"}
    assert [e["name"] for e in container["env"]] == [tools.NAMESPACE]
    text = json.dumps(pod)
    assert "support" not in text
    assert "smime" not in text
    assert "password" not in text


def test_it_is_the_same_for_all_connections_so_that_it_restarts_for_none() -> None:
    one, other = made("one"), made("other", folder="Archive")
    assert planned(one)["spec"] == planned(other)["spec"] == planned(one, other)["spec"]
    next_version = Config(image=CONFIG.image, cluster_id="c", version="9")
    assert planned(one)["spec"] == planned(one, config=next_version)["spec"]


def test_the_oldest_connections_own_it_whatever_their_order() -> None:
    connections = [made(f"c{n}", minute=n) for n in range(TOOLS_OWNERS + 3)]
    oldest = [f"c{n}" for n in range(TOOLS_OWNERS)]
    assert owners(*connections) == owners(*reversed(connections)) == oldest


def test_a_connection_that_cannot_be_read_counts() -> None:
    assert owners(made("strange", protocol="Carrier pigeon")) == ["strange"]


def test_the_last_connection_takes_it_along_also_while_its_data_is_purged() -> None:
    gone = made("gone", deleted=True)
    assert owners(made("stays", minute=1), gone) == ["stays"]
    assert plan_tools("ns", [gone], CONFIG) is None
    assert plan_tools("ns", [], CONFIG) is None


def test_resources_and_pull_settings() -> None:
    config = Config(
        image="i", cluster_id="c", pull_secrets=("registry",), resources={"a": 1}, tools_resources={"limits": {"b": 2}}
    )
    pod = planned(made("support"), config=config)["spec"]["template"]["spec"]
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    assert pod["containers"][0]["resources"] == {"limits": {"b": 2}}
