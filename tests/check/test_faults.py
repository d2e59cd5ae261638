"""Every planted fault is found by the check that claims to find it, and sound components are not flagged."""

import re
from pathlib import Path

import pytest

from ganforge_check.checks import all_checks
from tests.check.faults import FAULTS, SOUND, Bench, Fault, table

PAGE = Path(__file__).parents[2] / "docs" / "results" / "check.md"
FIRST = list({fault.check: fault for fault in reversed(FAULTS)}.values())
SECONDS = ("observer", "evaluation", "coupling")  # kinds whose checks play whole steps


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("faults"))


def cases() -> list[object]:
    """The first fault of each check, and as slow tests all others."""
    slow = {one.name for one in all_checks() if one.slow}
    return [
        pytest.param(
            fault,
            id=f"{fault.check}-{fault.what}",
            marks=[]
            if fault in FIRST and fault.kind not in SECONDS and fault.check not in slow
            else [pytest.mark.slow],
        )
        for fault in FAULTS
    ]


@pytest.mark.parametrize("fault", cases())
def test_a_fault_is_found_by_its_check(bench: Bench, fault: Fault):
    said = bench.said_of(fault)
    assert said
    assert not said.startswith("it raised"), "a fault that only breaks the check proves nothing"


def sound() -> list[object]:
    slow = [pytest.mark.slow]
    return [
        pytest.param(one, id=f"{one.kind}-{one.what}", marks=slow if one.kind == "observer" else []) for one in SOUND
    ]


@pytest.mark.parametrize("fault", sound())
def test_a_sound_component_is_not_flagged(bench: Bench, fault: Fault):
    outcomes = bench.outcomes(fault)
    assert [finding for one in outcomes for finding in one.findings] == []
    assert sum(not one.left_out for one in outcomes) > len(outcomes) / 2


def test_every_check_has_a_fault():
    assert {fault.check for fault in FAULTS} == {check.name for check in all_checks()}


@pytest.mark.slow
def test_the_page_is_current():
    """Numbers may differ in their last digits from machine to machine."""

    def without_numbers(text: str) -> str:
        return re.sub(r"-?\d+(\.\d+)?(e[-+]?\d+)?", "#", text)

    assert without_numbers(PAGE.read_text()) == without_numbers(table())


def test_the_documentation_tells_every_claim():
    text = " ".join((PAGE.parents[1] / "plugins" / "check.md").read_text().split())
    for check in all_checks():
        assert f"**{check.name}**: {check.claim}" in text
