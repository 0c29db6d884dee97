"""What is read is noted if it is on no record, and only then."""

from __future__ import annotations

import io
import os
import pathlib
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from repro_assets.capture import audit_events, undeclared
from repro_assets.capture.asker import asker
from repro_assets.capture.undeclared import Window
from repro_assets.store import sources

Open = Callable[..., Window]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project with a captured file, and beside it what is on no record; all of it is older than the windows."""
    root = tmp_path / "theirs"
    (root / "__pycache__").mkdir(parents=True)
    for name in ("config.json", "features.cache", "near.py"):
        (root / name).write_text("there")
    (tmp_path / "far.txt").write_text("far away")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "one.csv").write_text("1")
    time.sleep(0.02)
    return root


@pytest.fixture
def opened(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    monkeypatch.chdir(root)
    windows = []

    def make(*sources: str, **options: object) -> Window:
        given = {"sources": {str(root / name) for name in ("config.json", *sources)}, **options}
        windows.append(Window(root, time.time_ns() - 10_000_000, **given))  # type: ignore[arg-type]
        audit_events.open_window(windows[-1])
        return windows[-1]

    yield make
    for window in windows:
        audit_events.close_window(window)


def names(window: Window) -> list[tuple[str, str]]:
    return [(noted.kind, noted.name) for noted in window.noted()]


def test_files_that_are_on_no_record_are_noted_with_size_time_and_count(root: Path, opened: Open) -> None:
    window = opened()
    far = root.parent / "far.txt"
    (root / "config.json").read_text()
    for _ in range(3):
        Path("features.cache").read_text()
    far.read_bytes()
    assert names(window) == [("file", "features.cache"), ("file", str(far))]
    cache, other = window.noted()
    assert (cache.count(), other.count()) == (3, 1)
    facts = far.stat()
    assert (other.size, other.mtime_ns) == (8, facts.st_mtime_ns)


@pytest.mark.parametrize(
    "read",
    [
        lambda path: io.FileIO(os.fsencode(path)).close(),
        lambda path: os.close(os.open(path, os.O_RDONLY)),
        lambda path: os.close(os.open(path, os.O_RDWR)),
        lambda path: path.open("r+").close(),
        lambda path: path.open("a+").close(),
        lambda path: shutil.copyfile(path, "made"),
        lambda path: sqlite3.connect(path).close(),
        lambda path: sqlite3.connect(f"file:{path}?mode=ro", uri=True).close(),
    ],
)
def test_whatever_opens_it(root: Path, opened: Open, read: Callable[[Path], object]) -> None:
    window = opened()
    read(root / "features.cache")
    assert names(window) == [("file", "features.cache")]


def test_what_another_thread_reads_is_noted_and_no_read_is_lost(root: Path, opened: Open) -> None:
    window = opened()

    def read() -> None:
        for _ in range(200):
            (root / "features.cache").read_text()

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [noted.count() for noted in window.noted()] == [800]


def test_what_is_written_first_is_the_processes_own(root: Path, opened: Open) -> None:
    window = opened()
    Path("made.txt").write_text("x")
    Path("made.txt").read_text()
    (root / "features.cache").write_text("another")
    (root / "features.cache").read_text()
    # By a program that tells nothing of it, and with a time that it has kept.
    subprocess.run(["cp", "-p", str(root.parent / "far.txt"), "copied.txt"], check=True)
    Path("copied.txt").read_text()
    assert names(window) == []


def test_what_is_added_to_an_old_file_does_not_make_it_the_processes_own(root: Path, opened: Open) -> None:
    window = opened()
    with (root / "features.cache").open("a") as file:
        file.write("more")
    assert names(window) == []
    (root / "features.cache").read_text()
    (noted,) = window.noted()
    assert (noted.name, noted.size) == ("features.cache", 5)


def test_an_input_counts_as_declared_whenever_that_is_said(root: Path, opened: Open) -> None:
    far, folder = root.parent / "far.txt", root.parent / "folder"
    before = opened(declared=[str(far)])
    far.read_text()
    (folder / "one.csv").read_text()
    assert names(before) == [("file", str(folder / "one.csv"))]
    before.declare(folder)
    assert names(before) == []


def test_without_a_captured_tree_nothing_of_the_project_is_noted(root: Path, opened: Open) -> None:
    window = opened(sources=None)
    (root / "features.cache").read_text()
    (root.parent / "far.txt").read_text()
    assert names(window) == [("file", str(root.parent / "far.txt"))]


def test_links_are_followed_to_what_is_read(root: Path, opened: Open) -> None:
    (root / "to_cache").symlink_to("features.cache")
    (root / "to_config").symlink_to(root / "config.json")
    (root.parent / "way_in").symlink_to(root)
    time.sleep(0.02)
    window = opened("to_cache", "to_config")
    (root / "to_config").read_text()
    (root.parent / "way_in" / "config.json").read_text()
    assert names(window) == []
    (root / "to_cache").read_text()
    (root.parent / "way_in" / "features.cache").read_text()
    assert names(window) == [("file", "to_cache")]


def test_nothing_of_system_interpreter_packages_and_git_is_noted(root: Path, opened: Open) -> None:
    places = [root / ".git" / "HEAD", root / "x.egg-info" / "entry_points.txt", root / "lib.so", root / "lib.so.1"]
    places += [root.parent / "site-packages" / "x" / "data.json"]
    for place in places:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("x")
    time.sleep(0.02)
    window = opened()
    for path in (*places, Path("/etc/hostname"), Path("/proc/self/stat"), Path(os.__file__), Path(pytest.__file__)):
        path.read_bytes()
    import wave  # noqa: F401 (nothing else imports it)

    os.close(os.open(root.parent / "folder", os.O_RDONLY))
    with pytest.raises(FileNotFoundError):
        (root.parent / "nowhere").read_text()
    assert names(window) == []


def test_a_module_of_the_project_that_no_tree_has_is_noted_also_where_it_is_compiled(
    root: Path, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(root))
    monkeypatch.syspath_prepend(str(root.parent / "folder"))
    (root.parent / "folder" / "elsewhere.py").write_text("X = 1\n")
    (root / "near.py").write_text("X = 1\n")
    (root / "known.py").write_text("X = 1\n")
    subprocess.run([sys.executable, "-m", "compileall", "-q", "."], check=True)
    time.sleep(0.02)
    window = opened("known.py")
    # Code elsewhere is an installed package's, or another project's.
    import elsewhere  # type: ignore[import-not-found] # noqa: F401
    import known  # type: ignore[import-not-found] # noqa: F401
    import near  # type: ignore[import-not-found] # noqa: F401

    for name in ("known", "near", "elsewhere"):
        del sys.modules[name]
    assert names(window) == [("file", "near.py")]


def test_entropy_is_noted_and_other_devices_are_not(opened: Open) -> None:
    window = opened()
    for device in ("/dev/urandom", "/dev/random", "/dev/zero"):
        os.close(os.open(device, os.O_RDONLY))
    assert names(window) == [("entropy", "/dev/urandom"), ("entropy", "/dev/random")]


def test_connections_and_lookups_are_noted_by_what_was_asked_for(opened: Open, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        window = opened()
        socket.create_connection(("localhost", port)).close()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
            datagrams.sendto(b"?", ("127.0.0.2", 9))
        socket.gethostbyname("localhost")
    # An address is told by the name that it was looked up by.
    assert names(window) == [
        ("network", f"localhost:{port}"),
        ("network", "127.0.0.2:9"),
        ("network", "localhost"),
    ]
    assert [noted.count() >= count for noted, count in zip(window.noted(), (2, 1, 1), strict=True)] == [True] * 3
    audit_events.close_window(window)
    path = tmp_path / "database"
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(str(path))
        server.listen()
        window = opened()
        client.connect(str(path))
    assert names(window) == [("network", f"unix:{path}")]


def test_a_value_that_is_kept_declares_the_connections_before_it(opened: Open) -> None:
    window = opened()
    socket.getaddrinfo("127.0.0.1", 80)
    window.declare_connections()
    assert names(window) == []
    socket.getaddrinfo("127.0.0.1", 81)
    assert names(window) == [("network", "127.0.0.1:81")]


def test_processes_of_one_program_that_talk_are_no_network(opened: Open) -> None:
    window = opened()
    with socket.socket(socket.AF_UNIX) as client, pytest.raises(ConnectionRefusedError):
        client.connect("\0listener-1-1")
    with socket.socket(socket.AF_UNIX) as client, pytest.raises(FileNotFoundError):
        client.connect("/tmp/pymp-abc/listener-abc")
    assert names(window) == []


def test_what_this_project_reads_for_its_own_ends_is_not_noted(root: Path, opened: Open) -> None:
    window = opened()
    path = root.parent / "far.txt"
    sources.read_stable(str(path), sources.Stamp.of(path.stat()))
    assert names(window) == []
    path.read_text()
    assert names(window) == [("file", str(path))]


def test_whose_read_it_is_the_nearest_frame_of_a_program_says() -> None:
    def called_by(module: str, file: str) -> str:
        space = {"__name__": module, "asker": asker}
        exec(compile("def ask():\n    return asker()", file, "exec"), space)
        answer: str = space["ask"]()  # type: ignore[operator]
        return answer

    assert called_by("theirs", "/theirs/theirs.py") == "recipe"
    assert called_by("__main__", "<stdin>") == "recipe"
    assert called_by("repro_assets.store.objects", "/x/objects.py") == "own"
    assert called_by("repro_assets.training.sft", "/x/sft.py") == "recipe"
    assert called_by("importlib._bootstrap_external", "<frozen importlib._bootstrap_external>") == "import"
    # This test is a program that called the library.
    assert called_by("pandas", "/x/site-packages/pandas/io.py") == "recipe"
    # In a thread of libraries alone, it is a program's unless the tool watches.
    found: list[str] = []
    cell = {"__name__": "__main__", "asker": asker}
    exec(compile("def ask():\n    return asker()", "<cell 1>", "exec"), cell)
    for module, ask in (("torch.utils.data", asker), ("wandb.sdk", asker), ("IPython.core", cell["ask"])):
        space = {"ask": ask, "found": found, "__name__": module}
        exec(compile("def call():\n    found.append(ask())", "/x/site-packages/it.py", "exec"), space)
        thread = threading.Thread(target=space["call"])  # type: ignore[arg-type]
        thread.start()
        thread.join()
    assert found == ["recipe", "own", "recipe"]


def test_names_are_bounded_and_what_comes_after_is_counted(
    root: Path, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = root.parent / "folder"
    for number in range(8):
        (folder / f"{number}.csv").write_text("x")
    time.sleep(0.02)
    monkeypatch.setattr(undeclared, "HELD", 5)
    window = opened()
    for _ in range(2):
        for number in range(8):
            (folder / f"{number}.csv").read_text()
    found = window.noted()
    assert [noted.name for noted in found] == [*(str(folder / f"{number}.csv") for number in range(5)), ""]
    assert found[-1].count() == 6


def test_what_goes_wrong_in_it_reaches_nobody_but_the_window(
    root: Path, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = opened()
    monkeypatch.setattr(Window, "_judge", lambda *_: 1 / 0)
    assert (root / "features.cache").read_text() == "there"
    assert window.failed == "open: ZeroDivisionError: division by zero"


def test_a_closed_window_notes_nothing_and_several_are_apart(root: Path, opened: Open) -> None:
    first = opened()
    (root / "features.cache").read_text()
    second = opened()
    (root.parent / "far.txt").read_text()
    audit_events.close_window(first)
    pathlib.Path(root.parent, "folder", "one.csv").read_text()
    assert [name for _, name in names(first)] == ["features.cache", str(root.parent / "far.txt")]
    assert [name for _, name in names(second)] == [str(root.parent / "far.txt"), str(root.parent / "folder/one.csv")]
