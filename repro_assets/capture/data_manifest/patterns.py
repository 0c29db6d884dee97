"""Which paths a manifest is about: include and exclude patterns in gitignore's syntax.

Laws: a pattern without a slash inside it matches at every depth, a leading or inner slash anchors it to the root, a
trailing slash means folders, ``**`` spans folders, and of several patterns that match the last one decides. A file
counts if it is included (or nothing is asked to be) and not excluded. As in git, nothing below an excluded folder
comes back. Case matters, on every file system. A pattern that can match nothing is refused, because a person who
writes it means something.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from repro_assets.errors import InvalidValue

if TYPE_CHECKING:
    import pathspec

# Pathspec's expressions take a newline for the end of the name; a private-use letter that stands for it does not.
_NEWLINE = {ord("\n"): "\U000f000a"}


class Selection:
    """Include and exclude patterns, ready to be asked.

    Parameters
    ----------
    include : sequence of str
        Patterns of what counts; everything if empty.
    exclude : sequence of str
        Patterns of what does not.

    Raises
    ------
    InvalidValue
        If a pattern is malformed, can match nothing, or is not Unicode text.
    """

    def __init__(self, include: Sequence[str] = (), exclude: Sequence[str] = ()) -> None:
        self.include = tuple(include)
        self.exclude = tuple(exclude)
        self._included = _compiled(self.include)
        self._excluded = _compiled(self.exclude)

    def takes(self, path: str) -> bool:
        """Tell whether `path` counts: relative, of something that is no folder, none above it excluded."""
        name = path.translate(_NEWLINE)
        if self._excluded is not None and self._excluded.match_file(name):
            return False
        return self._included is None or self._included.match_file(name)

    def enters(self, folder: str) -> bool:
        """Tell whether anything below the relative path `folder` can count."""
        return self._excluded is None or not self._excluded.match_file(folder.translate(_NEWLINE) + "/")

    def takes_folder(self, folder: str) -> bool:
        """Tell whether an empty folder counts, none above it excluded."""
        return self.takes(folder + "/")


def _compiled(patterns: tuple[str, ...]) -> pathspec.GitIgnoreSpec | None:
    if not patterns:
        return None
    import pathspec

    for pattern in patterns:
        try:
            pattern.encode("utf-8")
            compiled = list(pathspec.GitIgnoreSpec.from_lines([pattern], backend="simple").patterns)
        except ValueError as error:
            raise InvalidValue(f"{pattern!r} is no pattern", "write it as in a .gitignore file") from error
        if all(single.include is None for single in compiled):
            raise InvalidValue(f"the pattern {pattern!r} matches nothing", "write it as in a .gitignore file")
    return pathspec.GitIgnoreSpec.from_lines([item.translate(_NEWLINE) for item in patterns], backend="simple")
