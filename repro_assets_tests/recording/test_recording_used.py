"""The distributions that a run imported are on record, those of forked children too."""

from __future__ import annotations

import importlib.metadata

from recordings import Records, Script, finished

from repro_assets.journal.run_records import PackagesUsed


def names(used: PackagesUsed) -> set[str]:
    return set(used.packages)


def test_what_a_run_imported_is_recorded_and_nothing_else_that_is_installed(
    script: Script, records_of: Records
) -> None:
    finished(script("import yaml\nrun.end()\nimport networkx\n"))
    (used,) = records_of(PackagesUsed)
    assert used.run_id == "0" * 16
    assert used.packages["PyYAML"] == importlib.metadata.version("PyYAML")
    assert names(used) & {"networkx", "torch", "pandas"} == set()


def test_a_failed_run_says_it_too(script: Script, records_of: Records) -> None:
    finished(script("import yaml\nrun.end('FAILED', ValueError('no'))\n"))
    assert "PyYAML" in names(records_of(PackagesUsed)[0])


def test_a_forked_worker_adds_what_it_alone_imported(script: Script, records_of: Records) -> None:
    finished(
        script(
            """
import multiprocessing
def work(module):
    __import__(module)
context = multiprocessing.get_context("fork")
workers = [context.Process(target=work, args=(module,)) for module in ("yaml", "networkx", "json.tool")]
for worker in workers:
    worker.start()
for worker in workers:
    worker.join()
assert [worker.exitcode for worker in workers] == [0, 0, 0]
run.end()
"""
        )
    )
    told = [names(used) for used in records_of(PackagesUsed)]
    assert len(told) == 3, "a worker with nothing new writes nothing"
    assert sum("PyYAML" in each for each in told) == 1
    assert sum("networkx" in each for each in told) == 1


def test_a_plain_fork_that_leaves_by_itself_is_seen_and_one_without_an_open_run_is_not(
    script: Script, records_of: Records
) -> None:
    finished(
        script(
            """
def forked(module):
    child = os.fork()
    if child == 0:
        __import__(module)
        sys.exit()
    assert os.waitpid(child, 0)[1] == 0
forked("yaml")
run.end()
forked("networkx")
"""
        )
    )
    told = [names(used) for used in records_of(PackagesUsed)]
    assert len(told) == 2
    assert [("PyYAML" in each, "networkx" in each) for each in told].count((True, False)) == 1
    assert not any("networkx" in each for each in told)
