"""Settings: environment and flags, and messages that say what to write."""

import pytest

from mailfetch_operator.settings import Settings, SettingsError, read

IMAGE = {"MAILFETCH_FETCHER_IMAGE": "example/mailfetch:1"}


def test_cluster_mode_needs_only_an_image() -> None:
    assert read(environ=IMAGE, argv=[]) == Settings(fetcher_image="example/mailfetch:1")
    assert read(environ=IMAGE, argv=[]).watched == (None,)


def test_everything_can_be_set_by_the_environment() -> None:
    environ = {
        "MAILFETCH_NAMESPACES": "one, two,one,",
        "MAILFETCH_FETCHER_IMAGE": "image",
        "MAILFETCH_FETCHER_IMAGE_PULL_POLICY": "Never",
        "MAILFETCH_FETCHER_PULL_SECRETS": "a,b",
        "MAILFETCH_FETCHER_RESOURCES": '{"limits": {"memory": "1Gi"}}',
        "MAILFETCH_TOOLS_RESOURCES": '{"limits": {"memory": "64Mi"}}',
        "MAILFETCH_CLUSTER_ID": "prod",
        "MAILFETCH_HTTP_PORT": "1",
        "MAILFETCH_LIVENESS_PORT": "2",
        "MAILFETCH_REPORT_PORT": "3",
        "MAILFETCH_LOG_LEVEL": "DEBUG",
    }
    found = read(environ=environ, argv=[])
    assert found == Settings(
        namespaces=("one", "two"),
        fetcher_image="image",
        fetcher_image_pull_policy="Never",
        fetcher_pull_secrets=("a", "b"),
        fetcher_resources={"limits": {"memory": "1Gi"}},
        tools_resources={"limits": {"memory": "64Mi"}},
        cluster_id="prod",
        http_port=1,
        liveness_port=2,
        report_port=3,
        log_level="DEBUG",
    )
    assert found.watched == ("one", "two")


def test_a_flag_wins_over_the_environment() -> None:
    assert read(environ=IMAGE, argv=["--fetcher-image", "other"]).fetcher_image == "other"


def test_an_empty_variable_is_the_default() -> None:
    assert read(environ={**IMAGE, "MAILFETCH_HTTP_PORT": ""}, argv=[]).http_port == 8080


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"MAILFETCH_FETCHER_IMAGE": ""}, "name the image"),
        ({"MAILFETCH_NAMESPACES": "one"}, "MAILFETCH_CLUSTER_ID is empty"),
        ({"MAILFETCH_HTTP_PORT": "http"}, "MAILFETCH_HTTP_PORT is 'http': write a port number"),
        ({"MAILFETCH_HTTP_PORT": "65536"}, "1 to 65535"),
        ({"MAILFETCH_FETCHER_RESOURCES": "{"}, "is not JSON"),
        ({"MAILFETCH_TOOLS_RESOURCES": "{"}, "MAILFETCH_TOOLS_RESOURCES is not JSON"),
        ({"MAILFETCH_FETCHER_RESOURCES": '{"memory": "1Gi"}'}, "write it as in"),
        ({"MAILFETCH_FETCHER_RESOURCES": "[]"}, "write it as in"),
        ({"MAILFETCH_FETCHER_IMAGE_PULL_POLICY": "always"}, "write one of Always, IfNotPresent, Never"),
        ({"MAILFETCH_LOG_LEVEL": "loud"}, "write one of DEBUG"),
    ],
)
def test_what_is_wrong_is_said_with_its_name(environ: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError, match=said.replace("[", r"\[")):
        read(environ={**IMAGE, **environ}, argv=[])
