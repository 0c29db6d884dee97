"""Coverage-guided fuzzing of a bundle's verification: ``python fuzz_bundle.py BUNDLE SECONDS [FOLDER]``, with atheris.

The seal of each input is made right, so that what is behind it is reached. Anything but a refusal is a finding.
"""

from __future__ import annotations

import hashlib
import io
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["repro_assets"]):
    from repro_assets.errors import InvalidInput, UnsupportedFormat
    from repro_assets.interchange.verification import read_through


def one(data: bytes) -> None:
    body = data[:-32]
    try:
        read_through(io.BytesIO(body + hashlib.sha256(body).digest()), Path("fuzzed"))
    except (InvalidInput, UnsupportedFormat):
        return


if __name__ == "__main__":
    bundle, seconds = sys.argv[1:3]
    corpus = Path(sys.argv[3] if len(sys.argv) > 3 else "corpus")
    corpus.mkdir(exist_ok=True)
    (corpus / "bundle").write_bytes(Path(bundle).read_bytes())
    atheris.Setup(
        [sys.argv[0], f"-max_total_time={seconds}", "-max_len=200000", "-rss_limit_mb=2048", str(corpus)], one
    )
    atheris.Fuzz()
