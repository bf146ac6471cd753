"""The Job of `test -f`: it is the operator's probe, but for what is not saved yet."""

import base64
import json
import os
import signal
from typing import Any

import pytest

from kubectl_mailfetch.errors import Exit, PluginError
from kubectl_mailfetch.trial import Image, Trial, build_job, build_secret, references, with_defaults
from kubectl_mailfetch.trial_run import read_pod, run_trial
from mailfetch_fetcher.contract import assignment, probe, secrets
from mailfetch_fetcher.contract.spec import parse_spec
from mailfetch_operator import model, names
from mailfetch_operator.desired.probe import build_probe_job
from tests.unit.operator.pure.sim import CONFIG, SPEC, manifest

OAUTH2 = {
    "protocol": "IMAP",
    "auth": {
        "type": "MicrosoftOAuth2",
        "username": "u@contoso.com",
        "oauth2": {"clientSecretRef": {"name": "app"}, "tokenSecretRef": {"name": "token", "key": "refresh-token"}},
    },
    "tls": {"caSecretRef": {"name": "authority", "key": "root.pem"}},
}
PASSWORD = ("support-mailbox", "password")


def trial(spec: dict[str, Any] = SPEC, *, name: str = "support", **values: Any) -> Trial:
    connection = manifest(name, spec=spec)
    return Trial(connection=connection, values=values.get("values", {}), suffix="abcdef", seconds=180)


def image() -> Image:
    return Image(
        name=CONFIG.image,
        pull_policy=CONFIG.pull_policy,
        pull_secrets=tuple(CONFIG.pull_secrets),
        resources=CONFIG.resources,
    )


def operators_probe(spec: dict[str, Any]) -> dict[str, Any]:
    saved = model.Connection.from_object(manifest("support", spec=spec))
    assert saved.spec
    wanted = assignment.Assignment(namespace=saved.namespace, name=saved.name, spec=saved.spec, identity="")
    requests: dict[names.Request, str] = {}
    pod: dict[str, Any] = build_probe_job(saved, wanted, requests, 0, CONFIG)["spec"]["template"]["spec"]
    return pod


@pytest.mark.parametrize("spec", [SPEC, OAUTH2], ids=["password", "oauth2"])
def test_the_pod_is_the_operators(spec: dict[str, Any]) -> None:
    ours = build_job(trial(spec), image())["spec"]["template"]["spec"]
    theirs = operators_probe(spec)
    variable = ours["containers"][0].pop("env")[0], theirs["containers"][0].pop("env")[0]
    assert ours == theirs
    found = [assignment.decode(v["value"].replace(r"\u0024", "$")).connections[0] for v in variable]
    assert found[0].spec == found[1].spec
    assert (found[0].namespace, found[0].name) == (found[1].namespace, found[1].name)


@pytest.mark.parametrize("spec", [SPEC, OAUTH2], ids=["password", "oauth2"])
def test_it_may_need_the_secrets_that_the_operator_mounts(spec: dict[str, Any]) -> None:
    assert set(references(spec)) == set(secrets.references(parse_spec(spec)))


def test_values_that_are_nowhere_live_as_long_as_the_job() -> None:
    found = trial(values={PASSWORD: "pä$$".encode()})
    job = build_job(found, image()) | {"metadata": {"uid": "u-1"}}
    secret = build_secret(found, job)
    assert secret["metadata"]["ownerReferences"] == [
        {"apiVersion": "batch/v1", "kind": "Job", "name": found.name, "uid": "u-1"}
    ]
    (key, value), *rest = secret["data"].items()
    assert (base64.b64decode(value).decode(), rest) == ("pä$$", [])
    sources = job["spec"]["template"]["spec"]["volumes"][0]["projected"]["sources"]
    mounted = {item["path"]: (s["secret"]["name"], item["key"]) for s in sources for item in s["secret"]["items"]}
    assert mounted == {"support-mailbox/password": (found.name, key)}
    # Not optional: its pod waits for the Secret, which is made after the Job.
    assert [s["secret"]["optional"] for s in sources] == [False]


def test_a_password_is_in_no_text() -> None:
    found = trial(values={PASSWORD: b"hunter2"})
    assert "hunter2" not in repr(found) + json.dumps(build_job(found, image()))


def test_nothing_in_a_spec_is_expanded_by_kubernetes() -> None:
    found = trial({**SPEC, "auth": {**SPEC["auth"], "username": "$(HOME)$$"}})
    value = build_job(found, image())["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"]
    assert "$" not in value
    assert assignment.decode(value).connections[0].spec.auth.username == "$(HOME)$$"


def test_the_longest_name_fits() -> None:
    found = trial(name="x" * 52)
    assert len(found.name) == 63
    assert found.name.endswith("-test-abcdef")


def test_a_manifest_is_sent_without_what_only_a_saved_one_has() -> None:
    document = manifest("support", spec=SPEC) | {"status": {"conditions": []}}
    document["metadata"] |= {"resourceVersion": "7", "managedFields": []}
    sent = with_defaults(document, "sales")
    assert set(sent["metadata"]) <= {"name", "labels", "annotations", "namespace"}
    assert sent["metadata"]["namespace"] == "sales"
    assert "status" not in sent


def pod(**state: Any) -> dict[str, Any]:
    return {"status": {"phase": "Running", "containerStatuses": [{"image": "registry/f:1", "state": state}]}}


def test_the_result_is_what_the_probe_left() -> None:
    result = probe.ProbeResult(uid="", fingerprint="f", time="2026-01-31T12:00:00Z")
    assert read_pod(pod(terminated={"exitCode": 0, "message": probe.encode(result).decode()})) == {
        "uid": "", "fingerprint": "f", "time": "2026-01-31T12:00:00Z",
    }  # fmt: skip


@pytest.mark.parametrize("state", [{"waiting": {"reason": "ContainerCreating"}}, {"running": {}}])
def test_a_pod_that_works_is_waited_for(state: dict[str, Any]) -> None:
    assert read_pod(pod(**state)) is None
    assert read_pod({"status": {"phase": "Pending"}}) is None


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (pod(waiting={"reason": "ImagePullBackOff", "message": "no such image"}), "registry/f:1.*no such image"),
        (pod(terminated={"exitCode": 137, "reason": "OOMKilled"}), "OOMKilled, exit code 137"),
        (pod(terminated={"exitCode": 0, "message": "[]"}), "without a result"),
        ({"status": {"phase": "Failed", "reason": "Evicted", "message": "low on memory"}}, "Evicted low on memory"),
    ],
)
def test_a_pod_that_will_never_tell_ends_the_test(found: dict[str, Any], words: str) -> None:
    with pytest.raises(PluginError, match=words) as caught:
        read_pod(found)
    assert caught.value.code is Exit.ERROR


class Impatient:
    """A cluster whose user sends the signal again while things are removed."""

    def __init__(self, number: signal.Signals) -> None:
        self.number = number
        self.there: list[str] = []

    def create(self, made: Any, *, plural: str) -> Any:
        self.there.append(plural)
        return made | {"metadata": made["metadata"] | {"uid": "1"}}

    def read(self, version: str, namespace: str, url: str, *, what: str, **params: str) -> Any:
        os.kill(os.getpid(), self.number)
        return {"items": []}

    def delete(self, version: str, namespace: str, url: str, *, what: str) -> None:
        os.kill(os.getpid(), self.number)
        self.there.remove(url.partition("/")[0])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_second_signal_does_not_keep_the_password_there(number: signal.Signals) -> None:
    cluster: Any = Impatient(number)
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    with pytest.raises((SystemExit, KeyboardInterrupt)):
        run_trial(
            cluster,
            manifest("support", spec=SPEC),
            image=image(),
            values={PASSWORD: b"secret"},
            pause=lambda: True,
            timeout=1,
        )
    assert cluster.there == []
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before
