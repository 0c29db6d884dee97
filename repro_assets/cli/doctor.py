"""``repro doctor``."""

from __future__ import annotations

from repro_assets.cli.options import AsJson


def doctor(as_json: AsJson = False) -> int:
    """Look for what is broken in this set-up and say how to mend it; exit code 1 if something fails."""
    from repro_assets.cli.rendering import print_json, print_table
    from repro_assets.orchestration.diagnosis import FAIL, diagnose

    found = list(diagnose())
    if as_json:
        print_json([finding.document() for finding in found])
    else:
        print_table([finding.document() for finding in found], ("check", "status", "detail", "remedy"))
    return 1 if any(finding.status == FAIL for finding in found) else 0
