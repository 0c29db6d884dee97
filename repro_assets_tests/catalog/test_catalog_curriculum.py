from __future__ import annotations

from repro_assets.catalog.descriptions import show_run
from repro_assets.catalog.queries import rows
from repro_assets.journal import run_records

EASY = {"simple": 0.7, "medium": 0.2, "hard": 0.1}


def test_every_change_of_a_curriculum_is_a_row(home, recorder):
    recorder.run("one")
    recorder.journal.append(
        run_records.CurriculumChanged("one", 0, None, "easy", "start", {}, EASY),
        run_records.CurriculumChanged("one", 100, "easy", "all", "criteria", {"loss": 0.5}, {**EASY, "hard": 0.25}),
    )
    recorder.run("two")
    found = rows(
        home, "SELECT * EXCLUDE (record, time, metrics, mix), mix ->> 'hard' AS hard FROM curriculum ORDER BY step"
    )
    assert found == [
        {"run_id": "one", "step": 0, "from_stage": None, "to_stage": "easy", "reason": "start", "hard": "0.1"},
        {"run_id": "one", "step": 100, "from_stage": "easy", "to_stage": "all", "reason": "criteria", "hard": "0.25"},
    ]
    assert rows(home, "SELECT metrics ->> 'loss' AS loss FROM curriculum WHERE step = 100") == [{"loss": "0.5"}]
    assert [change["reason"] for change in show_run(home, "one")["curriculum"]] == ["start", "criteria"]
    assert show_run(home, "two")["curriculum"] == []


def test_a_change_without_its_stage_is_named_and_left_out(home, recorder):
    recorder.run("one")
    recorder.journal.append(run_records.CurriculumChanged("one", 3, "easy", None, "criteria", {}, EASY))  # type: ignore[arg-type]
    assert rows(home, "FROM curriculum") == []
    assert [row["kind"] for row in rows(home, "FROM damages")] == ["record"]
