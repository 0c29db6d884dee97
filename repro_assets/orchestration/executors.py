"""The executor: in one process unless a run's config asks for a process per step.

Dagster's own default is the other way round; a step of this project is short against the seconds that a process with
torch takes to start, and both give equal digests. Processes for steps are forked from one that has imported the large
libraries and nothing of this project, so whose code a step executes is decided in its own process.
"""

from __future__ import annotations

from typing import Any

import dagster as dg

_SERVER = {
    "forkserver": {
        "preload_modules": [
            *("torch", "pandas", "pyarrow.parquet", "duckdb", "psutil", "dagster"),
            # Its storage, with SQLAlchemy and Alembic, is what every step opens first.
            *("dagster._core.storage.sqlite_storage", "dagster._utils.test", "mako.exceptions"),
        ]
    }
}
_either = dg.multi_or_in_process_executor
_fields: dict[str, Any] = _either.config_schema.config_type.fields  # type: ignore[union-attr]


@dg.executor(
    name="in_process_first",
    config_schema=dg.Field(
        dg.Selector(_fields),  # type: ignore[no-untyped-call]
        default_value={"in_process": {}},
    ),
    requirements=_either.get_requirements,
)
def in_process_first(init_context: dg.InitExecutorContext) -> Any:
    """Execute in this process, or each step in one of its own where the config says ``multiprocess``."""
    create = _either.executor_creation_fn
    assert create is not None
    config = dict(init_context.executor_config)
    if "multiprocess" in config:
        chosen: Any = config["multiprocess"]
        config["multiprocess"] = {**chosen, "start_method": chosen.get("start_method") or _SERVER}
    return create(init_context._replace(executor_config=config))
