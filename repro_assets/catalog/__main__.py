"""``python -m repro_assets.catalog WORK HOME``: what `detached.start` starts.

However many are started, one works; the others take their turn and find nothing to do, or leave a merge to it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from repro_assets.catalog.detached import Work
from repro_assets.catalog.merging import merge
from repro_assets.catalog.projection import refresh
from repro_assets.errors import ReproError, ReusedElsewhere
from repro_assets.store.home import open_store


def main(arguments: list[str]) -> int:
    """Do the work that is named for the store that is named; return the exit code."""
    if len(arguments) != 2 or arguments[0] not in list(Work):
        print(f"usage: python -m repro_assets.catalog {'|'.join(Work)} HOME", file=sys.stderr)
        return 2
    try:
        home = open_store(Path(arguments[1]))
        if arguments[0] == Work.REFRESH:
            done = refresh(home)
            print(
                f"{done.records} records read, {'published' if done.changed else 'nothing to publish'}", file=sys.stderr
            )
        else:
            # Whoever works goes first.
            os.nice(10)
            print(f"{merge(home, wait=False).segments} segments merged", file=sys.stderr)
    except ReusedElsewhere as error:
        print(error, file=sys.stderr)
    except ReproError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
