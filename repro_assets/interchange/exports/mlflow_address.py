"""Whether what a person names for an export to MLflow is an address, or a folder to be made.

Laws: what looks like an address, or like the file of a database, and is neither, is refused with what was meant, so
that no folder of that name appears. Schemes are those that MLflow documents, and those that its plug-ins bring.
"""

from __future__ import annotations

import re
from importlib.metadata import entry_points
from pathlib import Path

from repro_assets.capture.secrets import redact_url
from repro_assets.errors import InvalidValue

SQLITE = "sqlite"
_DATABASES = ("postgresql", "mysql", "mssql")
_SERVERS = ("http", "https")
_SUFFIXES = (".db", ".sqlite", ".sqlite3")
_WHOLE = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+._-]*):(?P<rest>.*)", re.DOTALL)
_DATABRICKS = re.compile(r"databricks(-uc)?(://.*)?")
_FORMS = "http://HOST:PORT, sqlite:///PATH, postgresql://…, mysql://… or mssql://…, or name a folder"


def is_address(to: str) -> bool:
    """Tell whether runs go to an address of MLflow; otherwise it is a folder.

    Raises
    ------
    InvalidValue
        If it is the file of a database, an address that is not whole, or one that MLflow does not know.
    """
    if _DATABRICKS.fullmatch(to):
        return True
    found = _WHOLE.fullmatch(to)
    scheme = found["scheme"].lower() if found else ""
    kind, rest = scheme.partition("+")[0], found["rest"] if found else ""
    if "_" in scheme and rest.startswith("//"):
        # No scheme has one, so MLflow takes this for the name of a folder.
        raise _unknown(scheme)
    if kind == SQLITE:
        # SQLAlchemy takes a shorter one for a database in memory, which is gone with the command.
        if not re.fullmatch(r"///(?!:memory:).+", rest, re.DOTALL):
            path = (rest.removeprefix("//") if rest.startswith("//") else rest).removeprefix("/:memory:")
            raise _meant(to, f"sqlite:///{path if path.strip('/') else 'mlflow.db'}")
        return True
    if kind in (*_DATABASES, *_SERVERS):
        if not re.match("//[^/]" if kind in _SERVERS else "//.", rest):
            raise _meant(to, f"{scheme}://{rest.lstrip('/') or 'HOST'}")
        return True
    if kind == "file":
        return True
    if rest.startswith("//"):
        if scheme not in {plugin.name for plugin in entry_points(group="mlflow.tracking_store")}:
            raise _unknown(scheme)
        return True
    path = Path(to)
    if path.suffix.lower() in _SUFFIXES and not path.is_dir():
        raise _meant(to, f"sqlite:///{to}")
    return False


def _unknown(scheme: str) -> InvalidValue:
    # No more of it is shown: what is no address may have a password where nothing finds it.
    return InvalidValue(f"MLflow takes no runs at an address that begins with {scheme}:", _FORMS)


def _meant(to: str, address: str) -> InvalidValue:
    return InvalidValue(
        f"{to if '@' not in to else 'what --to says'} is neither a folder nor a whole address of MLflow's",
        f"did you mean {redact_url(address)}?",
    )
