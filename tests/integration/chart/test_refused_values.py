"""Values that make no sense are refused, with a message that tells what to change."""

from typing import Any

import pytest

from tests.integration.chart.rendering import CHART, IMAGE, helm

pytestmark = pytest.mark.cluster


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"image": {"repository": ""}}, "build the image from the repository's Dockerfile"),
        ({"image": {"repository": "x", "pullPolicy": "Sometimes"}}, "/image/pullPolicy"),
        ({"image": {"repository": "a'b"}}, "/image/repository"),
        ({"redis": {"image": {"repository": 'a"b'}}}, "/redis/image/repository"),
        ({"redis": {"image": {"tag": '1"\nsecurityContext: {}\nx: "'}}}, "/redis/image/tag"),
        ({"imagePullSecrets": ["registry"]}, "/imagePullSecrets/0"),
        ({"replicas": 2}, "additional properties 'replicas' not allowed"),
        ({"operator": {"loglevel": "INFO"}}, "additional properties 'loglevel' not allowed"),
        ({"operator": {"logLevel": "info"}}, "/operator/logLevel"),
        ({"operator": {"resources": {"request": {}}}}, "additional properties 'request' not allowed"),
        ({"namespaces": ["Helpdesk"]}, "/namespaces/0"),
        ({"namespaces": "helpdesk"}, "got string, want array"),
        ({"namespaces": ["a", "a"]}, "items at 0 and 1 are equal"),
        ({"watch": {"namespaces": ["a"]}}, "watch.namespaces needs clusterId"),
        ({"clusterId": "my cluster"}, "/clusterId"),
        ({"redis": {"url": "redis://r"}}, "set redis.bundled to false"),
        ({"redis": {"bundled": False, "url": "redis.example.com:6379"}}, "/redis/url"),
        ({"redis": {"bundled": False, "url": "redis+magic://redis.example.com:6379"}}, "/redis/url"),
        ({"redis": {"caCert": "PEM"}}, "redis.caCert is for redis.url, which is empty"),
        ({"redis": {"password": "p@ss"}}, "/redis/password"),
        ({"redis": {"maxmemory": "512Mi"}}, "/redis/maxmemory"),
        ({"redis": {"storage": {"size": "8"}}}, "/redis/storage/size"),
        ({"redis": {"user": 0}}, "/redis/user"),
        ({"crds": {"keep": "yes"}}, "/crds/keep"),
    ],
)
def test_refused(values: dict[str, Any], message: str) -> None:
    complaint = helm("template", "mailfetch", CHART, values={**IMAGE, **values}, check=False)
    assert complaint.startswith("Error:") or "\nError:" in complaint
    assert message in complaint
