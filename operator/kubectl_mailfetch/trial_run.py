"""Runs the test of a connection that is not saved: makes the Job, waits for its result, removes everything."""

import contextlib
import json
import secrets
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from kubectl_mailfetch.errors import Exit, PluginError
from kubectl_mailfetch.model import plain
from kubectl_mailfetch.trial import Image, Manifest, Trial, build_job, build_secret, with_defaults

TOOLS = "mailfetch-tools"
_STUCK = frozenset(
    {"ErrImageNeverPull", "ImagePullBackOff", "InvalidImageName", "CreateContainerConfigError", "CreateContainerError"}
)
_GRACE = 60
"""Seconds that the Job may live longer than the plugin waits for it."""


class Workshop(Protocol):
    """What is needed of the cluster (`kube.Cluster`)."""

    def find(self, namespace: str, name: str) -> Manifest | None:
        """One MailConnection."""
        ...

    def check(self, connection: Mapping[str, Any], *, exists: bool) -> Manifest:
        """The connection as it would be saved."""
        ...

    def read(self, version: str, namespace: str, url: str, *, what: str, **params: str) -> Manifest:
        """Any object or list."""
        ...

    def create(self, manifest: Mapping[str, Any], *, plural: str) -> Manifest:
        """Creates an object."""
        ...

    def delete(self, version: str, namespace: str, url: str, *, what: str) -> None:
        """Deletes an object, and what it owns."""
        ...


def checked(cluster: Workshop, document: Mapping[str, Any], namespace: str) -> Manifest:
    """The connection with all defaults, after the API server has checked it. Nothing is saved.

    Raises:
        PluginError: it is refused; the message names the field.
    """
    wanted = with_defaults(document, namespace)
    there = cluster.find(namespace, wanted["metadata"]["name"])
    if there:
        wanted["metadata"]["resourceVersion"] = there["metadata"]["resourceVersion"]
    return cluster.check(wanted, exists=bool(there))


def find_image(cluster: Workshop, namespace: str, option: str) -> Image:
    """The image of --image, else that of the namespace's tools pod, which is the fetchers'.

    Raises:
        PluginError: there is no tools pod.
    """
    if option:
        return Image(name=option)
    try:
        found = cluster.read("apps/v1", namespace, f"statefulsets/{TOOLS}", what=f"the StatefulSet {TOOLS}")
    except PluginError as e:
        if e.code not in (Exit.NOT_FOUND, Exit.NO_CLUSTER):
            raise
        raise PluginError(
            f"which image to run is not known: {e.message.splitlines()[0]}\nThe operator makes that StatefulSet in each"
            " namespace with a MailConnection. Name the image of the fetchers with --image; it is the value"
            " MAILFETCH_FETCHER_IMAGE of the operator's Deployment.",
            code=e.code,
        ) from e
    pod = found["spec"]["template"]["spec"]
    container = pod["containers"][0]
    return Image(
        name=container["image"],
        pull_policy=container.get("imagePullPolicy") or "IfNotPresent",
        pull_secrets=tuple(s["name"] for s in pod.get("imagePullSecrets") or ()),
        resources=container.get("resources") or {},
    )


def run_trial(
    cluster: Workshop,
    connection: Manifest,
    *,
    image: Image,
    values: Mapping[tuple[str, str], bytes],
    pause: Callable[[], bool],
    timeout: float,
) -> Manifest:
    """Tests the connection in a Job; Job, pod and Secret are gone when this returns, also after Ctrl-C.

    Returns:
        What the probe found (`contract/probe.py` of the fetcher).

    Raises:
        PluginError: there is no result.
    """
    trial = Trial(connection=connection, values=values, suffix=secrets.token_hex(3), seconds=int(timeout) + _GRACE)
    with _removed_at_the_end(cluster, trial):
        job = cluster.create(build_job(trial, image), plural="jobs")
        if values:  # after the Job, whose pod waits for it: so it can never be left without an owner
            cluster.create(build_secret(trial, job), plural="secrets")
        return _result(cluster, trial, pause)


@contextlib.contextmanager
def _removed_at_the_end(cluster: Workshop, trial: Trial) -> Iterator[None]:
    def end(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, end) for number in numbers}
    try:
        yield
    finally:
        before[signal.SIGINT] = signal.getsignal(signal.SIGINT)
        for number in before:
            signal.signal(number, signal.SIG_IGN)  # a second one would leave it there
        try:
            _remove(cluster, trial)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _remove(cluster: Workshop, trial: Trial) -> None:
    left = []
    for version, plural, kind in (("batch/v1", "jobs", "job"), ("v1", "secrets", "secret")):
        if kind == "secret" and not trial.values:
            continue
        try:
            cluster.delete(version, trial.namespace, f"{plural}/{trial.name}", what=f"the {kind} {trial.name}")
        except PluginError as e:
            if e.code is not Exit.NOT_FOUND:
                left.append((f"{kind}/{trial.name}", e))
    if left:
        names = " ".join(name for name, _ in left)
        raise PluginError(
            f"could not remove what the test made: {left[0][1].message}\nRemove it: kubectl delete -n {trial.namespace}"
            f" {names}",
            code=left[0][1].code,
        )


def _result(cluster: Workshop, trial: Trial, pause: Callable[[], bool]) -> Manifest:
    while True:
        pods = _items(cluster, trial, "pods", labelSelector=f"batch.kubernetes.io/job-name={trial.name}")
        if pods and (result := read_pod(pods[0])) is not None:
            return result
        if not pods and (why := _not_made(cluster, trial)):
            raise PluginError(f"the test cannot run in namespace {trial.namespace}: {why}")
        if not pause():
            raise PluginError(
                f"the test did not end in time: {_where_it_is(pods)}; give it more with --timeout", code=Exit.TIMEOUT
            )


def read_pod(pod: Mapping[str, Any]) -> Manifest | None:
    """What the probe left in its pod; None: it still works.

    Raises:
        PluginError: it never will.
    """
    status = pod.get("status") or {}
    for container in status.get("containerStatuses") or ():
        state = container.get("state") or {}
        waiting = state.get("waiting") or {}
        if waiting.get("reason") in _STUCK:
            image = container.get("image", "")
            text = f"{waiting['reason']}: {plain(waiting.get('message', ''))}"
            raise PluginError(f"the pod of the test does not start (image {image}): {text}")
        if ended := state.get("terminated"):
            return _decoded(ended)
    if status.get("phase") == "Failed":
        raise PluginError(
            f"the pod of the test failed: {plain(status.get('reason'))} {plain(status.get('message', ''))}"
        )
    return None


def _decoded(ended: Mapping[str, Any]) -> Manifest:
    try:
        found = json.loads(ended.get("message") or "")
        if isinstance(found, dict):
            return found
    except ValueError:
        pass
    raise PluginError(
        f"the test ended without a result: {plain(ended.get('reason'))}, exit code {ended.get('exitCode')};"
        f" {plain(ended.get('message', ''))[-500:]}"
    )


def _not_made(cluster: Workshop, trial: Trial) -> str:
    """Why the Job could make no pod (a quota, the namespace's Pod Security), if an event says so."""
    try:
        selector = f"involvedObject.kind=Job,involvedObject.name={trial.name}"
        events = _items(cluster, trial, "events", fieldSelector=selector)
    except PluginError:
        return ""
    return next((plain(e.get("message", "")) for e in events if e.get("reason") == "FailedCreate"), "")


def _items(cluster: Workshop, trial: Trial, url: str, **params: str) -> Sequence[Manifest]:
    found = cluster.read("v1", trial.namespace, url, what=f"the {url} of the test", **params)
    return found.get("items") or ()


def _where_it_is(pods: Sequence[Manifest]) -> str:
    if not pods:
        return "its Job has no pod yet"
    status = pods[0].get("status") or {}
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return f"no node takes its pod: {plain(condition.get('message', ''))}"
    return f"its pod is {plain(status.get('phase', 'Pending'))}"
