"""How commands print what evaluations found."""

import math

import pytest

from ganforge import Measured, Results, print_results

LAST = Measured(8, {"validation": {"m": {"a": 1.0}}, "test": {"m": {"a": 0.123456, "b": math.nan}, "n": {"c": 7}}})
BEST = Measured(4, {"validation": {"m": {"a": 2.0}}, "test": {"m": {"a": 3.0}}})
UNTESTED = Measured(6, {"validation": {"m": {"a": 1.5}}})


@pytest.mark.parametrize(
    ("results", "lines"),
    [
        (Results(LAST), ["evaluation metric step 8", "m a 0.1235", "m b nan", "n c 7"]),
        (
            Results(LAST, BEST, "m.a"),
            ["evaluation metric last, step 8 best, step 4", "m a 0.1235 3", "m b nan", "n c 7"],
        ),
        (Results(BEST, BEST, "m.a"), ["evaluation metric last and best, step 4", "m a 3"]),
        (
            Results(UNTESTED, Measured(2, {"validation": {"m": {"a": 5}}}), "m.a"),
            ["evaluation metric last, step 6 (validation) best, step 2 (validation)", "m a 1.5 5"],
        ),
    ],
    ids=["last", "both", "the same", "validation"],
)
def test_last_and_best_have_a_column_each_which_says_its_step_and_split(results, lines, capsys):
    print_results(results)
    assert [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()] == lines
