"""`seq`: what the operator knows of it, and what it tells the fetcher, so that going back in time is noticed."""

from dataclasses import replace

from mailfetch_fetcher.contract.probe import StoreState
from mailfetch_operator.model import FetcherView, PodView
from tests.unit.operator.pure.sim import KEY, Sim, opened


def told(sim: Sim) -> tuple[str, int]:
    assert sim.plan.assignment
    return sim.plan.assignment.state_id, sim.plan.assignment.seq


def at(seq: int) -> Sim:
    """A connection whose state was seen at `seq`."""
    sim = opened(5)
    sim.change_report(seq=seq)
    sim.after(61)
    sim.settle()
    return sim


def test_the_newest_is_told_also_while_the_status_waits() -> None:
    sim = at(90)
    assert told(sim) == ("s1", 90)
    sim.after(1)
    sim.change_report(seq=95)
    sim.settle()
    assert sim.status["fetch"]["seq"] == 90
    assert told(sim) == ("s1", 95)
    assert sim.plan.went_back is False


def test_a_store_that_went_back_is_remembered_until_it_is_beyond_it_again() -> None:
    sim = at(90)
    sim.change_report(seq=70)
    sim.settle()
    assert (sim.status["fetch"]["seq"], sim.status["fetch"]["highestSeq"]) == (70, 90)
    assert (told(sim), sim.plan.went_back) == (("s1", 90), True)
    sim.change_report(seq=89)
    sim.after(4000)
    sim.settle()
    assert (told(sim), sim.plan.went_back) == (("s1", 90), True), "a fetcher that starts now pauses as well"
    sim.change_report(seq=91)
    sim.settle()
    assert "highestSeq" not in sim.status["fetch"]
    assert (told(sim), sim.plan.went_back) == (("s1", 91), False)


def test_what_this_process_heard_counts_beyond_the_status() -> None:
    sim = at(90)
    sim.change_report(seq=97)
    sim.report = replace(sim.report, highest=99)
    sim.settle()
    assert sim.status["fetch"]["highestSeq"] == 99
    assert "StoreWentBack" in sim.told()


def test_counts_of_two_states_are_never_compared() -> None:
    sim = at(90)
    sim.say(phase="Waiting", gate="StateLost", seq=90)
    sim.settle()
    sim.count(5, state=StoreState())
    sim.settle()
    assert told(sim) == ("", 0)
    sim.told()
    sim.say(state_id="s2", seq=3)
    sim.settle()
    assert told(sim) == ("s2", 3)
    assert "highestSeq" not in sim.status["fetch"]
    assert "StoreWentBack" not in sim.told()


def test_a_state_that_a_probe_found_has_no_count_yet() -> None:
    sim = at(90)
    sim.annotate(enable="false")
    sim.settle()
    sim.annotate(enable="true")
    sim.settle()
    sim.count(5, state=StoreState(state_id="copied", gate_epoch=1))
    sim.settle()
    sim.count(5, state=StoreState(state_id="copied", gate_epoch=1))
    sim.settle()
    assert told(sim) == ("copied", 0)


def test_a_session_that_only_starts_says_nothing_about_it() -> None:
    sim = at(90)
    sim.say(phase="Starting", seq=0)
    sim.settle()
    assert told(sim) == ("s1", 90)
    sim.say(phase="Starting", seq=0, state_id="")
    sim.settle()
    assert told(sim) == ("s1", 90)
    assert sim.told() == []


def test_two_pods_that_report_in_turn_are_no_alarm() -> None:
    sim = at(90)
    pods = (PodView(name="old", uid="1"), PodView(name="new", uid="2"))
    sim.fetcher = FetcherView(key=KEY, exists=True, ready=True, pods=pods)
    sim.change_report(seq=80)
    sim.settle()
    assert told(sim) == ("s1", 90)
    assert sim.told() == []


def test_without_a_word_the_number_stays() -> None:
    sim = at(90)
    sim.annotate(enable="false")
    sim.settle()
    assert sim.status["fetch"]["seq"] == 90
    sim.annotate(enable="true")
    sim.settle()
    sim.count(5, state=StoreState(state_id="s1", gate_epoch=1))
    sim.settle()
    assert told(sim) == ("s1", 90)
