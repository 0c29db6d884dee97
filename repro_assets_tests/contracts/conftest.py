from __future__ import annotations

import sys
from pathlib import Path

# The store that has something of everything is that of the tests of each format.
sys.path.append(str(Path(__file__).parents[1] / "interchange"))
