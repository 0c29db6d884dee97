"""A mirror from the words that a person writes: ``tensorboard``, ``mlflow:URI``, ``wandb:online``.

Law: what cannot work is said here, before the run begins, and nothing of a tool is imported for it.
"""

from __future__ import annotations

from pathlib import Path

from repro_assets.errors import InvalidValue
from repro_assets.extras import need
from repro_assets.mirrors.mirror import Mirror

_FORMS = "tensorboard[:FOLDER], mlflow[:URI], wandb, wandb:offline, wandb:online"


def mirror_named(text: str) -> Mirror:
    """Return the mirror that a person means; it is not started.

    Parameters
    ----------
    text : str
        ``tensorboard``, ``tensorboard:FOLDER``, ``mlflow``, ``mlflow:URI``, ``wandb``, ``wandb:offline`` or
        ``wandb:online``.

    Raises
    ------
    InvalidValue
        If there is no such mirror, what it needs is not installed, or W&B is to go online without credentials.
    """
    name, colon, where = text.partition(":")
    if name not in ("tensorboard", "mlflow", "wandb") or (colon and not where):
        raise InvalidValue(f"{text!r} is not a mirror", f"one of {_FORMS}")
    if name == "wandb" and where not in ("", "offline", "online"):
        raise InvalidValue(f"W&B has no mode {where!r}", "write wandb:offline or wandb:online")
    need(name)
    if name == "tensorboard":
        from repro_assets.mirrors.tensorboard_mirror import TensorBoard

        return TensorBoard(Path(where)) if where else TensorBoard()
    if name == "mlflow":
        from repro_assets.mirrors.mlflow_mirror import MLflow

        return MLflow(where or None)
    from repro_assets.mirrors.wandb_mirror import WandB

    return WandB(online=where == "online")
