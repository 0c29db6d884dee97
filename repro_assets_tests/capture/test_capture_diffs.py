"""The diff of a source tree makes it from its commit, and names what it leaves out."""

from __future__ import annotations

import subprocess
from pathlib import Path

from folders import write
from source_trees import git, paths

from repro_assets.capture.source import capture_source


def test_the_diff_makes_the_tree_from_the_commit(repository: Path, tmp_path: Path) -> None:
    write(repository, {"a.py": "x = 2\n", "new file.py": "no end", "two.py": "1\n2\n", "empty": "", 'q"\t.py': "q\n"})
    (repository / "two.py").chmod(0o755)
    (repository / "linked").symlink_to("a.py")
    write(repository, {"staged.py": "s\n"})
    git(repository, "add", "staged.py")
    (repository / "pkg/b.py").unlink()
    capture = capture_source(repository)
    assert capture.document["staged"] == ["staged.py"]
    other = tmp_path / "other"
    git(tmp_path, "clone", "-q", str(repository), str(other))
    subprocess.run(["git", "apply", "-"], cwd=other, input=capture.diff.encode(), check=True)
    again = capture_source(other)
    assert [(f.path, f.read(), f.executable) for f in again.files] == [
        (f.path, f.read(), f.executable) for f in capture.files
    ]
    assert (other / "linked").readlink() == Path("a.py")


def test_a_large_new_file_is_in_the_tree_and_named_in_the_diff(repository: Path) -> None:
    write(repository, {"large.txt": "x\n" * 600_000, "binary.bin": "\0"})
    capture = capture_source(repository)
    assert "large.txt" in paths(capture)
    assert "large.txt" not in capture.diff
    assert "Binary files /dev/null and b/binary.bin differ" in capture.diff
    (dropped,) = capture.document["diff_left_out"]
    assert dropped["path"] == "large.txt"
    assert "1200000 bytes" in dropped["reason"]
