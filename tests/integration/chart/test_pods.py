"""What the chart runs: the operator with its settings, Redis with its configuration, the check of `helm test`."""

import json
from typing import Any

import pytest
import redis
import yaml

from mailfetch_fetcher.store.target import parse_target
from mailfetch_operator import settings
from tests.integration.chart.rendering import CHART, VALUE_SETS, helm, render, render_values, values_of
from tests.servers.redis import Kind, RedisServer

# The tests start no API server, but their helm comes out of the same compile.
pytestmark = pytest.mark.cluster

ALLOWED_VOLUMES = {"configMap", "emptyDir", "persistentVolumeClaim", "projected", "secret"}


@pytest.mark.parametrize("name", VALUE_SETS)
def test_lint(name: str) -> None:
    assert "1 chart(s) linted, 0 chart(s) failed" in helm("lint", "--strict", CHART, values=values_of(name))


@pytest.mark.parametrize("name", VALUE_SETS)
def test_all_pods_are_restricted(name: str) -> None:
    pods = list(render(name).pods())
    assert len(pods) >= 2
    for kind, _, spec in pods:
        security = spec["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & spec.keys()
        assert {key for volume in spec["volumes"] for key in volume} - {"name"} <= ALLOWED_VOLUMES
        (container,) = spec["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"name": "tmp", "mountPath": "/tmp"} in container["volumeMounts"]
        assert container["resources"]["limits"]["memory"]
        # Only the operator talks to Kubernetes.
        assert spec["automountServiceAccountToken"] is (kind == "Deployment")
        # Kubernetes would set MAILFETCH_…_PORT for a Service called mailfetch-….
        assert spec["enableServiceLinks"] is False


def _settings(name: str) -> settings.Settings:
    (container,) = render(name).one("Deployment")["spec"]["template"]["spec"]["containers"]
    environ = {entry["name"]: entry["value"] for entry in container["env"]}
    known = {"MAILFETCH_" + option.replace("-", "_").upper() for option, _, _ in settings.OPTIONS}
    assert set(environ) <= known
    return settings.read(environ=environ, argv=container["command"][1:])


def test_the_operator_reads_its_settings_from_the_chart() -> None:
    assert _settings("defaults") == settings.Settings(
        fetcher_image="registry.example.com/mailfetch:0.1.0",
        fetcher_resources={"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
        tools_resources={"requests": {"cpu": "5m", "memory": "48Mi"}, "limits": {"memory": "512Mi"}},
    )
    assert _settings("everything") == settings.Settings(
        fetcher_image="registry.example.com/mailfetch:1.2.3",
        fetcher_image_pull_policy="Always",
        fetcher_pull_secrets=("registry", "mirror"),
        fetcher_resources={"requests": {"cpu": 1, "memory": "1Gi"}, "limits": {"memory": "512Mi"}},
        tools_resources={"requests": {"cpu": "5m", "memory": "48Mi"}, "limits": {"memory": "1Gi"}},
        cluster_id="test-1",
        log_level="DEBUG",
    )
    namespaced = _settings("namespaced")
    assert (namespaced.namespaces, namespaced.cluster_id) == (("helpdesk", "billing"), "test-1")


def test_the_operator_is_one_and_is_probed_where_it_listens() -> None:
    spec = render("defaults").one("Deployment")["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    (container,) = spec["template"]["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"http": settings.Settings().http_port, "health": settings.Settings().liveness_port}
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"] == {"path": "/healthz", "port": "health"}


def test_what_cannot_be_changed_on_an_upgrade_stays_as_it_is() -> None:
    rendered = render("defaults")
    labels = {"app.kubernetes.io/name": "mailfetch", "app.kubernetes.io/instance": "mailfetch"}
    deployment, stateful = rendered.one("Deployment"), rendered.one("StatefulSet")
    assert deployment["metadata"]["name"] == "mailfetch-operator"
    assert deployment["spec"]["selector"] == {"matchLabels": {**labels, "app.kubernetes.io/component": "operator"}}
    redis_labels = {**labels, "app.kubernetes.io/component": "redis"}
    assert stateful["spec"]["selector"] == {"matchLabels": redis_labels}
    assert stateful["spec"]["serviceName"] == "mailfetch-redis-headless"
    (claim,) = stateful["spec"]["volumeClaimTemplates"]
    # No label with a version: claims may not change.
    assert claim["metadata"] == {"name": "data", "labels": redis_labels}
    # Nor in the pod, or each version of the chart would restart Redis.
    assert stateful["spec"]["template"]["metadata"]["labels"] == redis_labels


def test_values_reach_the_pods() -> None:
    for kind, metadata, spec in render("everything").pods():
        assert spec["imagePullSecrets"] == [{"name": "registry"}, {"name": "mirror"}]
        if kind == "Deployment":
            assert (metadata["annotations"]["a"], metadata["labels"]["b"]) == ("1", "2")
            assert spec["tolerations"] == [{"key": "mail", "operator": "Exists"}]
            assert spec["affinity"] == {"nodeAffinity": {}}
        if kind == "StatefulSet":
            assert (metadata["annotations"]["d"], metadata["labels"]["e"]) == ("4", "5")
        if kind != "Pod":
            assert (spec["nodeSelector"], spec["priorityClassName"]) == ({"disk": "fast"}, "high")


def test_the_volume_of_redis_survives() -> None:
    spec = render("everything").one("StatefulSet")["spec"]
    assert spec["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}
    (claim,) = spec["volumeClaimTemplates"]
    assert claim["spec"]["storageClassName"] == "fast"
    assert claim["spec"]["resources"]["requests"]["storage"] == "20Gi"
    assert "storageClassName" not in render("defaults").one("StatefulSet")["spec"]["volumeClaimTemplates"][0]["spec"]


def test_redis_restarts_for_a_changed_configuration_and_for_nothing_else() -> None:
    def digest(**values: Any) -> str:
        found = render_values({"image": {"repository": "x"}, **values}).one("StatefulSet")
        return str(found["spec"]["template"]["metadata"]["annotations"]["checksum/config"])

    before = digest()
    assert digest(redis={"password": "other"}, operator={"logLevel": "DEBUG"}) == before
    assert digest(redis={"maxmemory": "1gb"}) != before


@pytest.mark.parametrize("kind", ["redis", "valkey"])
def test_redis_runs_with_the_configuration(kind: Kind, tmp_path: Any) -> None:
    rendered = render("everything")
    text = rendered.one("ConfigMap")["data"]["redis.conf"]
    lines = (line.split(maxsplit=1) for line in text.splitlines() if not line.startswith("#"))
    config = {name: value.strip('"') for name, value in lines}
    secret = rendered.secret("mailfetch-redis-auth", "mail")
    acl = tmp_path / "users.acl"
    acl.write_text(secret["users.acl"])
    assert (config.pop("port"), config.pop("dir"), config.pop("aclfile")) == (
        "6379",
        "/data",
        "/etc/redis/auth/users.acl",
    )
    server = RedisServer(kind=kind, password=secret["password"], config={**config, "aclfile": str(acl)})
    with server, server.client() as client:
        wanted = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction", "save": ""}
        wanted["maxmemory"] = str(768 << 20)
        found = client.config_get(*wanted)
        assert found == wanted
        assert client.set("mail:{a/b}:queue", "x")
        with server.client(password=None) as stranger, pytest.raises(redis.AuthenticationError):
            stranger.ping()
        with server.client(username="health", password="none") as health:
            assert health.ping()
            for forbidden in (["GET", "mail:{a/b}:queue"], ["CONFIG", "GET", "*"], ["ACL", "LIST"]):
                with pytest.raises(redis.exceptions.NoPermissionError):
                    health.execute_command(*forbidden)


def test_the_probes_of_redis_ask_as_the_user_that_may_only_ping() -> None:
    (container,) = render("everything").one("StatefulSet")["spec"]["template"]["spec"]["containers"]
    assert container["command"] == ["redis-server", "/etc/redis/config/redis.conf"]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        command = container[probe]["exec"]["command"]
        assert command == ["redis-cli", "-e", "--no-auth-warning", "--user", "health", "--pass", "none", "ping"]


def test_the_url_of_the_bundled_redis() -> None:
    for namespace in ("helpdesk", "billing"):
        target = parse_target(render("everything").secret("mailfetch-redis", namespace)["url"], ca_file=None)
        assert (target.host, target.port) == ("mailfetch-redis.mail.svc", 6379)
        assert (target.username, target.password, target.tls) == ("default", "s3cret", False)
    service = render("everything").one("Service", "mailfetch-redis")
    assert service["metadata"]["namespace"] == "mail"


def test_the_url_of_an_external_redis() -> None:
    rendered = render("external")
    assert rendered.secret("mailfetch-redis", "mail") == {
        "url": "rediss://u:p@redis.example.com:6380/1",
        "ca.crt": "PEM\n",
    }
    assert rendered.all("StatefulSet") == []


def test_secrets_of_ones_own() -> None:
    assert render("own-secrets").all("Secret") == []


def test_the_namespaces_of_the_secret_are_by_default_those_that_are_served() -> None:
    def found(name: str) -> list[str]:
        secrets = render(name).all("Secret")
        return [s["metadata"]["namespace"] for s in secrets if s["metadata"]["name"] == "mailfetch-redis"]

    assert found("defaults") == ["mail"]
    assert sorted(found("namespaced")) == ["billing", "helpdesk"]
    assert sorted(found("everything")) == ["billing", "helpdesk"]


@pytest.mark.parametrize("name", VALUE_SETS)
def test_secrets_stand_in_secrets_only_and_are_kept(name: str) -> None:
    rendered = render(name)
    passwords = {"s3cret", "u:p@"} | {
        rendered.secret("mailfetch-redis-auth", "mail")["password"]
        for s in rendered.all("Secret")
        if s["metadata"]["name"] == "mailfetch-redis-auth"
    }
    for manifest in rendered.manifests:
        if manifest["kind"] == "Secret":
            assert manifest["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
        else:
            text = json.dumps(manifest)
            assert [p for p in passwords if p in text] == []


def test_a_new_password_is_long_and_new() -> None:
    found = {render_values(values_of("defaults")).secret("mailfetch-redis-auth", "mail")["password"] for _ in range(2)}
    assert len(found) == 2
    assert {len(p) for p in found} == {32}


def test_helm_test_runs_in_each_namespace_with_the_secret() -> None:
    pods = render("everything").all("Pod")
    assert sorted(p["metadata"]["namespace"] for p in pods) == ["billing", "helpdesk"]
    for pod in pods:
        assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
        (container,) = pod["spec"]["containers"]
        script, health, mount = container["args"]
        assert script.strip() == (CHART / "files/check.py").read_text().strip()
        assert health == "http://mailfetch-operator.mail.svc:8081/healthz"
        assert {"name": "redis", "mountPath": mount, "readOnly": True} in container["volumeMounts"]


@pytest.mark.parametrize("name", VALUE_SETS)
def test_the_crd_is_the_one_source(name: str) -> None:
    crds = render(name).all("CustomResourceDefinition")
    values = VALUE_SETS[name].get("crds", {})
    if not values.get("enabled", True):
        assert crds == []
        return
    (crd,) = crds
    source = yaml.safe_load((CHART.parents[1] / "crds/mailconnections.mailfetch.dev.yaml").read_text())
    assert crd["spec"] == source["spec"]
    keep = {"helm.sh/resource-policy": "keep"} if values.get("keep", True) else None
    assert crd["metadata"].get("annotations") == keep
