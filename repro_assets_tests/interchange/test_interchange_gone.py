"""What was evicted or deleted where a bundle is made, and where it comes to."""

from __future__ import annotations

from pathlib import Path

from bundled import Stored, fill

from repro_assets.artifacts import names, repository
from repro_assets.artifacts.deletion import delete_versions
from repro_assets.artifacts.eviction import evict_reproducible, evicted_by
from repro_assets.artifacts.retention import roots_of
from repro_assets.artifacts.soundness import check_store
from repro_assets.catalog import queries
from repro_assets.identity.digest import Digest
from repro_assets.interchange.bundle import export_bundle
from repro_assets.interchange.importing import import_bundle
from repro_assets.journal.run_records import CheckpointDeleted, CheckpointSaved
from repro_assets.journal.segments import journal_at
from repro_assets.store.collection import collect
from repro_assets.store.home import Home, make_store
from repro_assets.store.leases import lease_on
from repro_assets.store.opening import open_objects


def collected(stored: Stored) -> None:
    lease_on(stored.home).release()
    collect(open_objects(stored.home), lambda: roots_of(stored.home), delete=True, now=True)


def test_an_evicted_product_comes_as_its_manifest_and_whole_from_an_older_bundle(tmp_path: Path, empty: Home) -> None:
    stored = fill(tmp_path / "store")
    export_bundle(stored.home, [stored.later], [], tmp_path / "before.repro")
    lease_on(stored.home).release()
    (gone,) = evict_reproducible(stored.home).artifacts
    done = export_bundle(stored.home, [stored.later], [], tmp_path / "after.repro")
    assert done.evicted == 1
    came = import_bundle(empty, tmp_path / "after.repro")
    assert came.evicted == [str(gone.digest)] and stored.train in came.runs
    assert evicted_by(empty, gone.digest) == stored.train
    assert check_store(empty).ok and not queries.rows(empty, "SELECT * FROM damages")
    assert not repository.by_digest(empty, gone.digest).is_whole()
    for home in (empty, stored.home):
        import_bundle(home, tmp_path / "before.repro")
        assert evicted_by(home, gone.digest) is None
        assert repository.by_digest(home, gone.digest).load()["w"].shape == (4000,)
        assert gone.digest in roots_of(home).artifacts


def test_deleted_checkpoints_and_versions_travel_as_deleted_and_delete_nothing_elsewhere(
    tmp_path: Path, empty: Home
) -> None:
    stored = fill(tmp_path / "store")
    kept = repository.put(stored.home, {"step": list(range(300))})
    names_ = ("checkpoint_step_1", "checkpoint_step_2")
    journal = journal_at(stored.home.journal)
    for name in names_:
        saved = repository.put(stored.home, {"name": name, "numbers": list(range(300))})
        journal.append(CheckpointSaved(stored.train, name, "step", name[-1], str(saved.digest), int(name[-1])))
    export_bundle(stored.home, [stored.later], [], tmp_path / "before.repro")
    journal.append(CheckpointDeleted(stored.train, names_[0], str(_checkpoint(stored, names_[0]))))
    first = _checkpoint(stored, names_[0])
    delete_versions(stored.home, [("eval-small", 1)])
    product = queries.rows(stored.home, "SELECT digest FROM run_outputs WHERE run_id = $r", {"r": stored.later})[0][
        "digest"
    ]
    collected(stored)
    assert not open_objects(stored.home).has(first) and not open_objects(stored.home).has(kept.digest)
    export_bundle(stored.home, [stored.later], [], tmp_path / "after.repro")
    import_bundle(empty, tmp_path / "after.repro")
    assert check_store(empty).ok and not queries.rows(empty, "SELECT * FROM damages")
    assert names.version(empty, "eval-small", 1, deleted=True).deleted
    assert queries.rows(empty, "SELECT digest FROM run_outputs WHERE run_id = $r", {"r": stored.later}) == [
        {"digest": product}
    ]
    assert queries.rows(empty, "SELECT name FROM deleted_checkpoints") == [{"name": names_[0]}]
    # Where all of it was kept, nothing of that counts.
    other = make_store(tmp_path / "other")
    import_bundle(other, tmp_path / "before.repro")
    before = roots_of(other).artifacts
    import_bundle(other, tmp_path / "after.repro")
    assert roots_of(other).artifacts == before and first in before
    assert not names.version(other, "eval-small", 1, deleted=True).deleted
    assert check_store(other).ok


def _checkpoint(stored: Stored, name: str) -> Digest:
    rows = queries.rows(stored.home, "SELECT digest FROM checkpoints WHERE name = $name", {"name": name})
    return Digest.parse(str(rows[0]["digest"]))
