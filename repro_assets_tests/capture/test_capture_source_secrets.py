"""No secret enters a source tree, its diff or what is said of them."""

from __future__ import annotations

import json
from pathlib import Path

from folders import write
from source_trees import TOKEN, git, paths, reasons

from repro_assets.capture.source import capture_source


def test_a_secret_is_in_neither_files_nor_diff_nor_document(repository: Path) -> None:
    write(
        repository, {"a.py": f"x = '{TOKEN}'\n", "new.py": f"t = '{TOKEN}'\n", "pkg/b.py": "y = 4\n", ".env": "K=v-w\n"}
    )
    capture = capture_source(repository)
    assert paths(capture) == [".gitignore", "pkg/b.py"]
    assert set(reasons(capture)) == {"a.py", "new.py", ".env"}
    assert reasons(capture)["a.py"] == "secret scanner: github-token in line 1"
    assert TOKEN not in capture.diff + json.dumps(capture.document)
    assert "+y = 4" in capture.diff
    assert [each["path"] for each in capture.document["diff_left_out"]] == ["a.py"]


def test_a_secret_that_was_removed_since_the_commit_is_not_in_the_diff(repository: Path) -> None:
    write(repository, {"odd name é\t.py": f"x = '{TOKEN}'\n"})
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", f"Use {TOKEN}")
    write(repository, {"odd name é\t.py": "x = 1\n"})
    capture = capture_source(repository)
    assert "odd name é\t.py" in paths(capture)
    assert capture.diff == ""
    assert [each["path"] for each in capture.document["diff_left_out"]] == ["odd name é\t.py"]
    assert capture.document["message"] is None
    assert TOKEN not in json.dumps(capture.document)


def test_a_secret_in_the_name_of_a_file_a_branch_or_a_tag_is_told_by_its_kind(repository: Path) -> None:
    write(repository, {f"{TOKEN}.py": "", f"pkg/{TOKEN}": "x = 1\n"})
    git(repository, "add", f"pkg/{TOKEN}")
    git(repository, "checkout", "-q", "-b", f"try-{TOKEN}")
    git(repository, "tag", TOKEN)
    capture = capture_source(repository)
    assert TOKEN not in repr(capture)
    assert reasons(capture) == {
        "<github-token>.py": "its name holds a secret",
        "pkg/<github-token>": "its name holds a secret",
    }
    assert capture.document["branch"] == "try-<github-token>"
    assert capture.document["tags"] == ["<github-token>"]
