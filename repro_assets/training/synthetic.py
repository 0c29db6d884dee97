"""Five synthetic problems with two classes, each generated from its parameters and a seed.

Laws: a data set depends on the seed and the parameters alone; a draw has a generator named after what it draws, so
another way to divide the points moves none of them; the splits are disjoint and stratified, and together hold every
point once; inputs beyond a problem's own dimensions are zero.

| problem | what it is | own dimensions |
| --- | --- | --- |
| ``spirals`` | two arms that wind around each other | 2 |
| ``moons`` | two half circles that interlock | 2 |
| ``complex_moons`` | pairs of moons on a grid; each pair has the classes of its neighbours exchanged | 2 |
| ``clusters`` | round clusters at random places, which take turns between the classes | 2 |
| ``spheres`` | shells around one centre, which take turns between the classes | 3 |
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from repro_assets.errors import InvalidInput, InvalidValue
from repro_assets.training.digits import stratified_order

if TYPE_CHECKING:
    from repro_assets.recording.run import Run

PROBLEMS = ("spirals", "moons", "complex_moons", "clusters", "spheres")
SPLITS = ("train", "validation", "test")
CLASSES = 2
NOISE = {"spirals": 0.25, "moons": 0.2, "complex_moons": 0.1, "clusters": 0.3, "spheres": 0.1}
"""Standard deviation of the noise where none is given."""
PARAMETERS = {"spirals": "rotations", "complex_moons": "pairs", "clusters": "clusters", "spheres": "shells"}
"""The parameter that only this problem has."""

_PAIRS_IN_A_ROW = 3
_REACH = 5.0


class SyntheticConfig(BaseModel):
    """Parameters of a problem; those of another problem than the chosen one have no effect."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    problem: str = Field(default="", description=f"one of {', '.join(PROBLEMS)}; of an asset, its partition")
    n_samples: int = Field(default=2000, ge=50, le=10_000_000, description="points, in all splits together")
    noise: float | None = Field(
        default=None, ge=0, le=100, description="standard deviation of what is added to each coordinate; else its own"
    )
    rotations: float = Field(default=4.0, gt=0, le=100, description="spirals: turns of each arm")
    pairs: int = Field(default=6, ge=1, le=1000, description="complex_moons: pairs of moons, three in a row")
    clusters: int = Field(default=24, ge=2, le=10_000, description="clusters: how many")
    shells: int = Field(default=6, ge=2, le=1000, description="spheres: how many, of radius 1, 2, 3, …")
    input_dim: int = Field(default=3, ge=2, le=10_000, description="inputs; those that a problem has not are zero")
    validation_share: float = Field(default=0.15, gt=0, lt=0.5, description="of the points, for choosing settings")
    test_share: float = Field(default=0.3, gt=0, lt=0.5, description="of the points, for the final figures only")


def checked(problem: str, given: Mapping[str, Any]) -> SyntheticConfig:
    """Return the parameters of a problem, those that were given and the others' defaults.

    Raises
    ------
    InvalidValue
        If there is no such problem, a parameter is another problem's, or a value is outside its range.
    """
    if problem not in PROBLEMS:
        raise InvalidValue(f"there is no problem {problem!r}", f"one of {', '.join(PROBLEMS)}")
    for owner, name in PARAMETERS.items():
        if name in given and owner != problem:
            raise InvalidValue(f"{name} is a parameter of {owner}, not of {problem}", "leave it out")
    try:
        return SyntheticConfig(problem=problem, **given)
    except ValidationError as error:
        (first, *_) = error.errors()
        raise InvalidValue(f"{first['loc'][0]} is {first['input']}: {first['msg'].lower()}") from error


def generate_synthetic(run: Run, config: SyntheticConfig) -> dict[str, dict[str, np.ndarray]]:
    """Generate a problem and divide it; the recipe of the synthetic data sets.

    Parameters
    ----------
    run : Run
        Gives the seeds (consumers ``synthetic/points`` and ``synthetic/split``) and takes the sizes as metrics.
    config : SyntheticConfig
        Parameters.

    Returns
    -------
    dict
        ``train``, ``validation`` and ``test``, each with ``inputs`` float32 [n, input_dim], ``labels`` uint8 [n], 0 or
        1, and ``ids`` int64 [n], ascending: the point's number in the order in which they were drawn.

    Raises
    ------
    InvalidValue
        If there is no such problem, or `input_dim` is less than the problem's own dimensions, or a split is left
        without a class.
    """
    draw = _DRAW.get(config.problem)
    if draw is None:
        raise InvalidValue(f"there is no problem {config.problem!r}", f"one of {', '.join(PROBLEMS)}")
    noise = NOISE[config.problem] if config.noise is None else config.noise
    generator = run.seeds.numpy("synthetic/points")
    points, labels = draw(config, generator)
    own = points.shape[1]
    if config.input_dim < own:
        raise InvalidValue(
            f"{config.problem} has {own} dimensions and input_dim is {config.input_dim}", f"input_dim of {own} or more"
        )
    points += noise * generator.standard_normal(points.shape)
    inputs = np.zeros((len(points), config.input_dim), dtype=np.float32)
    inputs[:, :own] = points
    order = stratified_order(labels, CLASSES, run.seeds.numpy("synthetic/split"))
    sizes = {name: round(getattr(config, f"{name}_share") * len(points)) for name in ("validation", "test")}
    sizes = {"train": len(points) - sum(sizes.values()), **sizes}
    made: dict[str, dict[str, np.ndarray]] = {}
    start = 0
    for name in SPLITS:
        ids = np.sort(order[start : start + sizes[name]]).astype(np.int64)
        start += sizes[name]
        made[name] = {"inputs": inputs[ids], "labels": labels[ids].astype(np.uint8), "ids": ids}
        if len(np.unique(made[name]["labels"])) < CLASSES:
            raise InvalidValue(
                f"the {name} split of {len(ids)} points does not hold both classes", "raise n_samples or its share"
            )
        run.log_metric(f"split/{name}", len(ids))
    return made


def _turns(count: int, groups: int) -> np.ndarray:
    """Give each of `count` points one of `groups`, in turn: no two groups differ by more than one point."""
    return np.arange(count) % groups


def _spirals(config: SyntheticConfig, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Archimedean arms, evenly filled: the radius is the angle, in radians, and the density the same everywhere."""
    arm = _turns(config.n_samples, CLASSES)
    angle = np.sqrt(generator.random(config.n_samples)) * config.rotations * 2 * np.pi
    turned = angle + np.pi * arm
    return np.stack([angle * np.cos(turned), angle * np.sin(turned)], axis=1), arm


def _half_circles(count: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two interlocking half circles of radius 1, the upper one's centre in the origin."""
    moon = _turns(count, CLASSES)
    angle = np.pi * generator.random(count)
    upper = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    lower = np.stack([1 - np.cos(angle), 0.5 - np.sin(angle)], axis=1)
    return np.where(moon[:, None] == 0, upper, lower), moon


def _moons(config: SyntheticConfig, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return _half_circles(config.n_samples, generator)


def _complex_moons(config: SyntheticConfig, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    points, moon = _half_circles(config.n_samples, generator)
    pair = np.arange(config.n_samples) // CLASSES % config.pairs
    column, row = pair % _PAIRS_IN_A_ROW, pair // _PAIRS_IN_A_ROW
    return points + np.stack([3.0 * column, 2.0 * row], axis=1), (moon + column + row) % CLASSES


def _clusters(config: SyntheticConfig, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    centres = generator.uniform(-_REACH, _REACH, (config.clusters, 2))
    cluster = _turns(config.n_samples, config.clusters)
    return centres[cluster], cluster % CLASSES


def _spheres(config: SyntheticConfig, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    shell = _turns(config.n_samples, config.shells)
    directions = generator.standard_normal((config.n_samples, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return directions * (1.0 + shell)[:, None], shell % CLASSES


_DRAW: dict[str, Callable[[SyntheticConfig, np.random.Generator], tuple[np.ndarray, np.ndarray]]] = {
    "spirals": _spirals,
    "moons": _moons,
    "complex_moons": _complex_moons,
    "clusters": _clusters,
    "spheres": _spheres,
}


def to_npz(splits: Mapping[str, Mapping[str, Any]]) -> bytes:
    """Return a data set as an ``.npz`` file with arrays such as ``train_inputs``; equal data give equal bytes."""
    buffer = io.BytesIO()
    arrays = {f"{split}_{name}": np.asarray(array) for split in SPLITS for name, array in sorted(splits[split].items())}
    # `savez` gives every member the same date, so no time gets into the bytes.
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def split_of(name: str, data: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Check one split of a data set.

    Parameters
    ----------
    name : str
        Which one.
    data : mapping
        The data set.

    Returns
    -------
    inputs : ndarray
        float32 [n, d].
    labels : ndarray
        int64 [n].

    Raises
    ------
    InvalidInput
        If the split is missing or malformed, or holds what is no number.
    """
    remedy = "give a data set that `repro generate` or the asset data/synthetic made"
    if name not in data or not {"inputs", "labels"} <= set(data[name]):
        raise InvalidInput(f"the data set has no {name} split with inputs and labels", remedy)
    inputs, labels = np.asarray(data[name]["inputs"]), np.asarray(data[name]["labels"])
    if inputs.ndim != 2 or labels.shape != inputs.shape[:1] or not len(labels):
        raise InvalidInput(
            f"the {name} split has inputs of shape {list(inputs.shape)} and labels of shape {list(labels.shape)}",
            remedy,
        )
    if not np.isfinite(inputs).all():
        raise InvalidInput(f"the {name} split has inputs that are no numbers", remedy)
    if not np.isin(labels, range(CLASSES)).all():
        raise InvalidInput(f"the {name} split has labels other than 0 and 1", remedy)
    return inputs.astype(np.float32, copy=False), labels.astype(np.int64)
