"""A series of results goes on where it was, as long as what must be the same is."""

import json

from parts.series import Series

CASES = [{"way": way, "seed": seed} for way in ("a", "b") for seed in (0, 1)]


def test_what_is_there_is_not_done_again(tmp_path):
    path = tmp_path / "found.json"
    first = Series(path, "grid", "runs", fixed={"steps": 3})
    assert first.missing("runs", CASES) == CASES
    for case in CASES[:2]:
        assert first.add("runs", {**case, "found": 1.5}, complete=False)["found"] == 1.5
    again = Series(path, "grid", "runs", fixed={"steps": 3})
    assert again.missing("runs", CASES) == CASES[2:] and again.missing("grid", CASES) == CASES
    assert again.find("runs", way="a", seed=1)["found"] == 1.5 and again.find("runs", way="b") is None
    for case in CASES[2:]:
        again.add("runs", case, complete=True)
    facts = json.loads(path.read_text())
    assert facts["complete"] and facts["steps"] == 3 and [row["way"] for row in facts["runs"]] == ["a", "a", "b", "b"]
    assert {"command", "commit", "date", "machine", "versions", "seconds"} <= set(facts)


def test_rows_of_other_settings_are_left_out(tmp_path):
    path = tmp_path / "found.json"
    Series(path, "runs", fixed={"settings": {"depths": (1, 2)}}).add("runs", CASES[0])
    assert not Series(path, "runs", fixed={"settings": {"depths": (1, 2)}}).missing("runs", CASES[:1])
    assert Series(path, "runs", fixed={"settings": {"depths": (1, 1)}}).missing("runs", CASES[:1])
    assert Series(path, "runs", fixed={"other": 1}).missing("runs", CASES[:1])


def test_the_time_of_all_parts_is_counted(tmp_path):
    path = tmp_path / "found.json"
    Series(path, "runs").add("runs", CASES[0])
    path.write_text(json.dumps({**json.loads(path.read_text()), "seconds": 100}))
    again = Series(path, "runs")
    again.add("runs", CASES[1])
    assert 100 <= json.loads(path.read_text())["seconds"] < 150
