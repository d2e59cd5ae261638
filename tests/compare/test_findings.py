"""What a comparison says of runs' results: means, paired differences, their intervals, and what must be known of them."""

import importlib
import json
from types import SimpleNamespace

import pytest

findings, grid, pictures, results, sweep, tables = (
    importlib.import_module(f"ganforge_compare.{name}")
    for name in ("findings", "grid", "pictures", "results", "sweep", "tables")
)

# Student (1908), after Cushny and Peebles: hours of sleep that ten patients gained by one drug and by another.
ONE = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
OTHER = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Write what a run of a recipe found, and return it as a comparison knows it."""
    monkeypatch.setattr(findings, "is_finished", lambda folder, _: not (folder / "unfinished").exists())

    def write(recipe, seed, last, best=None, by="-r.m", about=None, step=100, values=None):
        folder = tmp_path / recipe / "-".join(map(str, [*(values or {}).values(), seed]))
        folder.mkdir(parents=True)
        found = {"step": step, "test": {"r": last}}
        if about:
            found["about"] = {"test": {"r": about}}
        if best:
            found["best"] = {"step": 50, "by": by, "validation": {"r": best}, "test": {"r": best}}
        (folder / "metrics.json").write_text(json.dumps(found))
        point = grid.Point(values or {})
        name = ", ".join([recipe, *point.sets])
        return SimpleNamespace(
            plan=SimpleNamespace(name=recipe),
            seed=seed,
            folder=folder,
            point=point,
            name=name,
            label=f"{name}, seed {seed}",
        )

    return write


def compare(members, level=0.95):
    return findings.gather(findings.read(members, pytest.fail), level)


def rows_of_differences(found):
    """The rows of the only table of differences."""
    (rows,) = list(tables.tables_of_differences(found)) or [[]]
    return rows


def cells(rows):
    return [list(row.values()) for row in rows]


def test_students_own_two_drugs_differ_as_he_found(run):
    drugs = {"one": ONE, "other": OTHER}
    found = compare([run(name, seed, {"m": hours[seed]}) for name, hours in drugs.items() for seed in range(10)])
    (difference,) = found.differences
    assert difference.values == pytest.approx({s: OTHER[s] - ONE[s] for s in range(10)})
    assert difference.estimate.mean == pytest.approx(1.58)
    assert difference.estimate.interval == pytest.approx((0.7001142, 2.4598858), abs=5e-8)
    assert difference.p_holm == difference.estimate.p == pytest.approx(0.002833, abs=5e-7)
    assert cells(tables.rows_of_metrics(found)) == [
        ["r.m", "one", "0.8 ± 1.8", "0.7 -1.6 -0.2 -1.2 -0.1 3.4 3.7 0.8 0.0 2.0"],
        ["r.m", "other", "2.3 ± 2.0", "1.9 0.8 1.1 0.1 -0.1 4.4 5.5 1.6 4.6 3.4"],
    ]
    assert rows_of_differences(found) == [{"metric": "r.m", "against one": "higher by 1.6 [0.7, 2.5]"}]
    assert tables.line_of_chance(found) == "intervals cover the difference with 95 % each, paired by seed"
    assert found.notes == []


def test_the_level_widens_the_interval_and_decides(run):
    drugs = {"one": ONE, "other": OTHER}
    found = compare([run(n, seed, {"m": hours[seed]}) for n, hours in drugs.items() for seed in range(10)], 0.999)
    assert rows_of_differences(found)[0]["against one"] == "within the noise: +1.6 [-0.3, +3.4]"


def test_what_is_beyond_the_noise_alone_but_not_among_many_is_called_perhaps(run):
    """Student's p of 0.0028 is 0.057 among twenty differences, and 0.054 among nineteen."""
    drugs = {"one": ONE, "other": OTHER}
    noise = {f"n{k}": [(-1) ** (k + seed) * (1 + k) for seed in range(10)] for k in range(19)}
    members = [
        run(name, seed, {"m": hours[seed], **{n: v[seed] * (name == "one") for n, v in noise.items()}})
        for name, hours in drugs.items()
        for seed in range(10)
    ]
    found = compare(members)
    (sleep,) = [one for one in found.differences if one.metric == "r.m"]
    assert sleep.p_holm == pytest.approx(20 * 0.00283289, rel=1e-4)
    assert sleep.verdict(0.95) == "perhaps higher"
    assert rows_of_differences(found)[0]["against one"] == "perhaps higher by 1.6 [0.7, 2.5]"
    assert "of 20 differences 1 are expected beyond theirs by chance alone" in tables.line_of_chance(found)


def test_a_lower_value_is_told_by_its_size(run):
    found = compare(
        [run(n, s, {"m": 5 + s / 10 - d * (1 + s / 100)}) for n, d in (("a", 0), ("b", 2)) for s in range(5)]
    )
    assert rows_of_differences(found)[0]["against a"] == "lower by 2.040 [2.001, 2.079]"


def test_three_recipes_are_measured_by_the_first_and_every_pair_is_kept(run):
    found = compare([run(name, s, {"m": s + k}) for k, name in enumerate("abc") for s in range(3)])
    assert [(one.first, one.second) for one in found.differences] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert rows_of_differences(found) == [
        {"metric": "r.m", "recipe": "b", "against a": "higher by 1 with every seed: no interval"},
        {"metric": "r.m", "recipe": "c", "against a": "higher by 2 with every seed: no interval"},
    ]
    assert tables.line_of_chance(found) == ""


def test_a_value_that_is_no_number_is_named_and_left_out_with_its_pair(run):
    values = {"a": [1.0, None, 3.0], "b": [2.0, 2.5, 5.0]}
    found = compare([run(name, seed, {"m": held[seed]}) for name, held in values.items() for seed in range(3)])
    assert found.differences[0].values == {0: 1.0, 2: 2.0}
    assert cells(tables.rows_of_metrics(found)) == [
        ["r.m", "a", "2.0 ± 1.4 (2 of 3 seeds)", "1.0 nan 3.0"],
        ["r.m", "b", "3.2 ± 1.6", "2.0 2.5 5.0"],
    ]
    said = rows_of_differences(found)[0]["against a"]
    assert said == "within the noise: +1.50 [-4.85, +7.85] (2 of 3 seeds)"
    assert found.notes == ["r.m is not finite and is left out: a, seed 1 (last)"]
    nest = json.loads(results.to_json(results.nest(found)), parse_constant=pytest.fail)
    assert nest["recipes"]["a"]["last"]["metrics"]["r.m"]["values"] == {"0": 1.0, "1": None, "2": 3.0}


def test_a_metric_that_one_run_lacks_is_named_as_well(run):
    found = compare([run("a", 0, {"m": 1, "n": 5.5}), run("a", 1, {"m": 2})])
    assert cells(tables.rows_of_metrics(found))[1] == ["r.n", "a", "5.5 (1 of 2 seeds)", "5.5 nan"]
    assert found.notes == ["r.n is not finite and is left out: a, seed 1 (last)"]


def test_numbers_beyond_any_sensible_mean_and_metrics_that_never_are_numbers_do_not_count(run):
    found = compare([run(name, seed, {"m": 1e300, "n": None}) for name in "ab" for seed in range(2)])
    assert found.differences == []
    assert [row["mean ± deviation"] for row in tables.rows_of_metrics(found)] == ["nan"] * 4
    assert rows_of_differences(found) == []
    assert pictures.chart(found) is not None


def test_one_seed_has_no_interval_and_says_so(run):
    found = compare([run("a", 0, {"m": 1.0, "n": 7}), run("b", 0, {"m": 3.0, "n": 7})])
    assert cells(rows_of_differences(found)) == [["r.m", "higher by 2 (one seed: no interval)"]]
    assert list(tables.lines_of_facts(found)) == ["the same in all runs: r.n 7"]
    assert found.notes == ["one seed: no deviation, no interval, and any difference may be chance"]
    assert found.differences[0].verdict(0.95) == "no interval"


def test_metrics_with_one_value_in_all_runs_are_one_line_and_no_rows(run):
    made = [
        run(name, seed, {"m": seed, "real": 0.25, **of_b}, {"m": seed, "real": 0.25, **of_b})
        for name, of_b in (("a", {}), ("b", {"way back": 3}))
        for seed in range(2)
    ]
    found = compare(made)
    assert {row["metric"] for row in tables.rows_of_metrics(found)} == {"r.m"}
    assert list(tables.lines_of_facts(found)) == ["the same in all runs: r.real 0.25, r.way back 3"]
    assert [axes.get_title() for axes in pictures.chart(found).axes] == ["r.m"]
    assert results.nest(found)["recipes"]["b"]["best"]["metrics"]["r.real"]["values"] == {"0": 0.25, "1": 0.25}
    alone = compare(made[:1])
    assert {row["metric"] for row in tables.rows_of_metrics(alone)} == {"r.m", "r.real"}
    assert list(tables.lines_of_facts(alone)) == []


def test_long_names_below_a_chart_do_not_overlap(run):
    found = compare([run(f"{letter * 30}", seed, {"m": seed}) for letter in "abc" for seed in range(2)])
    figure = pictures.chart(found)
    figure.draw_without_rendering()
    labels = figure.axes[0].get_xticklabels()
    assert [label.get_text() for label in labels] == ["a" * 30, "b" * 30, "c" * 30]
    ends = [label.get_window_extent() for label in labels]
    assert all(abs(label.get_rotation()) > 0 for label in labels)
    assert all(one.y0 >= 0 for one in ends)


def test_the_same_values_in_every_seed_are_the_same(run):
    found = compare([run(name, seed, {"m": 0.1 + seed}) for name in "ab" for seed in range(3)])
    assert rows_of_differences(found) == [{"metric": "r.m", "against a": "the same with every seed"}]


def test_last_and_best_stand_below_each_other(run):
    found = compare([run(name, seed, {"m": seed + 1}, {"m": seed}) for name in "ab" for seed in range(2)])
    assert [(row["metric"], row["at"], row["recipe"]) for row in tables.rows_of_metrics(found)] == [
        ("r.m", "last", "a"),
        ("r.m", "last", "b"),
        ("r.m", "best", "a"),
        ("r.m", "best", "b"),
    ]
    assert [one.checkpoint for one in found.differences] == ["last", "best"]
    assert found.recipes[0].checkpoints["best"].steps == {0: 50, 1: 50}
    assert found.notes == []


def test_recipes_that_choose_the_best_otherwise_or_not_at_all_are_told(run):
    found = compare(
        [
            *(run("a", seed, {"m": 2}, {"m": 1}) for seed in range(2)),
            *(run("b", seed, {"m": 2}, {"m": 1}, by="r.n") for seed in range(2)),
            *(run("c", seed, {"m": 2}) for seed in range(2)),
        ]
    )
    assert found.notes == ["`best` was chosen differently: a by -r.m; b by r.n; c not chosen"]
    pairs = [(one.checkpoint, one.first, one.second) for one in found.differences]
    assert [pair for pair in pairs if pair[0] == "best"] == [("best", "a", "b")]


def test_a_run_without_a_best_checkpoint_among_others_is_told(run):
    found = compare([run("a", 0, {"m": 2}, {"m": 1}), run("a", 1, {"m": 2})])
    assert found.notes == ["only 1 of 2 runs of a have a best checkpoint"]
    assert [row["mean ± deviation"] for row in tables.rows_of_metrics(found)] == ["2 ± 0", "1 (1 of 2 seeds)"]


def test_facts_are_said_once_and_those_that_differ_are_named(run):
    members = [
        run(name, seed, {"m": seed}, about={"network": f"inception {name}", "pictures_AB": 1000, "error": 0.25})
        for name in "ab"
        for seed in range(2)
    ]
    found = compare(members)
    assert list(tables.lines_of_facts(found)) == ["r: pictures_AB 1,000, error 0.25"]
    assert found.notes == ["r was measured differently: network is inception a for a; inception b for b"]


def test_other_steps_and_missing_seeds_are_told(run):
    found = compare([run("a", 0, {"m": 1}), run("a", 1, {"m": 2}, step=80), run("b", 0, {"m": 1})])
    assert found.notes == [
        "some seeds are missing: a 0, 1; b 0",
        "the last steps differ: a 80 to 100; b 100",
    ]
    assert found.differences[0].values == {0: 0.0}
    assert rows_of_differences(found)[0]["against a"] == "the same (one seed: no interval)"


ENDLESS = "it has no results for its last step"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, f"note: a, seed 0 is not compared: {ENDLESS} ("),
        ("unfinished", f"note: a, seed 0 is not compared: {ENDLESS} ("),
        ('{"step": 100, "validation": {"r": {"m": 1}}}', f"note: a, seed 0 is not compared: {ENDLESS} ("),
        ('{"step": 100, "r": {"m": 1}}', "note: a, seed 0 is not compared: its metrics.json is from another version ("),
        ("", "warning: "),
    ],
)
def test_a_run_without_results_of_its_end_is_named_and_left_out(run, content, message):
    member, said = run("a", 0, {"m": 1}), []
    path = member.folder / "metrics.json"
    if content is None:
        path.unlink()
    elif content == "unfinished":
        (member.folder / "unfinished").touch()
    else:
        path.write_text(content)
    assert findings.read([member], said.append) == []
    (line,) = said
    assert str(member.folder) in line
    assert line.startswith(message)


def test_the_tables_fit_a_terminal_of_eighty_columns(run):
    recipes = ("gan_toy", "gan_recon_toy", "discogan_toy")
    members = [
        run(name, seed, {"cycle_error_A": 0.1 * k + 0.01 * seed**2}, {"cycle_error_A": 0.2 * k - 0.01 * seed})
        for k, name in enumerate(recipes)
        for seed in range(10)
    ]
    found = compare(members)
    assert all("seeds" in row for row in tables.rows_of_metrics(found))
    narrow = tables.rows_of_metrics(found, 60)
    assert all("seeds" not in row for row in narrow)
    for rows in (narrow, rows_of_differences(found)):
        columns = [[name, *(row[name] for row in rows)] for name in rows[0]]
        assert sum(max(map(len, column)) + 2 for column in columns) - 2 <= 80


@pytest.mark.parametrize("names", [["a"], ["$a$", "b_{", "c" * 60]], ids=len)
def test_every_metric_is_drawn_whatever_its_name_and_values(run, names):
    values = [
        {"m": 1.0, "$x^": None, "tiny": 1e-300, "huge": 1e149},
        {"m": 2.0, "$x^": 3.0, "tiny": 2e-300, "huge": -1e149},
    ]
    found = compare([run(name, seed, values[seed], {"m": 3}) for name in names for seed in range(2)])
    figure = pictures.chart(found)
    assert [axes.get_title() for axes in figure.axes] == ["r.m", "r.$x^", "r.tiny", "r.huge"]
    assert results._as_png(figure).startswith(b"\x89PNG")


def grid_of(run, keys, recipes=("a",), seeds=3):
    """Members of a grid, whose metric is the place of the point, a tenth of the seed more, and 100 more for `b`."""
    points = [point.values for point in grid.points(keys)]
    return [
        run(recipe, seed, {"m": place + 0.1 * seed + 100 * (recipe == "b")}, values=values)
        for seed in range(seeds)
        for recipe in recipes
        for place, values in enumerate(points)
    ]


def test_in_a_grid_points_are_compared_with_the_first_value_and_recipes_at_each_point(run):
    found = compare(grid_of(run, ["x.k=1,10,100"], recipes=("a", "b")))
    assert found.varied == {"x.k": ["1", "10", "100"]}
    assert [(one.first, one.second, one.by) for one in found.differences] == [
        ("a, x.k=1", "a, x.k=10", "x.k"),
        ("a, x.k=1", "a, x.k=100", "x.k"),
        ("a, x.k=1", "b, x.k=1", "recipe"),
        ("a, x.k=10", "b, x.k=10", "recipe"),
        ("a, x.k=100", "b, x.k=100", "recipe"),
        ("b, x.k=1", "b, x.k=10", "x.k"),
        ("b, x.k=1", "b, x.k=100", "x.k"),
    ]
    assert cells(tables.rows_of_metrics(found))[4] == ["r.m", "b", "10", "101.10 ± 0.10", "101.00 101.10 101.20"]
    of_recipes, of_values = tables.tables_of_differences(found)
    assert of_recipes[1] == {"metric": "r.m", "k": "10", "against a": "higher by 100 with every seed: no interval"}
    assert of_values[3] == {
        "metric": "r.m",
        "recipe": "b",
        "k": "100",
        "against k=1": "higher by 2 with every seed: no interval",
    }


def test_in_a_grid_of_two_keys_only_points_that_differ_in_one_of_them_are_compared(run):
    found = compare(grid_of(run, ["x.k=1,2", "y.k=p,q"]))
    assert [(one.first, one.second, one.by) for one in found.differences] == [
        ("a, x.k=1, y.k=p", "a, x.k=1, y.k=q", "y.k"),
        ("a, x.k=1, y.k=p", "a, x.k=2, y.k=p", "x.k"),
        ("a, x.k=1, y.k=q", "a, x.k=2, y.k=q", "x.k"),
        ("a, x.k=2, y.k=p", "a, x.k=2, y.k=q", "y.k"),
    ]
    first, second = tables.tables_of_differences(found)
    assert list(first[0]) == ["metric", "x.k", "y.k", "against x.k=1"]
    assert [row["x.k"] + row["y.k"] for row in second] == ["1q", "2q"]


def test_a_first_seed_that_is_missing_changes_nothing_in_the_order(run):
    members = grid_of(run, ["x.k=1,2"])
    (members[0].folder / "unfinished").touch()
    said = []
    found = findings.gather(findings.read(members, said.append), 0.95)
    assert [one.name for one in found.recipes] == ["a, x.k=1", "a, x.k=2"]
    assert said == [f"note: a, x.k=1, seed 0 is not compared: {ENDLESS} ({members[0].folder})"]


@pytest.mark.parametrize(
    ("values", "scale", "ticks"),
    [
        ("1,10,100", "log", [1, 10, 100]),
        ("0,1,10,100", "symlog", [0, 1, 10, 100]),
        ("100,1,3", "log", [100, 1, 3]),
        ("1,2,5", "linear", [1, 2, 5]),
        ("-1,0,100", "linear", [-1, 0, 100]),
        ("0", "linear", [0]),
        ("adam,10,true", "linear", [0, 1, 2]),
        ("$x^,{ a = [1, 2] }", "linear", [0, 1]),
    ],
)
def test_a_sweep_has_numbers_at_their_places_and_other_values_in_their_order(values, scale, ticks, run):
    found = compare(grid_of(run, [f"x.k={values}"], recipes=("a", "b")))
    (axes,) = sweep.sweep(found, "x.k").axes
    assert (axes.get_title(), axes.get_xlabel(), axes.get_xscale()) == ("r.m", "x.k", scale)
    assert list(axes.get_xticks()) == ticks
    assert [label.get_text() for label in axes.get_xticklabels()] == grid.split(values)
    assert [one.get_label() for one in axes.containers] == ["a", "b"]
    (line, *_), _ = axes.containers
    wanted = sorted((tick, 0.1 + place) for place, tick in enumerate(ticks))
    assert list(zip(*line.get_data(), strict=True)) == [pytest.approx(point) for point in wanted]
    low, high = axes.get_ylim()
    assert low < 0
    assert high > 100 + len(ticks) - 0.9
    assert results._as_png(axes.figure).startswith(b"\x89PNG")


def test_a_sweep_has_a_line_for_each_value_of_another_key_and_none_where_they_are_too_many(run):
    found = compare(grid_of(run, ["x.k=1,2", "y.k=1,2,3,4,5,6"], recipes=("a", "b"), seeds=1))
    assert sweep.sweep(found, "x.k") is None
    (axes,) = sweep.sweep(found, "y.k").axes
    assert [one.get_label() for one in axes.containers] == ["a, x.k=1", "a, x.k=2", "b, x.k=1", "b, x.k=2"]


def test_a_sweep_shows_last_and_best_and_metrics_that_some_points_lack(run):
    members = [
        run("a", 0, {"m": 1.0, "n": None}, {"m": 3.0}, values={"x.k": "1"}),
        run("a", 0, {"m": 2.0, "n": 5.0}, values={"x.k": "2"}),
    ]
    first, second = sweep.sweep(compare(members), "x.k").axes
    assert [one.get_label() for one in first.containers] == ["a (last)", "a (best)"]
    assert [list(line.get_data()[1]) for line, *_ in first.containers] == [[1, 2], [3]]
    assert [list(line.get_data()[1]) for line, *_ in second.containers] == [[5], []]


def test_a_metric_that_one_run_alone_has_is_a_row(run):
    found = compare([run("a", 0, {"m": 1, "way back": 3}), run("b", 0, {"m": 1})])
    assert {row["metric"] for row in tables.rows_of_metrics(found)} == {"r.way back"}
    assert list(tables.lines_of_facts(found)) == ["the same in all runs: r.m 1"]


def test_runs_on_other_data_or_from_other_weights_are_told_unless_that_is_what_varies(run):
    def lock(members):
        for number, member in enumerate(members):
            (member.folder / "recipe.lock.toml").write_text(
                f'[lock.data]\n"train.A" = "3 samples, {number}"\n"test.A" = "2 samples, 7"\n[lock.start]\nG = "{number}"\n'
            )
        return members

    alike = compare(lock([run("a", 0, {"m": 1}), run("a", 1, {"m": 2})]))
    data = "runs have different data (train.A): 3 samples, 0 a, seed 0; 3 samples, 1 a, seed 1"
    start = "runs have different weights to start from (G): 0 a, seed 0; 1 a, seed 1"
    assert alike.notes == [data, start]
    varied = compare(lock([run("b", 0, {"m": 1}, values={"dataset.root": root}) for root in ("x", "y")]))
    assert not any("different data" in note for note in varied.notes)
    assert any("different weights" in note for note in varied.notes)


def test_runs_of_devices_with_another_precision_are_told(run):
    members = [run("a", seed, {"m": seed}) for seed in range(5)]
    for member in members:
        kind = "bf16" if member.seed == 4 else "fp32"
        (member.folder / "recipe.lock.toml").write_text(f'[compute]\nprecision = "{kind}"\n')
    found = compare(members)
    assert found.notes == [
        "runs have different precisions: fp32 a, seed 0; a, seed 1; a, seed 2; and 1 more; bf16 a, seed 4"
    ]
