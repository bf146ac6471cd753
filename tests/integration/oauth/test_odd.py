"""Answers of an authority that no library expects: told as such, never as an internal error, and nobody is misled."""

import pytest

from mailfetch_fetcher.errors import Pace, SourceError
from tests.integration.fetcher.helpers import Mounts
from tests.integration.oauth.helpers import Providers, bearer_of


@pytest.mark.parametrize(
    ("kind", "endpoint", "fault"),
    [
        ("microsoft", "discovery", "object"),
        ("microsoft", "discovery", "list"),
        ("microsoft", "discovery", "deep"),
        ("microsoft", "token", "deep"),
        ("microsoft", "token", "deep_400"),
        ("microsoft", "token", "endless"),
        ("microsoft", "token", "unspeakable"),
        ("microsoft", "token", "id_token"),
        ("google", "token", "deep"),
        ("google", "token", "endless"),
        ("google", "token", "very_long"),
        ("google", "token", "unspeakable"),
        ("google", "token", "scope"),
    ],
)
def test_an_odd_answer_is_trouble_of_the_authority(
    providers: Providers, mounts: Mounts, kind: str, endpoint: str, fault: str
) -> None:
    bearer = bearer_of(getattr(providers, kind)(), mounts)
    providers.authority.fail_next(fault, endpoint=endpoint)
    with pytest.raises(SourceError) as e:
        bearer.token()
    assert e.value.reason == "ConnectionFailed"
    assert {"microsoft": "login.microsoftonline.com", "google": "oauth2.googleapis.com"}[kind] in e.value.message
    assert "let the pod reach the host directly" in e.value.message
    assert "[[" not in e.value.message
    assert bearer.token()


@pytest.mark.parametrize(
    ("fault", "text"), [("elsewhere", "that is not of this cloud"), ("other_cloud", "another cloud (USGovernment or")]
)
def test_nothing_is_sent_to_a_host_that_a_document_names(
    providers: Providers, mounts: Mounts, fault: str, text: str
) -> None:
    bearer = bearer_of(providers.microsoft(), mounts)
    providers.authority.fail_next(fault, endpoint="discovery")
    with pytest.raises(SourceError) as e:
        bearer.token()
    assert (e.value.reason, e.value.pace) == ("InvalidConfiguration", Pace.CONFIGURATION)
    assert text in e.value.message
    assert "spec.auth.oauth2.cloud" in e.value.message
    assert "www.googleapis.com" not in e.value.message
    assert not providers.authority.faults  # the double answers for those hosts too
    assert not providers.authority.count(client=providers.app)
    assert bearer.token()
