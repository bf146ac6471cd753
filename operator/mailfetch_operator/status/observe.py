"""Deployments, Jobs and Pods as read from the API become views. Pure: the I/O half hands in the objects."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, TypeVar

from mailfetch_fetcher.contract import probe, purge
from mailfetch_operator import names
from mailfetch_operator.model import FetcherKey, FetcherView, PodView, ProbeView, PurgeView
from mailfetch_operator.status.times import parse

Object = Mapping[str, Any]
Result = TypeVar("Result")

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
    notes: Mapping[str, str] = job["metadata"].get("annotations") or {}
    results = list(_results(pods, probe.decode))
    return ProbeView(
        job_name=job["metadata"]["name"],
        fingerprint=notes.get(names.FINGERPRINT, ""),
        requests={r: v for r in names.PROBE_REQUESTS if (v := notes.get(names.request_annotation(r), ""))},
        serial=_serial(notes),
        state=_job_state(job),
        result=results[-1] if results else None,
        problem=_job_problem(job, pods),
        finished_at=_job_end(job),
    )


def observe_purge(job: Object, pods: Sequence[Object]) -> PurgeView:
    """The view of a purge Job; what its container says about a failure comes before the words of Kubernetes."""
    told = [r.problem for r in _results(pods, purge.decode) if r.problem]
    problem = f"{told[-1].reason}: {told[-1].message}" if told else _job_problem(job, pods)
    return PurgeView(
        job_name=job["metadata"]["name"],
        serial=_serial(job["metadata"].get("annotations") or {}),
        state=_job_state(job),
        problem=problem,
        finished_at=_job_end(job),
    )


def _ended(job: Object) -> Mapping[str, Object]:
    """The conditions of a Job that say that it ended, by type."""
    found: Sequence[Object] = (job.get("status") or {}).get("conditions") or ()
    return {c["type"]: c for c in found if c["type"] in ("Complete", "Failed") and c.get("status") == "True"}


def _job_state(job: Object) -> Literal["running", "succeeded", "failed"]:
    ended = _ended(job)
    return "succeeded" if "Complete" in ended else "failed" if ended else "running"


def _job_end(job: Object) -> datetime | None:
    end = next(iter(_ended(job).values()), {})
    return parse((job.get("status") or {}).get("completionTime") or end.get("lastTransitionTime", ""))


def _job_problem(job: Object, pods: Sequence[Object]) -> str:
    problems = [text for p in reversed(pods) if (text := _pod_problem(p.get("status") or {}))]
    return "; ".join([*problems, *(f"{t} ({c.get('message', '')})" for t, c in _ended(job).items() if t == "Failed")])


def _serial(notes: Mapping[str, str]) -> int:
    text = notes.get(names.SERIAL, "")
    return int(text) if text.isdecimal() and len(text) < 10 else 0


def _age(pod: Object) -> str:
    return str(pod["metadata"].get("creationTimestamp", ""))


def _results(pods: Sequence[Object], decode: Callable[[str], Result]) -> Iterator[Result]:
    """Results that the containers left behind, the newest pod's last; a killed container leaves none."""
    statuses = [pod.get("status") or {} for pod in sorted(pods, key=_age)]
    for container in (c for status in statuses for c in status.get("containerStatuses") or ()):
        for state in ("lastState", "state"):
            message = ((container.get(state) or {}).get("terminated") or {}).get("message", "")
            try:
                yield decode(message)
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
