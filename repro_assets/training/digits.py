"""The handwritten digits: reading the committed file and dividing it into splits.

Laws: a file is read whole and checked whole, or refused with the line that is wrong; an image belongs to at most one
split; a split's composition depends on the run's seed and the sizes alone; the `stream` split carries no labels, so
that nothing which learns from it can see one.

The images are the 1,797 of the UCI "Optical Recognition of Handwritten Digits" test set as scikit-learn ships them:
8 x 8 counts of ink, 0 to 16.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from repro_assets.errors import InvalidInput, InvalidValue

if TYPE_CHECKING:
    import os

    from repro_assets.recording.run import Run

IMAGES = 1797
CLASSES = 10
SIDE = 8
DEEPEST_INK = 16
COLUMNS = ["image_id", "label", *(f"p{pixel:02d}" for pixel in range(SIDE * SIDE))]
SPLITS = ("sft", "rft", "validation", "stream", "test")

_RESTORE = "restore data/raw/digits.csv from the repository, or pass the path of an unchanged copy"


class DigitsConfig(BaseModel):
    """Which file the digits are read from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str = Field(default="data/raw/digits.csv", description="the raw file, relative to the project's top")


class SplitConfig(BaseModel):
    """Sizes of the splits, in images; what they leave over belongs to no split."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sft: int = Field(default=450, ge=10, le=IMAGES, description="images for the traces of supervised fine-tuning")
    rft: int = Field(default=450, ge=10, le=IMAGES, description="labelled images for reinforcement fine-tuning")
    validation: int = Field(default=97, ge=10, le=IMAGES, description="labelled images for choosing settings")
    stream: int = Field(default=400, ge=0, le=IMAGES, description="unlabelled images held out for online adaptation")
    test: int = Field(default=400, ge=10, le=IMAGES, description="labelled images for the final figures only")


def read_digits(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read and check the digits file.

    Parameters
    ----------
    path : path-like
        CSV with the header ``image_id,label,p00,...,p63`` and one image per line.

    Returns
    -------
    dict
        ``images`` uint8 [1797, 8, 8], ink 0 to 16, row by row; ``labels`` uint8 [1797], 0 to 9.

    Raises
    ------
    InvalidInput
        If the file is missing, unreadable or not exactly such a table; file, line and remedy are named.
    """
    where = Path(path)
    try:
        data = where.read_bytes()
    except FileNotFoundError as error:
        raise InvalidInput(f"the digits file {where} does not exist", _RESTORE) from error
    except OSError as error:
        raise InvalidInput(
            f"the digits file {where} cannot be read: {error.strerror}", "check its owner and mode"
        ) from error
    return parse_digits(data, where)


def digits_from_csv(run: Run, config: DigitsConfig, file: bytes) -> dict[str, np.ndarray]:
    """Check the bytes of the digits file; the recipe of the digits.

    Parameters
    ----------
    run : Run
        Takes the number of images as a metric.
    config : DigitsConfig
        Names the file in errors.
    file : bytes
        Its content.

    Returns
    -------
    dict
        As `read_digits`.

    Raises
    ------
    InvalidInput
        As `read_digits`.
    """
    digits = parse_digits(file, Path(config.path))
    run.log_metric("images", len(digits["labels"]))
    return digits


def parse_digits(data: bytes, where: Path) -> dict[str, np.ndarray]:
    """Check the content of a digits file; `where` names it in errors. Otherwise like `read_digits`."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"the digits file {where} is not UTF-8 text: {error}", _RESTORE) from error
    lines = text.replace("\r\n", "\n").removesuffix("\n").split("\n")
    header = lines[0].split(",")
    if header != COLUMNS:
        raise _wrong(where, 1, _about_header(header))
    values = np.empty((IMAGES, len(COLUMNS)), dtype=np.int64)
    for row, line in enumerate(lines[1:]):
        if row == IMAGES:
            raise _wrong(where, row + 2, f"more than {IMAGES} images")
        values[row] = _image(where, row + 2, line.split(","), row)
    if len(lines) - 1 < IMAGES:
        raise _wrong(where, len(lines) + 1, f"the file ends after {len(lines) - 1} images of {IMAGES}")
    return {
        "images": values[:, 2:].astype(np.uint8).reshape(IMAGES, SIDE, SIDE),
        "labels": values[:, 1].astype(np.uint8),
    }


def _about_header(header: list[str]) -> str:
    missing = [name for name in COLUMNS if name not in header]
    unknown = [name for name in header if name not in COLUMNS]
    said = [f"missing columns {', '.join(missing[:5])}"] if missing else []
    said += [f"unknown columns {', '.join(unknown[:5])}"] if unknown else []
    return "; ".join(said) or "the columns are in another order or repeated"


def _image(where: Path, line: int, fields: list[str], expected_id: int) -> list[int]:
    if len(fields) != len(COLUMNS):
        raise _wrong(where, line, f"{len(fields)} fields, expected {len(COLUMNS)}")
    numbers = []
    for name, field in zip(COLUMNS, fields, strict=True):
        if not (field.isascii() and field.isdigit() and len(field) <= 4):
            raise _wrong(where, line, f"{name} is {field[:20]!r}, not a whole number")
        number = int(field)
        highest = CLASSES - 1 if name == "label" else IMAGES - 1 if name == "image_id" else DEEPEST_INK
        if number > highest:
            raise _wrong(where, line, f"{name} is {number}, outside 0 to {highest}")
        numbers.append(number)
    if numbers[0] != expected_id:
        raise _wrong(where, line, f"image_id is {numbers[0]}, expected {expected_id}")
    return numbers


def _wrong(where: Path, line: int, what: str) -> InvalidInput:
    return InvalidInput(f"the digits file {where}, line {line}: {what}", _RESTORE)


def split_digits(run: Run, config: SplitConfig, digits: Mapping[str, Any]) -> dict[str, dict[str, np.ndarray]]:
    """Divide the digits into disjoint, stratified splits.

    Each class is shuffled and spread evenly over one common order, of which a split is one contiguous piece: so every
    split holds every class within two images of its share.

    Parameters
    ----------
    run : Run
        Gives the seed (consumer ``digits/split``) and takes the sizes as metrics.
    config : SplitConfig
        Sizes in images.
    digits : mapping
        What `read_digits` returned.

    Returns
    -------
    dict
        Split name to ``images`` uint8 [n, 8, 8], ``labels`` uint8 [n] (absent from `stream`) and ``image_ids``
        int64 [n], in ascending order of image id.

    Raises
    ------
    InvalidValue
        If the sizes together exceed the images.
    """
    images, labels = np.asarray(digits["images"]), np.asarray(digits["labels"])
    sizes = {name: int(getattr(config, name)) for name in SPLITS}
    if sum(sizes.values()) > len(images):
        raise InvalidValue(
            f"the splits ask for {sum(sizes.values())} images of {len(images)}",
            f"make one of {', '.join(SPLITS)} smaller",
        )
    generator = run.seeds.numpy("digits/split")
    order = stratified_order(labels, CLASSES, generator)
    splits: dict[str, dict[str, np.ndarray]] = {}
    start = 0
    for name, size in sizes.items():
        ids = np.sort(order[start : start + size]).astype(np.int64)
        start += size
        splits[name] = {"images": images[ids], "image_ids": ids}
        if name != "stream":
            splits[name]["labels"] = labels[ids]
        run.log_metric(f"split/{name}", size)
    run.log_metric("split/unused", len(images) - start)
    return splits


def stratified_order(labels: np.ndarray, classes: int, generator: np.random.Generator) -> np.ndarray:
    """Return an order of which every contiguous piece holds each class within two examples of its share.

    Parameters
    ----------
    labels : ndarray
        Integers [n], 0 to `classes` - 1.
    classes : int
        How many classes there are.
    generator : numpy.random.Generator
        Shuffles each class.

    Returns
    -------
    ndarray
        Positions, int64 [n].
    """
    place = np.empty(len(labels))
    for one in range(classes):
        members = np.flatnonzero(labels == one)
        place[members] = (generator.permutation(len(members)) + 0.5) / len(members)
    return np.lexsort((labels, place))
