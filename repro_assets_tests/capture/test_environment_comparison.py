"""One thing is changed at a time, and exactly that is named."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from repro_assets.capture.comparison import diff_environments, version_change
from repro_assets.capture.environment import capture_environment
from repro_assets.errors import InvalidInput
from repro_assets.identity.canonical import decode, encode

GPU = {"index": 0, "name": "H100", "memory_bytes": 80 * 10**9, "driver": "550.9", "cuda_driver": "12.4", "ecc": True}


@pytest.fixture(scope="module")
def captured() -> dict[str, Any]:
    document = decode(encode(capture_environment(variables={"OMP_NUM_THREADS": "1", "TZ": "UTC"}).document))
    document["hardware"]["gpus"] = [dict(GPU), dict(GPU, index=1)]
    document["shadowed_packages"] = [{"name": "six", "version": "1.0"}]
    return document


def package(document: dict[str, Any], name: str) -> dict[str, Any]:
    return next(each for each in document["packages"] if each["name"] == name)


def without(document: dict[str, Any], name: str) -> None:
    document["packages"].remove(package(document, name))


CHANGES: dict[str, tuple[Callable[[dict[str, Any]], object], tuple[str, str, str, Any, str | None]]] = {
    "a package upgraded": (
        lambda d: package(d, "numpy").update(version="99.1"),
        ("changed", "package", "numpy", "99.1", "upgrade"),
    ),
    "a package downgraded": (
        lambda d: package(d, "numpy").update(version="0.9"),
        ("changed", "package", "numpy", "0.9", "downgrade"),
    ),
    "a package of another build": (
        lambda d: package(d, "numpy").update(version=package(d, "numpy")["version"] + "+mine"),
        ("changed", "package", "numpy", ..., "other build"),
    ),
    "a package made editable": (
        lambda d: package(d, "numpy").update(editable=True),
        ("changed", "package", "numpy", True, "editable"),
    ),
    "a package from elsewhere": (
        lambda d: package(d, "numpy").update(origin="git+https://host.org/n.git@ab"),
        ("changed", "package", "numpy", "git+https://host.org/n.git@ab", "origin"),
    ),
    "a package removed": (lambda d: without(d, "numpy"), ("removed", "package", "numpy", None, None)),
    "a package added": (
        lambda d: d["packages"].append({"name": "New_One", "version": "2"}),
        ("added", "package", "new-one", "2", None),
    ),
    "another hidden package": (
        lambda d: d["shadowed_packages"][0].update(version="1.1"),
        ("changed", "setting", "shadowed_packages[six].version", "1.1", None),
    ),
    "another Python": (
        lambda d: d["python"].update(version="3.99.0"),
        ("changed", "setting", "python.version", "3.99.0", "upgrade"),
    ),
    "optimized": (lambda d: d["python"].update(optimize=1), ("changed", "setting", "python.optimize", 1, None)),
    "another kernel": (lambda d: d["os"].update(kernel="1"), ("changed", "setting", "os.kernel", "1", None)),
    "another commit of torch": (
        lambda d: d["torch"].update(git_version="ab"),
        ("changed", "setting", "torch.git_version", "ab", None),
    ),
    "CUDA where none was": (lambda d: d["torch"].update(cuda="12.4"), ("added", "setting", "torch.cuda", "12.4", None)),
    "another thread count": (
        lambda d: d["variables"].update(OMP_NUM_THREADS="4"),
        ("changed", "setting", "variables.OMP_NUM_THREADS", "4", None),
    ),
    "a variable set": (
        lambda d: d["variables"].update(MKL_CBWR="AVX2"),
        ("added", "setting", "variables.MKL_CBWR", "AVX2", None),
    ),
    "a variable gone": (lambda d: d["variables"].pop("TZ"), ("removed", "setting", "variables.TZ", None, None)),
    "more memory": (
        lambda d: d["hardware"].update(memory_bytes=1),
        ("changed", "setting", "hardware.memory_bytes", 1, None),
    ),
    "an instruction set": (
        lambda d: d["hardware"]["cpu"]["flags"].append("zz_new"),
        ("added", "setting", "hardware.cpu.flags.zz_new", "zz_new", None),
    ),
    "a newer driver": (
        lambda d: d["hardware"]["gpus"][1].update(driver="1000.1"),
        ("changed", "setting", "hardware.gpus[1].driver", "1000.1", "upgrade"),
    ),
    "ECC off": (
        lambda d: d["hardware"]["gpus"][0].update(ecc=False),
        ("changed", "setting", "hardware.gpus[0].ecc", False, None),
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_exactly_what_was_changed_is_named(captured: dict[str, Any], change: str) -> None:
    edit, (where, part, name, value, how) = CHANGES[change]
    edited = copy.deepcopy(captured)
    edit(edited)
    diff = diff_environments(captured, edited)
    (only,) = [*diff.added, *diff.removed, *diff.changed]
    assert (only.part, only.name, only.how) == (part, name, how)
    assert only.b == value or value is ...
    assert [each["name"] for each in diff.document()[where]] == [name]
    assert not diff.not_compared and not diff.equal
    back = diff_environments(edited, captured)
    (other,) = [*back.added, *back.removed, *back.changed]
    assert (other.name, other.a, other.b) == (only.name, only.b, only.a)


def test_an_environment_does_not_differ_from_itself(captured: dict[str, Any]) -> None:
    diff = diff_environments(captured, copy.deepcopy(captured))
    assert diff.equal and not diff.not_compared and not diff.lines()


@pytest.mark.parametrize(
    ("a", "b", "how"),
    [
        ("1.0", "1.0.0", None),
        ("1.0rc1", "1.0.rc1", None),
        ("9.0", "12.1", "upgrade"),
        ("1.0", "1.0.dev3", "downgrade"),
        ("2.13.0+cpu", "2.13.0+cu126", "other build"),
        ("2.13.0+cpu", "2.13.0", "other build"),
        ("2.12.0+cu126", "2.13.0+cpu", "upgrade"),
        ("a-version", "a-version", None),
        ("a-version", "1.0", "changed"),
    ],
)
def test_versions_are_compared_as_versions(a: str, b: str, how: str | None) -> None:
    assert version_change(a, b) == how


def test_names_are_compared_as_the_index_spells_them() -> None:
    a = {"packages": [{"name": "ruamel.yaml", "version": "1"}]}
    assert diff_environments(a, {"packages": [{"name": "Ruamel_YAML", "version": "1.0"}]}).equal


def test_what_only_one_record_speaks_of_is_named_and_no_difference(captured: dict[str, Any]) -> None:
    basic = {**capture_environment("basic").document, "shadowed_packages": captured["shadowed_packages"]}
    diff = diff_environments(basic, captured)
    assert diff.equal, "its level is no difference of an environment"
    assert diff.not_compared["hardware"] == "the first does not have it (captured at level basic)"
    assert {"torch", "variables", "host"} <= set(diff.not_compared)
    broken = {**captured, "packages": [], "unavailable": {**captured["unavailable"], "packages": "OSError: disk"}}
    diff = diff_environments(captured, broken)
    assert diff.not_compared == {"packages": "the second could not be captured: OSError: disk"}
    assert diff.equal
    old = {"packages": [{"name": "numpy"}], "python": {"version": "3.8"}}
    assert [each.how for each in diff_environments(captured, old).changed if each.part == "package"] == [None]


def test_what_a_sensor_could_not_read_is_not_compared(captured: dict[str, Any]) -> None:
    seen = {**captured, "unavailable": {}}
    blind = copy.deepcopy(seen)
    blind["hardware"]["gpus"], blind["unavailable"] = [], {"gpus": "no NVML", "packages.x.dist-info": "no metadata"}
    for diff, which in ((diff_environments(seen, blind), "second"), (diff_environments(blind, seen), "first")):
        assert diff.equal, diff.lines()
        assert diff.not_compared == {
            "gpus": f"the {which} could not be captured: no NVML",
            "packages.x.dist-info": f"the {which} could not be captured: no metadata",
        }
    other = copy.deepcopy(blind)
    other["unavailable"]["gpus"] = "no permission"
    assert diff_environments(blind, other).equal and not diff_environments(blind, other).not_compared
    gone = copy.deepcopy(seen)
    del gone["hardware"]["gpus"][1]
    assert {each.name for each in diff_environments(seen, gone).removed} >= {"hardware.gpus[1].driver"}
    one = copy.deepcopy(seen)
    one["hardware"]["gpus"][0].update(ecc=None, driver="1000.1")
    one["unavailable"] = {"gpus[0].ecc": "not supported"}
    assert [each.name for each in diff_environments(seen, one).changed] == ["hardware.gpus[0].driver"]
    assert not diff_environments(seen, one).removed


def test_torch_that_is_gone_is_a_difference(captured: dict[str, Any]) -> None:
    diff = diff_environments(captured, {**captured, "torch": None})
    assert {each.name for each in diff.removed} >= {"torch.version", "torch.git_version"}


@pytest.mark.parametrize("wrong", [{}, {"files": []}, {"packages": {"a": 1}}, {"packages": [{"version": "1"}]}, []])
def test_what_is_no_environment_is_refused(captured: dict[str, Any], wrong: Any) -> None:
    with pytest.raises(InvalidInput, match="the second is no captured environment"):
        diff_environments(captured, wrong)


def test_the_document_is_json_and_each_line_says_what_changed(captured: dict[str, Any]) -> None:
    edited = copy.deepcopy(captured)
    package(edited, "numpy")["version"] = "99.1"
    without(edited, "pandas")
    diff = diff_environments(captured, edited)
    assert json.loads(json.dumps(diff.document()))["changed"][0]["how"] == "upgrade"
    assert diff.lines() == [
        f"numpy {package(captured, 'numpy')['version']} -> 99.1",
        f"pandas {package(captured, 'pandas')['version']} removed",
    ]
