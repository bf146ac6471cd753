"""What the tools are asked for, by which connections, and when."""

import pytest

from kubectl_mailfetch.errors import Exit, PluginError
from kubectl_mailfetch.mail_query import Category, Place, Result, State, instant, merged, options, place_of, places_of
from mailfetch_fetcher.contract import tools
from tests.unit.plugin.samples import NOW, connection


def test_the_words_are_those_of_the_tools() -> None:
    assert tuple(State) == tools.STATES
    assert tuple(Category) == tools.CATEGORIES
    assert tuple(Result) == tools.RESULTS


def test_one_connection_is_its_stream_and_only_its_own_mails() -> None:
    assert place_of(connection("support")).words == ("--stream=support", "--connection=support")
    shared = connection("billing", spec={"queue": {"stream": "office"}})
    assert place_of(shared) == Place(namespace="helpdesk", streams=("office",), connection="billing")


def test_all_connections_of_a_namespace_are_their_streams_each_once() -> None:
    shared = {"queue": {"stream": "office"}}
    found = places_of(
        [
            connection("b", spec=shared),
            connection("a", spec=shared),
            connection("c"),
            connection("c", namespace="accounting"),
        ]
    )
    assert found == [
        Place(namespace="accounting", streams=("c",)),
        Place(namespace="helpdesk", streams=("c", "office")),
    ]
    assert found[1].words == ("--stream=c", "--stream=office")


def test_what_people_type_is_never_an_option() -> None:
    assert options(search="--log", limit=5, id="", since=None) == ["--search=--log", "--limit=5"]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("", ""),
        ("2026-01-31", "2026-01-31T00:00:00Z"),
        ("2026-01-31T08:15:00Z", "2026-01-31T08:15:00Z"),
        ("2026-01-31T08:15:00+02:00", "2026-01-31T06:15:00Z"),
        ("2026-01-31 08:15", "2026-01-31T08:15:00Z"),
        ("30m", "2026-01-31T11:30:00Z"),
        ("7d", "2026-01-24T12:00:00Z"),
        ("2w", "2026-01-17T12:00:00Z"),
    ],
)
def test_times(typed: str, meant: str) -> None:
    assert instant(typed, option="--before", now=NOW) == meant


@pytest.mark.parametrize("typed", ["yesterday", "7", "-7d", "7y", "999999w", "31.01.2026", "0001-01-01T00:00:00+14:00"])
def test_what_is_no_time(typed: str) -> None:
    with pytest.raises(PluginError, match=r"--before .* is no time: write 2026-01-31") as caught:
        instant(typed, option="--before", now=NOW)
    assert caught.value.code is Exit.USAGE


def test_answers_of_several_namespaces_are_one() -> None:
    one = {"entries": [{"id": "1"}], "counts": {"New": 1}, "groups": [{"name": "g"}], "truncated": True}
    two = {"entries": [{"id": "2"}], "counts": {"New": 2, "Done": 1}, "groups": [], "truncated": False}
    assert merged([("a", one), ("b", two)], rows="entries") == {
        "entries": [{"namespace": "a", "id": "1"}, {"namespace": "b", "id": "2"}],
        "counts": {"New": 3, "Done": 1},
        "groups": [{"namespace": "a", "name": "g"}],
        "truncated": True,
    }
    assert merged([("a", {"lines": []})], rows="lines") == {"lines": [], "truncated": False}
