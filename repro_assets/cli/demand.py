"""What ``repro evaluate``, ``filter`` and ``generate`` share: one asset, made on demand of inputs that a person names.

Laws: what can be refused without executing is refused before the slow start of the executing process; inputs are
handed on by digest, so what was found here is what is read there; a file is written beside its name and renamed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repro_assets.errors import InvalidInput, InvalidValue

if TYPE_CHECKING:
    from repro_assets.orchestration.request import RunAnswer
    from repro_assets.store.home import Home


@dataclass(slots=True)
class DemandWords:
    """Words of these commands; None, or nothing in a list or mapping, stands for unsaid.

    Parameters
    ----------
    set : dict
        Value by field of the recipe's config.
    tags : list of str
        Tags of the run.
    """

    seed: int | None = None
    deterministic: bool | None = None
    threads: int | None = None
    capture_level: str | None = None
    exp_name: str | None = None
    tags: list[str] = field(default_factory=list)
    trial: bool | None = None
    force: bool | None = None
    set: dict[str, Any] = field(default_factory=dict)
    output: str | None = None


def needed(words: Any, *names: str) -> list[str]:
    """Return words without which there is nothing to do.

    Raises
    ------
    InvalidValue
        If one is not said.
    """
    missing = [name for name in names if getattr(words, name) is None]
    if missing:
        said = " and ".join(f"--{name.replace('_', '-')}" for name in missing)
        raise InvalidValue(f"{said} is missing", "give it, or a file with it: --config FILE")
    return [str(getattr(words, name)) for name in names]


def output_of(words: DemandWords) -> Path | None:
    """Return the file to write, if one is.

    Raises
    ------
    InvalidInput
        If its folder is not there, or it is a folder itself.
    """
    if words.output is None:
        return None
    path = Path(words.output)
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise InvalidInput(
            f"{path} cannot be written: {'it is a folder' if path.is_dir() else 'its folder is not there'}",
            "name a file in a folder that is there",
        )
    return path


def make(
    home: Home,
    asset: str,
    words: DemandWords,
    config: Mapping[str, Any],
    inputs: Mapping[str, str],
    *,
    partition: str | None = None,
    verbose: bool,
) -> RunAnswer:
    """Materialize one asset from inputs named by their digests, and return what became of it."""
    from repro_assets.cli.run import execute_all
    from repro_assets.cli.run_options import Words, requests

    fields = {**config, **words.set, "inputs": dict(inputs)}
    asked, mode = requests(
        Words(
            select=[asset],
            partition=partition,
            set={f"{asset}.{name}": value for name, value in fields.items()},
            **{
                name: getattr(words, name)
                for name in ("seed", "deterministic", "threads", "capture_level", "exp_name", "tags", "trial", "force")
            },
        )
    )
    (answer,) = execute_all(home, asked, mode, verbose)
    return answer


def begun(home: Home, answer: RunAnswer) -> dict[str, Any]:
    """Return what is answered of every request: the run that made the product, or failed to, and the request's own."""
    from repro_assets.catalog.outcomes import begun_under

    product = answer.products[0] if answer.products else {}
    return {
        "run_id": product.get("run_id") or begun_under(home, answer.run_id),
        "parent_run_id": answer.run_id,
        "state": answer.state,
        "reused": bool(product.get("reused")),
    }


def named(product: Mapping[str, Any]) -> dict[str, Any]:
    """Return the version of a product: the name of its collection, its number and its digest."""
    from repro_assets.artifacts.names import NUMBERED

    version = NUMBERED.fullmatch(product["version"] or "")
    return {
        "name": version["collection"] if version else None,
        "version": int(version["number"]) if version else None,
        "digest": product["digest"],
    }


def failed(answer: RunAnswer) -> int:
    """Say why a run did not complete, and return the exit code; 0 where it did."""
    from repro_assets.cli.answering import say_error
    from repro_assets.orchestration import refusals

    for line in refusals.lines(answer):
        say_error(line)
    return refusals.exit_code([answer])
