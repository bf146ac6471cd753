"""Deployments, Jobs and Pods as read from the API become views. Pure: the I/O half hands in the objects."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from mailfetch_fetcher.contract import probe
from mailfetch_operator import names
from mailfetch_operator.model import FetcherKey, FetcherView, PodView, ProbeView
from mailfetch_operator.status.times import parse

Object = Mapping[str, Any]

_STARTING = frozenset({"", "ContainerCreating", "PodInitializing"})


def observe_fetcher(key: FetcherKey, deployment: Object | None, pods: Sequence[Object]) -> FetcherView:
    """The view of a fetcher from its Deployment and the pods that carry its label."""
    if deployment is None:
        return FetcherView(key=key)
    status: Object = deployment.get("status") or {}
    generation = deployment["metadata"].get("generation", 0)
    observed = status.get("observedGeneration", 0)
    views = tuple(observe_pod(p) for p in pods if not p["metadata"].get("deletionTimestamp"))
    return FetcherView(
        key=key,
        exists=True,
        ready=observed >= generation and status.get("updatedReplicas", 0) > 0 and status.get("readyReplicas", 0) > 0,
        generation=generation,
        observed_generation=observed,
        pods=views,
        message=next((v.problem for v in views if v.problem and not v.ready), "") or _refused(status),
    )


def observe_pod(pod: Object) -> PodView:
    """The view of a pod."""
    status: Object = pod.get("status") or {}
    return PodView(
        name=pod["metadata"]["name"],
        uid=pod["metadata"].get("uid", ""),
        ip=status.get("podIP", ""),
        ready=any(c.get("type") == "Ready" and c.get("status") == "True" for c in status.get("conditions") or ()),
        phase=status.get("phase", ""),
        problem=_pod_problem(status),
    )


def observe_probe(job: Object, pods: Sequence[Object]) -> ProbeView:
    """The view of a probe Job from the Job and its pods (label `batch.kubernetes.io/job-name`)."""
    meta, status = job["metadata"], job.get("status") or {}
    notes: Mapping[str, str] = meta.get("annotations") or {}
    ended = {c["type"]: c for c in status.get("conditions") or () if c.get("status") == "True"}
    state: Literal["running", "succeeded", "failed"] = (
        "succeeded" if "Complete" in ended else "failed" if "Failed" in ended else "running"
    )
    results = [r for p in sorted(pods, key=_age) for r in _results(p.get("status") or {})]
    problems = [f"{t} ({c.get('message', '')})" for t, c in ended.items() if t == "Failed"]
    problems += [text for p in pods if (text := _pod_problem(p.get("status") or {}))]
    serial = notes.get(names.SERIAL, "")
    end = ended.get("Complete") or ended.get("Failed") or {}
    return ProbeView(
        job_name=meta["name"],
        fingerprint=notes.get(names.FINGERPRINT, ""),
        requests={r: v for r in names.PROBE_REQUESTS if (v := notes.get(names.request_annotation(r), ""))},
        serial=int(serial) if serial.isdecimal() and len(serial) < 10 else 0,
        state=state,
        result=results[-1] if results else None,
        problem="; ".join(reversed(problems)),
        finished_at=parse(status.get("completionTime") or end.get("lastTransitionTime", "")),
    )


def _age(pod: Object) -> str:
    return str(pod["metadata"].get("creationTimestamp", ""))


def _results(status: Object) -> Iterator[probe.ProbeResult]:
    """Results that the containers left behind; a killed container leaves none."""
    for container in status.get("containerStatuses") or ():
        for state in ("lastState", "state"):
            message = ((container.get(state) or {}).get("terminated") or {}).get("message", "")
            try:
                yield probe.decode(message)
            except (ValueError, RecursionError):  # JSON can be nested too deeply to be read
                continue


def _pod_problem(status: Object) -> str:
    """Why a pod does not run, in the words of Kubernetes; empty if it does or only starts."""
    for container in status.get("containerStatuses") or ():
        waiting = (container.get("state") or {}).get("waiting") or {}
        ended = (container.get("lastState") or {}).get("terminated") or {}
        if waiting.get("reason", "") not in _STARTING:
            last = f", last exit: {ended['reason']}" if ended.get("reason") else ""
            return f"{waiting['reason']}{last} ({waiting.get('message', '')})"
        ended = (container.get("state") or {}).get("terminated") or {}
        if ended.get("reason", "Completed") not in ("Completed", "Error"):
            return str(ended["reason"])
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return f"{condition.get('reason', 'Unschedulable')} ({condition.get('message', '')})"
    return f"{status['reason']} ({status.get('message', '')})" if status.get("reason") else ""


def _refused(status: Object) -> str:
    """Why no pod could be made (a quota, an admission policy)."""
    for condition in status.get("conditions") or ():
        if condition.get("type") == "ReplicaFailure" and condition.get("status") == "True":
            return f"{condition.get('reason', '')} ({condition.get('message', '')})"
    return ""
