"""No planted credential reaches the store, the journal, the catalog or Dagster's storage in a real run."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from planted_secrets import core, planted

from repro_assets.artifacts import repository
from repro_assets.artifacts.kinds import DECODERS
from repro_assets.identity.digest import Digest
from repro_assets.store.opening import open_objects

# What exists to hold credentials is known by its name; only what is in it could be found anywhere.
KINDS = {name: entry for name, entry in planted().items() if re.search(r"[A-Za-z0-9_-]{12,}", entry[1])}


def git(root: Path, *words: str, given: str | None = None) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", "-C", str(root), *identity, *words], check=True, input=given, text=True)


def plant(root: Path) -> dict[str, str]:
    """Put every secret into every place that takes it, and return the variables that hold them."""
    left: dict[str, tuple[str, str]] = {}
    for number, (_, text, path) in enumerate(KINDS.values()):
        for place in ("kept", "removed", "changed", "staged", "untracked"):
            left[f"planted/{number}/{place}/{path}"] = place, f"{text}\n"
    for file, (place, text) in left.items():
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        if place != "untracked":
            (root / file).write_text(text if place in ("kept", "removed") else "nothing\n")
    git(root, "init", "-q", "-b", f"work-{core(KINDS['GitHub'][1])}")
    git(root, "add", "-A", "-f")
    message = "\n".join(["First", *(text for _, text, _ in KINDS.values())])
    git(root, "commit", "-q", "-F", "-", given=message)
    for file, (place, text) in left.items():
        (root / file).write_text({"removed": "gone\n"}.get(place, text))
    git(root, "add", "-f", *(file for file, (place, _) in left.items() if place == "staged"))
    remotes = {
        f"a{number}": "https" + f"://me:{core(text)}@host.org/x.git?token={core(text)}"
        for number, (_, text, _) in enumerate(KINDS.values())
    }
    for name in ("GitHub", "GitLab", "Hugging Face", "Slack", "npm"):
        token = KINDS[name][1]
        remotes[f"b {name}"] = "https" + f"://host.org/{token}/x.git"
        git(root, "tag", f"v1-{token}")
        (root / f"{token}.txt").write_text("")
    with (root / ".git/config").open("a") as file:
        file.writelines(f'[remote "{name}"]\n\turl = {url}\n' for name, url in remotes.items())
    (root / "harmless.txt").write_text("plain\n")
    conda = root.parent / "conda"
    (conda / "conda-meta").mkdir(parents=True)
    record = {"name": "x", "version": "1", "channel": "https" + f"://host.org/t/{core(KINDS['GitLab'][1])}/main"}
    (conda / "conda-meta/x-1-0.json").write_text(json.dumps(record))
    planted_variables = {
        # That an ordinary word is a secret is known from the name of its file alone.
        f"PLANTED_{number}": text
        for number, (kind, text, _) in enumerate(KINDS.values())
        if kind != "environment-file"
    }
    return {
        **planted_variables,
        **{f"NCCL_{name}": text for name, text in planted_variables.items()},
        "REPRO_CAPTURE_ALLOW": "PLANTED_*,APP_*",
        "APP_TOKEN": "horse-battery",
        "CONDA_PREFIX": str(conda),
    }


def kept(home: Any) -> Iterator[tuple[str, bytes]]:
    """Yield everything that was written, decoded."""
    for path in home.root.rglob("*"):
        if path.is_file():
            yield str(path.relative_to(home.root)), path.read_bytes()
    objects = open_objects(home, DECODERS)
    for digest in objects.digests():
        yield str(digest), objects.read(digest)
    for path in home.dagster.rglob("*.db"):
        with closing(sqlite3.connect(path)) as connection:
            tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            for table in tables:
                for row in connection.execute(f'SELECT * FROM "{table}"'):
                    for value in row:
                        data = value if isinstance(value, bytes) else str(value).encode()
                        yield f"{path.name} {table}", data
                        if data[:1] == b"x":
                            try:
                                yield f"{path.name} {table}", zlib.decompress(data)
                            except zlib.error:
                                continue


def catalog(project: Any) -> Iterator[tuple[str, bytes]]:
    names = "SELECT schema_name AS schema, table_name AS name FROM duckdb_tables() UNION ALL "
    names += "SELECT schema_name, view_name FROM duckdb_views() WHERE NOT internal"
    for table in project.rows(names):
        place = f'"{table["schema"]}"."{table["name"]}"'
        yield place, json.dumps(project.rows(f"SELECT * FROM {place}"), default=str).encode()


@pytest.mark.slow
def test_no_planted_secret_is_kept_anywhere_and_what_was_left_out_is_named(project: Any) -> None:
    assert len({kind for kind, _, _ in KINDS.values()}) >= 18 and len(KINDS) >= 24
    variables = plant(project.root)
    # Another hash seed makes it a process of its own, which is started with these variables.
    made = project.run({**variables, "PYTHONHASHSEED": "1"}, selection=["plain/up", "frame"])
    assert made["state"] == "COMPLETED", made
    secrets = {name: core(text).encode() for name, (_, text, _) in KINDS.items()}
    found = {
        (name, place)
        for place, data in (*kept(project.home), *catalog(project))
        for name, secret in secrets.items()
        if secret in data
    }
    assert not sorted(found)
    sources = project.rows("SELECT left_out, branch, tags, message, dirty FROM sources WHERE source IS NOT NULL")
    assert len(sources) == 2
    for source in sources:
        named = {each["path"]: each["reason"] for each in json.loads(source["left_out"])}
        for number, (_, _, path) in enumerate(KINDS.values()):
            for place in ("kept", "changed", "staged", "untracked"):
                assert "secret" in named[f"planted/{number}/{place}/{path}"]
        assert source["branch"] == "work-<github-token>"
        assert "v1-<github-token>" in source["tags"]
        assert source["message"] is None and source["dirty"]
    (environment,) = project.rows("SELECT variables, unavailable, document FROM environments")
    assert "horse-battery" not in json.dumps(environment)
    refused = json.loads(environment["unavailable"])
    assert {f"variables.{name}" for name in variables if "PLANTED" in name} <= set(refused)
    assert all("horse" not in reason for reason in refused.values())
    (diff,) = {row["diff"] for row in project.rows("SELECT diff FROM sources WHERE source IS NOT NULL")}
    assert repository.by_digest(project.home, Digest.parse(diff)).load().count(b"diff --git") == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "asked",
    [
        {"assets": {"plain/up": {"note": "SECRET"}}},
        {"settings": {"experiment": "SECRET"}},
        {"settings": {"tags": ["a", "SECRET"]}},
        {"tags": {"note": "SECRET"}},
    ],
)
def test_a_request_with_a_secret_in_its_config_is_refused_because_dagster_would_keep_it(
    project: Any, asked: dict[str, Any]
) -> None:
    token = KINDS["GitHub"][1]
    request = json.loads(json.dumps(asked).replace("SECRET", token))
    answer = project.run(selection=["plain/up"], **request)
    assert (answer["run_id"], answer["state"]) == (None, "FAILED")
    (error,) = answer["errors"]
    assert error["exit_code"] == 2
    assert "github-token" in error["message"]
    assert token not in json.dumps(answer)
    assert not [place for place, data in kept(project.home) if token.encode() in data]
