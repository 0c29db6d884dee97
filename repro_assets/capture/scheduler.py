"""Which job of a batch scheduler this process belongs to, by the variables that the scheduler sets.

Law: a task of an array is a job of its own; a job that is requeued is the same job.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# SLURM_JOB_ID and PBS_JOBID are those of the one task of an array; LSF tells tasks apart by a second variable.
_JOBS = {"slurm": "SLURM_JOB_ID", "pbs": "PBS_JOBID", "lsf": "LSB_JOBID"}
_NO_TASK = "0"


def scheduler_job(variables: Mapping[str, str]) -> dict[str, Any] | None:
    """Return the scheduler's name, the job's id and how often it was started again; None outside of a job.

    Parameters
    ----------
    variables : mapping
        The environment variables.

    Returns
    -------
    dict or None
        ``scheduler`` (``slurm``, ``pbs`` or ``lsf``), ``job`` and ``restarts``, None where the scheduler does not
        count them.
    """
    for scheduler, variable in _JOBS.items():
        job = variables.get(variable, "")
        if not job:
            continue
        task = variables.get("LSB_JOBINDEX", _NO_TASK) if scheduler == "lsf" else _NO_TASK
        counted = variables.get("SLURM_RESTART_COUNT", "0") if scheduler == "slurm" else ""
        return {
            "scheduler": scheduler,
            "job": job if task == _NO_TASK else f"{job}[{task}]",
            "restarts": int(counted) if counted.isdecimal() else None,
        }
    return None
