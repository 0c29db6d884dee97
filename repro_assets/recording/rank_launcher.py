"""torchrun for the ranks of one recipe: ``python -m repro_assets.recording.rank_launcher FOLDER COUNT``.

Laws: the ranks meet in the folder and not on a port; which of them died, and how, is in the folder when this ends; none
is started again, because a run that has lost a rank has failed.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

FAILURES = "failures.json"
RANK = "repro_assets.recording.rank_process"
PARENT = "REPRO_RANKS_PARENT"
"""Variable that tells the ranks the process id of torchrun."""


def main(arguments: list[str]) -> int:
    """Start the ranks and wait for them."""
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import parse_args, run

    folder, count = Path(arguments[0]), arguments[1]
    os.environ[PARENT] = str(os.getpid())
    words = ["--nnodes", "1", "--nproc-per-node", count, "--max-restarts", "0", "--local-addr", "127.0.0.1"]
    words += ["--rdzv-backend", "c10d", "--rdzv-conf", "store_type=file", "--rdzv-endpoint", str(folder / "rendezvous")]
    words += ["--log-dir", str(folder / "log"), "--module", RANK, str(folder)]
    try:
        run(parse_args(words))  # type: ignore[no-untyped-call]
    except ChildFailedError as error:
        # In the order in which torchrun saw them die: those that it ended itself come last.
        died = [(rank, failure.exitcode) for rank, failure in error.failures.items()]
        partial = folder / f"{FAILURES}.partial"
        partial.write_text(json.dumps(died))
        partial.rename(folder / FAILURES)
        return 1
    except SignalException as error:
        return 128 + error.sigval
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
