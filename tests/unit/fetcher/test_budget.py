import threading

import pytest

from mailfetch_fetcher.budget import ByteBudget


def test_a_share_waits_until_another_is_given_back() -> None:
    budget = ByteBudget(100)
    waits, got = threading.Event(), threading.Event()

    def second() -> None:
        with budget.share(60, waiting=waits.set):
            got.set()

    thread = threading.Thread(target=second, daemon=True)
    with budget.share(60, waiting=lambda: None):
        thread.start()
        assert waits.wait(30)
        assert not got.is_set()
    assert got.wait(30)
    thread.join(30)


def test_a_share_larger_than_the_budget_is_granted_alone() -> None:
    budget = ByteBudget(100)
    with budget.share(1000, waiting=lambda: None):
        pass


def test_waiting_may_give_up_and_nothing_stays_taken() -> None:
    budget = ByteBudget(100)

    def give_up() -> None:
        raise TimeoutError

    with budget.share(100, waiting=lambda: None), pytest.raises(TimeoutError), budget.share(1, waiting=give_up):
        pass
    with budget.share(100, waiting=give_up):
        pass


def test_an_error_in_the_block_gives_the_share_back() -> None:
    budget = ByteBudget(100)
    with pytest.raises(KeyError), budget.share(100, waiting=lambda: None):
        raise KeyError
    with budget.share(100, waiting=lambda: pytest.fail("the share was not given back")):
        pass
