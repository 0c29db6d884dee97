"""Where a remote is: its name, its address, and what is said where it does not answer."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import pytest
from s3_server import CREDENTIALS, S3Server
from shared_stores import fails, put_version, store_at

from repro_assets.artifacts import sharing
from repro_assets.errors import InvalidValue, MachineError, ReusedElsewhere, UnknownName
from repro_assets.store.remote import configured
from repro_assets.store.remote.bucket import canonical_url


def test_a_remote_that_nobody_answers_for_is_an_error_within_a_bounded_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}.items():
        monkeypatch.setenv(name, value)
    home = store_at(tmp_path, "here")
    put_version(home, "model", [1])
    assert fails(lambda: sharing.push(home, "s3://bucket"), MachineError, "s3://bucket does not answer") < 30
    assert fails(lambda: sharing.pull(home, "s3://bucket"), MachineError, "s3://bucket does not answer") < 30


def test_a_bucket_or_folder_that_is_not_there_is_named(tmp_path: Path, s3: S3Server) -> None:
    home = store_at(tmp_path, "here")
    put_version(home, "model", [1])
    for address in ("s3://no-such-bucket/x", str(tmp_path / "no" / "folder")):
        with pytest.raises(UnknownName, match="there is no"):
            sharing.push(home, address)
        with pytest.raises(UnknownName, match="there is no"):
            sharing.pull(home, address)


def test_what_is_no_folder_or_no_remote_is_left_as_it_is(tmp_path: Path) -> None:
    home = store_at(tmp_path, "here")
    put_version(home, "model", [1])
    absent, photos = tmp_path / "absent", tmp_path / "photos"
    photos.mkdir()
    (photos / "one.jpg").write_bytes(b"light")
    actions: list[Callable[..., object]] = [sharing.push, sharing.pull]
    for action in (*actions, functools.partial(configured.add_remote, name="disk")):
        with pytest.raises(UnknownName, match="there is no folder"):
            action(home, address=str(absent))
    with pytest.raises(UnknownName, match="holds nothing of a store"):
        sharing.pull(home, str(photos))
    assert not absent.exists() and configured.list_remotes(home) == []
    assert [path.name for path in photos.iterdir()] == ["one.jpg"]


def test_credentials_that_are_refused_are_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = S3Server(tmp_path / "log", INITIAL_NO_AUTH_ACTION_COUNT="1")
    try:
        server.make_bucket("bucket")
        for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": server.url}.items():
            monkeypatch.setenv(name, value)
        home = store_at(tmp_path, "here")
        put_version(home, "model", [1])
        with pytest.raises(MachineError, match=r"refuses the credentials.*AWS_ACCESS_KEY_ID") as failed:
            sharing.push(home, "s3://bucket")
        assert CREDENTIALS["AWS_SECRET_ACCESS_KEY"] not in str(failed.value).replace("AWS_SECRET_ACCESS_KEY", "")
    finally:
        server.end()


def test_remotes_have_names_and_no_credentials(tmp_path: Path) -> None:
    home = store_at(tmp_path, "here")
    configured.add_remote(home, "one", "s3://bucket/a/", default=True)
    configured.add_remote(home, "two", str(tmp_path), default=True)
    assert [(r.name, r.url, r.default) for r in configured.list_remotes(home)] == [
        ("one", "s3://bucket/a", False),
        ("two", tmp_path.as_uri(), True),
    ]
    assert configured.find_remote(home, "one") == "s3://bucket/a"
    with pytest.raises(ReusedElsewhere):
        configured.add_remote(home, "one", "s3://other")
    with pytest.raises(UnknownName, match="one, two"):
        configured.find_remote(home, "three")
    for address in ("s3://key:secret@bucket/x", "az://container/x?sig=secret", "ftp://host/x", "s3://", "file:///"):
        with pytest.raises(InvalidValue) as refused:
            configured.add_remote(home, "bad", address)
        assert "secret" not in str(refused.value)
    assert "secret" not in home.remotes.read_text()


@pytest.mark.parametrize("address", ["s3://b/p", "gs://b/p/q", "az://c", "file:///a/b"])
def test_an_address_has_one_form(address: str) -> None:
    assert canonical_url(address) == canonical_url(address + "/") == canonical_url(canonical_url(address))
