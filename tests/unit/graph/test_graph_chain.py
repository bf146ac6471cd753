"""Links that are followed from page to page."""

import pytest

from mailfetch_fetcher.errors import SourceError
from mailfetch_fetcher.sources.graph_chain import Chain
from mailfetch_fetcher.sources.graph_settings import GraphSettings

SETTINGS = GraphSettings(host="graph.microsoft.com", mailbox="u@contoso.com", base="/v1.0/users/u@contoso.com")


def test_a_walk_may_be_long() -> None:
    chain = Chain("0", SETTINGS)
    assert [chain.follow(str(n)) for n in range(1, 5000)][-1] == "4999"


@pytest.mark.parametrize("before", [0, 1, 2, 7, 100])
@pytest.mark.parametrize("circle", [1, 2, 3, 50])
def test_a_circle_is_left(before: int, circle: int) -> None:
    chain = Chain("0", SETTINGS)
    links = [n if n < before else before + (n - before) % circle for n in range(1, 3 * (before + circle) + 3)]
    with pytest.raises(SourceError, match="round in a circle"):
        list(map(chain.follow, map(str, links)))
