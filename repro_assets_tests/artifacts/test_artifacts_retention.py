"""What is kept, for whose sake, and what deleting it lets go."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from repro_assets.artifacts import aliases, deletion, eviction, names, policy, repository, retention
from repro_assets.artifacts.handle import Artifact
from repro_assets.artifacts.kinds import DECODERS
from repro_assets.artifacts.policy import CheckpointRule, Policy
from repro_assets.artifacts.room import Room, Use, measure_uses
from repro_assets.artifacts.soundness import check_store
from repro_assets.errors import CorruptRecord, InvalidValue, MissingObject, UnknownName
from repro_assets.identity.digest import Digest
from repro_assets.journal import artifact_records, records, run_records
from repro_assets.journal.segments import journal_at
from repro_assets.recording.lifetime import begin
from repro_assets.recording.run import Run
from repro_assets.store.collection import collect
from repro_assets.store.home import Home, make_store
from repro_assets.store.leases import lease_on
from repro_assets.store.opening import open_objects


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return make_store(tmp_path / "store")


def gc(home: Home) -> None:
    lease_on(home).release()
    collect(open_objects(home, DECODERS), lambda: retention.roots_of(home), delete=True, now=True)


def put(home: Home, number: int, collection: str | None = None) -> Artifact:
    stored = repository.put(home, bytes([number]) * 5000)
    return stored if collection is None else repository.claim(stored, collection)


def run(home: Home, run_id: str, *, reads: Artifact | None = None, checkpoints: int = 0) -> tuple[Run, Artifact]:
    """A run whose product, checkpoints, source and environment are its own."""
    seed = sum(run_id.encode())
    source, environment = (
        repository.put(home, f"{what} {run_id}".encode() * 100) for what in ("source", "environment")
    )
    begun = begin(
        home,
        run_records.RunStarted(
            run_id, "asset", run_id, asset="a", source=str(source.digest), environment=str(environment.digest)
        ),
    )
    if reads is not None:
        begun.use("given", reads)
    for step in range(checkpoints):
        begun.checkpoint("step", step, f"{run_id} {step}".encode() * 100, step=step, metrics={"loss": (step - 1) ** 2})
    made = begun.log_output("result", bytes([seed % 256]) * 7000, name=f"model-{run_id}", collection="model")
    return begun, made


def replayed(home: Home, run_id: str, verdict: str = "identical") -> None:
    journal_at(home.journal).append(run_records.ReplayMade(run_id, None, verdict))


def test_everything_that_a_kept_run_names_stays(home: Home) -> None:
    given, loose = put(home, 1), put(home, 2)
    begun, made = run(home, "aaaaaaaa11111111", reads=given, checkpoints=2)
    result = repository.put(home, b"result" * 1000)
    begun.log_evaluation("eval", made, given, result, {"accuracy": 1.0})
    before = set(open_objects(home).digests())
    gc(home)
    gone = before - set(open_objects(home).digests())
    assert gone == {loose.digest, Digest.of(b"\x02" * 5000)}
    assert check_store(home, full=True).ok


def test_what_is_collected_is_no_damage_and_what_is_lost_is(home: Home) -> None:
    kept, gone = put(home, 1, "data"), put(home, 2, "data")
    deletion.delete_versions(home, [("data", 2)])
    gc(home)
    assert check_store(home, full=True).ok and not gone.is_whole() and kept.is_whole()
    open_objects(home).path(Digest.of(b"\x01" * 5000)).unlink()
    found = check_store(home)
    assert [item["affects"] for item in found.missing] == [["data:v1"]]


def test_a_deleted_version_keeps_its_number_and_is_named_no_more(home: Home) -> None:
    for number in range(3):
        put(home, number, "data")
    (done,) = deletion.delete_versions(home, [("data", 3)])
    assert (done.version, done.kept_by) == (3, [])
    assert names.newest(home, "data").number == 2
    with pytest.raises(UnknownName, match="data:v3 was deleted"):
        names.version(home, "data", 3)
    assert put(home, 2, "data").version == 4, "the same content again is another version"
    assert deletion.delete_versions(home, [("data", 3)])[0].version == 3, "twice does no harm"
    assert sum(isinstance(r.payload, artifact_records.VersionDeleted) for r in journal(home)) == 1
    assert names.newest(home, "data").number == 4


def journal(home: Home) -> list[records.Record]:
    from repro_assets.journal.segments import list_segments, read_segment

    found = [item for path in list_segments(home.journal) for item, _ in read_segment(path)]
    return [item for item in found if isinstance(item, records.Record)]


def test_what_keeps_the_bytes_of_a_deleted_version_is_named(home: Home) -> None:
    given = put(home, 1, "data")
    run(home, "aaaaaaaa11111111", reads=given)
    (done,) = deletion.delete_versions(home, [("data", 1)])
    assert done.kept_by == ["input given of run aaaaaaaa11111111"]
    gc(home)
    assert given.is_whole()


def test_what_an_alias_names_is_refused(home: Home) -> None:
    first = put(home, 1, "data")
    second = put(home, 2, "data")
    aliases.move(home, repository.version_of(second), "production")
    with pytest.raises(InvalidValue, match="data:v2 is data@production"):
        deletion.delete_versions(home, [("data", 1), ("data", 2)])
    gc(home)
    assert first.is_whole(), "nothing was deleted"
    deletion.delete_versions(home, [("data", 2)], force=True)
    gc(home)
    assert not second.is_whole() and first.is_whole()


def test_a_deleted_run_lets_go_of_what_only_it_names(home: Home) -> None:
    given = put(home, 1, "data")
    begun, made = run(home, "aaaaaaaa11111111", reads=given, checkpoints=2)
    begun.end()
    ledger = retention.read_ledger(home)
    chosen = deletion.choose_runs(ledger, [begun.run_id])
    size, number = Room(home, ledger).freed(chosen)
    deletion.execute(home, chosen, ledger)
    lease_on(home).release()
    done = collect(open_objects(home, DECODERS), lambda: retention.roots_of(home), delete=True, now=True)
    assert (done.freed_objects, done.freed_bytes) == (number, size) == (8, size)
    assert made.is_whole() and given.is_whole(), "versions keep them"
    ledger = retention.read_ledger(home)
    deletion.execute(home, deletion.choose_runs(ledger, [begun.run_id], versions=True), ledger)
    gc(home)
    assert not made.is_whole() and given.is_whole()


def test_runs_under_a_parent_are_deleted_with_it(home: Home) -> None:
    begin(home, run_records.RunStarted("parent", "parent", "p")).end()
    begin(home, run_records.RunStarted("child", "asset", "c", parent_run_id="parent")).end()
    assert deletion.choose_runs(retention.read_ledger(home), ["parent"]).runs == {"parent", "child"}


def test_the_figures_are_what_deleting_frees(home: Home) -> None:
    shared = repository.put(home, {"a": "x" * 9000, "b": 1})
    repository.claim(shared, "one")
    repository.claim(shared, "two")
    put(home, 1, "one")
    put(home, 2, "one")
    uses = {use.name: use for use in measure_uses(home)}
    assert uses["one:v1"].bytes == uses["two"].bytes == 0 < uses["two"].uses
    assert uses["one"].bytes == uses["one:v2"].bytes + uses["one:v3"].bytes
    for name, key in (("one:v2", ("one", 2)), ("two:v1", ("two", 1))):
        deletion.delete_versions(home, [key])
        lease_on(home).release()
        done = collect(open_objects(home, DECODERS), lambda: retention.roots_of(home), delete=True, now=True)
        assert (done.freed_bytes, done.freed_objects) == (uses[name].bytes, uses[name].objects)
    assert {use.name: use.bytes for use in measure_uses(home)}["one:v1"] > 0, "nobody shares it now"
    assert isinstance(uses["one"], Use)


def test_aliases_have_a_history_and_go_back(home: Home) -> None:
    versions = [repository.version_of(put(home, number, "data")) for number in range(3)]
    for version in versions:
        aliases.move(home, version, "best")
    moves = aliases.history(home, "data", "best")
    assert [move.version for _, move in moves] == [1, 2, 3]
    assert [move.replaces for _, move in moves] == [None, moves[0][0].id, moves[1][0].id]
    assert [aliases.roll_back(home, "data", "best").version for _ in range(2)] == [2, 1]
    with pytest.raises(UnknownName, match="nothing before"):
        aliases.roll_back(home, "data", "best")
    assert aliases.roll_back(home, "data", "best", versions[2]).version == 3
    assert retention.read_ledger(home).aliases() == {("data", 3): ["best"]}
    deletion.delete_versions(home, [("data", 1)])
    with pytest.raises(UnknownName, match="before v3 was deleted: v1"):
        aliases.roll_back(home, "data", "best")


@pytest.mark.parametrize("word", ["latest", "v3", "", "a b", "-x", "a/b", "a@b"])
def test_words_that_mean_something_else_are_no_alias(home: Home, word: str) -> None:
    version = repository.version_of(put(home, 1, "data"))
    with pytest.raises(InvalidValue, match="cannot be an alias"):
        aliases.move(home, version, word)


def _mover(root: Path, number: int) -> None:
    home = Home(root)
    for _ in range(10):
        aliases.move(home, names.version(home, "data", number), "best")


def test_no_move_is_lost_when_processes_move_at_once(home: Home) -> None:
    for number in range(4):
        put(home, number, "data")
    context = multiprocessing.get_context("spawn")
    movers = [context.Process(target=_mover, args=(home.root, number)) for number in (1, 2, 3, 4)]
    for mover in movers:
        mover.start()
    for mover in movers:
        mover.join()
        assert mover.exitcode == 0
    moves = aliases.history(home, "data", "best")
    assert len(moves) == 40
    replaced = [move.replaces for _, move in moves]
    assert len(set(replaced)) == 40, "each replaces another"
    assert len(retention.read_ledger(home).aliases()) == 1


def test_rules_keep_the_last_the_aliased_and_the_best(home: Home) -> None:
    for number in range(5):
        put(home, number, "data")
    aliases.move(home, names.version(home, "data", 2), "production")
    begun, _ = run(home, "aaaaaaaa11111111", checkpoints=5)
    rules = Policy({"*": 9, "data": 2}, CheckpointRule(1, "loss", "min"))
    policy.write_policy(home, rules)
    assert policy.read_policy(home) == rules
    chosen = policy.plan(rules, retention.read_ledger(home))
    assert chosen.versions == {("data", 1), ("data", 3)} and not chosen.checkpoints, "the run has not ended"
    begun.end()
    ledger = retention.read_ledger(home)
    chosen = policy.plan(rules, ledger)
    assert {name for _, name in chosen.checkpoints} == {"checkpoint_step_0", "checkpoint_step_2", "checkpoint_step_3"}
    size, number = Room(home, ledger).freed(chosen)
    deletion.execute(home, chosen, ledger)
    lease_on(home).release()
    done = collect(open_objects(home, DECODERS), lambda: retention.roots_of(home), delete=True, now=True)
    assert (done.freed_bytes, done.freed_objects) == (size, number)
    assert not policy.plan(rules, retention.read_ledger(home))
    assert check_store(home).ok


def test_without_rules_all_is_kept_and_a_damaged_file_of_rules_is_named(home: Home) -> None:
    put(home, 1, "data")
    assert not policy.plan(policy.read_policy(home), retention.read_ledger(home))
    (home.root / "retention.json").write_text('{"format": 1, "collections": []}')
    with pytest.raises(CorruptRecord, match=r"retention\.json.*repro store policy set"):
        policy.read_policy(home)


def test_only_what_is_shown_to_come_back_is_evicted(home: Home) -> None:
    given = put(home, 1, "data")
    made = {}
    for letter in "abcdef":
        begun, made[letter] = run(home, letter * 16, reads=given)
        begun.end()
    replayed(home, "a" * 16)
    replayed(home, "b" * 16, "diverged")
    replayed(home, "c" * 16)
    replayed(home, "c" * 16, "not_comparable")
    replayed(home, "d" * 16)
    aliases.move(home, repository.version_of(made["d"]), "production")
    replayed(home, "e" * 16)
    ledger = retention.read_ledger(home)
    deletion.execute(home, deletion.choose_runs(ledger, ["e" * 16]), ledger)
    lease_on(home).release()
    told = eviction.evict_reproducible(home, dry_run=True)
    assert made["a"].is_whole() and [item.digest for item in told.artifacts] == [made["a"].digest]
    done = eviction.evict_reproducible(home)
    assert (done.objects, [item.run_id for item in done.artifacts]) == (told.objects, ["a" * 16])
    assert [letter for letter in "abcdef" if not made[letter].is_whole()] == ["a"]
    assert given.is_whole() and made["a"].manifest.size == 7000
    assert eviction.evicted_by(home, made["a"].digest) == "a" * 16
    assert eviction.evicted_by(home, made["b"].digest) is None
    with pytest.raises(MissingObject):
        made["a"].load()
    gc(home)
    assert check_store(home, full=True).ok
    assert not eviction.evict_reproducible(home).artifacts


def test_an_evicted_artifact_that_was_put_again_stays(home: Home) -> None:
    begun, made = run(home, "a" * 16)
    begun.end()
    replayed(home, "a" * 16)
    lease_on(home).release()
    eviction.evict_reproducible(home)
    assert not made.is_whole()
    journal_at(home.journal).close()
    run(home, "a" * 16)
    gc(home)
    assert made.is_whole() and eviction.evicted_by(home, made.digest) is None


def test_two_artifacts_that_need_each_other_are_not_both_evicted(home: Home) -> None:
    first, second = put(home, 1), put(home, 2)
    for run_id, reads, makes in (("a" * 16, first, second), ("b" * 16, second, first)):
        source = repository.put(home, run_id.encode() * 100)
        begun = begin(home, run_records.RunStarted(run_id, "asset", run_id, source=str(source.digest)))
        begun.use("given", reads)
        begun.log_output("result", makes, name=f"model-{run_id}")
        begun.end()
        replayed(home, run_id)
    # One that passes on what it reads makes nothing.
    begun = begin(home, run_records.RunStarted("c" * 16, "asset", "c", source=str(source.digest)))
    third = put(home, 3)
    begun.use("given", third)
    begun.log_output("result", third, name="model-c")
    begun.end()
    replayed(home, "c" * 16)
    lease_on(home).release()
    assert len(eviction.evict_reproducible(home).artifacts) == 1
    assert sum(item.is_whole() for item in (first, second)) == 1 and third.is_whole()
