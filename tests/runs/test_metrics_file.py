"""What evaluations found, written and read again."""

import math

from ganforge.runs.results import Measured, Results, read_results


def test_what_is_read_again_is_written_as_it_was(tmp_path):
    """So a run that goes on from a checkpoint ends with the same file; `grid` tells nothing about itself."""
    about = {"pairs": {"pictures_AB": 2, "network": "vgg"}, "grid": {}}
    last = Measured(
        8, {"test": {"pairs": {"l1": 0.25, "l2": math.nan}, "grid": {}}}, {"test": about}, {"test": ["fid"]}
    )
    text = Results(last, Measured(4, {"validation": {"pairs": {"l1": 1.0}}}, {"validation": about}), "-l1").text()
    (tmp_path / "metrics.json").write_text(text)
    found = read_results(tmp_path)
    assert found is not None
    assert found.text() == text
