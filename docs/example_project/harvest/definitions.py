"""The code location of the harvest."""

from harvest import assets
from repro_assets.orchestration import reproducible_definitions

defs = reproducible_definitions([assets.fields, assets.halves, assets.model, assets.evaluation])
