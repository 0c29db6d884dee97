"""What a store holds is counted, and what was set aside in it."""

from __future__ import annotations

from repro_assets.artifacts import names
from repro_assets.store.leases import lease_on
from repro_assets.store.opening import open_objects


def test_statistics_count_packed_objects_and_no_collected_artifact(repro, home, tmp_path):
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(40):
        (folder / f"{number}.txt").write_text(f"number {number}")
    before = repro("store", "stats", "--json").document
    assert repro("artifacts", "put", folder, "--name", "many").code == 0
    found = repro("store", "stats", "--json").document
    assert list(home.packs.glob("*.pack")), "nothing was packed, so this shows nothing"
    files = [path for place in (home.objects, home.packs) for path in place.rglob("*") if path.is_file()]
    assert found["objects"] == before["objects"] + 41 == repro("store", "fsck", "--json").document["checked"]
    assert found["bytes"] == sum(path.stat().st_size for path in files)
    assert found["packs"] == len(list(home.packs.glob("*.pack")))
    assert found["logical_bytes"] == sum(row["logical_bytes"] for row in found["artifacts"])
    assert {row["kind"]: row["artifacts"] for row in found["artifacts"]} == {"json": 3, "tree": 1}
    assert repro("artifacts", "delete", "many").code == 0
    assert repro("store", "stats", "--json").document == found, "deleting hides, collecting frees"
    lease_on(home).release()
    assert repro("store", "gc", "--delete", "--now").code == 0
    after = repro("store", "stats", "--json").document
    assert (after["objects"], after["logical_bytes"]) == (before["objects"], before["logical_bytes"])
    assert [row["kind"] for row in after["artifacts"]] == ["json"]


def test_a_doctor_says_how_many_objects_are_in_quarantine(repro, home):
    from repro_assets.orchestration.diagnosis import diagnose

    def found() -> tuple[str, str]:
        row = next(finding for finding in diagnose() if finding.check == "quarantine")
        return row.status, row.detail

    assert found()[0] == "ok"
    digest = names.newest(home, "model-small").digest
    path = open_objects(home).path(digest)
    path.write_bytes(b"x" * 100)
    assert repro("artifacts", "get", "model-small", "--to", home.root.parent / "got").code == 1
    status, detail = found()
    assert status == "warn"
    assert detail.startswith("1 damaged object")
