"""Nodes get networks that nobody uses, and configuration that names nothing but their own."""

import ipaddress
import itertools
from pathlib import Path

from tests.cluster.node_config import SLOTS, NodeFiles, Slot


def networks(slot: Slot) -> list[ipaddress.IPv4Network]:
    return [slot.link, slot.pods, slot.services]


def test_the_networks_of_all_slots_are_disjoint() -> None:
    everything = [network for number in range(SLOTS) for network in networks(Slot(number=number))]
    assert not [pair for pair in itertools.combinations(everything, 2) if pair[0].overlaps(pair[1])]


def test_names_of_interfaces_are_short_enough_for_linux() -> None:
    assert all(len(Slot(number=number).peer) <= 15 for number in range(SLOTS))


def test_a_slot_is_taken_when_a_route_overlaps_with_one_of_its_networks() -> None:
    slot = Slot(number=1)
    assert slot.is_free([ipaddress.IPv4Network("192.168.0.0/16"), ipaddress.IPv4Network("10.250.0.0/24")])
    assert not slot.is_free([ipaddress.IPv4Network("10.250.0.0/16")])
    assert not slot.is_free([ipaddress.IPv4Network("10.244.1.7/32")])
    assert not slot.is_free([ipaddress.IPv4Network("10.96.16.0/24")])


def test_configuration_names_only_the_slots_own_addresses(tmp_path: Path) -> None:
    slot, other = Slot(number=3), Slot(number=0)
    files = NodeFiles(slot=slot, state=tmp_path, cni_plugins=Path("/plugins"), pause_image="pause:1").all()
    text = "\n".join(files.values())
    for address in (slot.node_ip, slot.host_ip, str(slot.pods)):
        assert address in text
    for address in (other.node_ip, other.host_ip, str(other.pods)):
        assert address not in text
