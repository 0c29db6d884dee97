"""The command `repro`: parsing, one call of a lower layer, rendering.

Law: importing this module loads neither torch, dagster, pandas, pyarrow nor duckdb; each command imports what it needs,
and a command's own module is imported only when it is called or listed.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from repro_assets.cli.answering import exit_code_of
from repro_assets.errors import InvalidValue


def _init(app: typer.Typer) -> None:
    from repro_assets.cli import init

    app.command("init")(init.init)


def _run(app: typer.Typer) -> None:
    from repro_assets.cli import run

    app.command("run")(run.run)


def _train(app: typer.Typer) -> None:
    from repro_assets.cli import train

    app.command("train")(train.train)


def _evaluate(app: typer.Typer) -> None:
    from repro_assets.cli import evaluate

    app.command("evaluate")(evaluate.evaluate)


def _filter(app: typer.Typer) -> None:
    from repro_assets.cli import filter

    app.command("filter")(filter.filter_)


def _exec(app: typer.Typer) -> None:
    from repro_assets.cli import exec

    app.command("exec", context_settings={"allow_interspersed_args": False})(exec.exec_)


def _runs(app: typer.Typer) -> None:
    from repro_assets.cli import runs

    app.add_typer(runs.app, name="runs")


def _sql(app: typer.Typer) -> None:
    from repro_assets.cli import sql

    app.command("sql")(sql.sql)


def _artifacts(app: typer.Typer) -> None:
    from repro_assets.cli import artifacts

    app.add_typer(artifacts.app, name="artifacts")


def _lineage(app: typer.Typer) -> None:
    from repro_assets.cli import lineage

    app.add_typer(lineage.app, name="lineage")


def _manifest(app: typer.Typer) -> None:
    from repro_assets.cli import manifest

    app.add_typer(manifest.app, name="manifest")


def _generate(app: typer.Typer) -> None:
    from repro_assets.cli import generate

    app.command("generate")(generate.generate)


def _env(app: typer.Typer) -> None:
    from repro_assets.cli import env

    app.add_typer(env.app, name="env")


def _replay(app: typer.Typer) -> None:
    from repro_assets.cli import replay

    app.command("replay")(replay.replay)


def _checkout(app: typer.Typer) -> None:
    from repro_assets.cli import checkout

    app.command("checkout")(checkout.checkout)


def _diverge(app: typer.Typer) -> None:
    from repro_assets.cli import diverge

    app.command("diverge")(diverge.diverge)


def _verify_determinism(app: typer.Typer) -> None:
    from repro_assets.cli import verify

    app.command("verify-determinism")(verify.verify_determinism)


def _store(app: typer.Typer) -> None:
    from repro_assets.cli import store

    app.add_typer(store.app, name="store")


def _catalog(app: typer.Typer) -> None:
    from repro_assets.cli import catalog

    app.add_typer(catalog.app, name="catalog")


def _export(app: typer.Typer) -> None:
    from repro_assets.cli import export

    app.command("export")(export.export)


def _import(app: typer.Typer) -> None:
    from repro_assets.cli import export

    app.command("import")(export.import_)


def _attest(app: typer.Typer) -> None:
    from repro_assets.cli import attest

    app.add_typer(attest.app, name="attest")


def _report(app: typer.Typer) -> None:
    from repro_assets.cli import report

    app.command("report")(report.report)


def _ui(app: typer.Typer) -> None:
    from repro_assets.cli import ui

    app.command("ui")(ui.ui)


def _doctor(app: typer.Typer) -> None:
    from repro_assets.cli import doctor

    app.command("doctor")(doctor.doctor)


_COMMANDS: dict[str, Callable[[typer.Typer], None]] = {
    "init": _init,
    "run": _run,
    "train": _train,
    "evaluate": _evaluate,
    "filter": _filter,
    "exec": _exec,
    "runs": _runs,
    "sql": _sql,
    "artifacts": _artifacts,
    "lineage": _lineage,
    "manifest": _manifest,
    "generate": _generate,
    "env": _env,
    "replay": _replay,
    "checkout": _checkout,
    "diverge": _diverge,
    "verify-determinism": _verify_determinism,
    "store": _store,
    "catalog": _catalog,
    "export": _export,
    "import": _import,
    "attest": _attest,
    "report": _report,
    "ui": _ui,
    "doctor": _doctor,
}


def program(words: Sequence[str] = ()) -> typer.Typer:
    """Return the command line that understands these words.

    Parameters
    ----------
    words : sequence of str
        What a person gave. Where the first one is a command, no other is loaded; all are otherwise.
    """
    app = typer.Typer(
        name="repro",
        help="Machine-learning results that are traceable, findable and provably reproducible.",
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
        callback=_root,
        cls=_Program,
    )
    # typer reads every function that it is given, and all of them take longer than a short command.
    for add in [_COMMANDS[words[0]]] if words and words[0] in _COMMANDS else _COMMANDS.values():
        add(app)
    return app


class _Program(TyperGroup):
    """The root of all commands, which says an interruption; typer would end without a word."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise typer.Abort from error


def _show_version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        print(f"repro {version('repro-assets')}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


def main(arguments: Sequence[str] | None = None) -> int:
    """Execute a command line and return its exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        The words after ``repro``; those of this process if left out.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)

    def execute() -> object:
        _refuse_empty(words)
        return program(words)(words, prog_name="repro", standalone_mode=False, obj=words)

    return exit_code_of(execute)


def _refuse_empty(words: list[str]) -> None:
    """Refuse an empty word: a variable that is not set would become the current folder, or the newest of all runs.

    Raises
    ------
    InvalidValue
        If there is one.
    """
    for before, word in itertools.pairwise(["repro", *words]):
        if not word.strip() or (word.startswith("--") and word.endswith("=") and word.count("=") == 1):
            said = word.rstrip("=") if word.strip() else f"what follows {before}"
            raise InvalidValue(f"{said} is empty", "give a value; a shell variable may not be set")


if __name__ == "__main__":
    sys.exit(main())
