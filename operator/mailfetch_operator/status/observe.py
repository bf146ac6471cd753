"""Deployments, Jobs and Pods as read from the API become views. Pure: the I/O half hands in the objects."""

from collections.abc import Mapping, Sequence
from typing import Any

from mailfetch_operator.model import FetcherKey, FetcherView, ProbeView


def observe_fetcher(
    key: FetcherKey, deployment: Mapping[str, Any] | None, pods: Sequence[Mapping[str, Any]]
) -> FetcherView:
    """The view of a fetcher from its Deployment and the pods that carry its label."""
    raise NotImplementedError


def observe_probe(job: Mapping[str, Any], pods: Sequence[Mapping[str, Any]]) -> ProbeView:
    """The view of a probe Job from the Job and its pods (label `batch.kubernetes.io/job-name`)."""
    raise NotImplementedError
