"""Texts, tables, figures and images as what an artifact holds.

Laws: equal content has equal bytes: no date and no program's version is written into a picture; what is none of the
forms that are named is refused by its type.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from repro_assets.errors import InvalidValue
from repro_assets.wording import type_in_words


def png_of_image(image: Any) -> bytes:
    """Return an image as PNG.

    Parameters
    ----------
    image : array, tensor or PIL.Image.Image
        Of an array the shape is (height, width), (height, width, 1), or (height, width, 3 or 4); whole numbers are 0
        to 255, others 0 to 1.

    Raises
    ------
    InvalidValue
        If it is none of these, or a value is out of range or no number.
    """
    from PIL import Image

    picture = image if isinstance(image, Image.Image) else Image.fromarray(_pixels(image))
    written = io.BytesIO()
    picture.save(written, "PNG")
    return written.getvalue()


def figure_bytes(figure: Any) -> tuple[bytes, str]:
    """Return a figure's bytes and the suffix of their form: PNG of matplotlib's, JSON of plotly's.

    Raises
    ------
    InvalidValue
        If it is no figure of either.
    """
    if "matplotlib" in sys.modules:
        from matplotlib.figure import Figure

        found = figure if isinstance(figure, Figure) else getattr(figure, "figure", None)
        if isinstance(found, Figure):
            written = io.BytesIO()
            found.savefig(written, format="png", metadata={"Software": None})
            return written.getvalue(), ".png"
    if type(figure).__module__.startswith("plotly.") and hasattr(figure, "to_json"):
        return figure.to_json().encode(), ".plotly.json"
    raise InvalidValue(f"{type_in_words(figure)} is no figure", "give a figure of matplotlib or plotly")


def table_of(rows: Any) -> Any:
    """Return rows as a table that an artifact holds.

    Parameters
    ----------
    rows : DataFrame, pyarrow.Table, mapping of columns, or sequence of mappings
        A column that a row lacks is null there.

    Raises
    ------
    InvalidValue
        If it is none of these, or its columns do not fit one another.
    """
    import pyarrow

    # A module that another thread is importing at this moment has no such class yet.
    if isinstance(rows, (pyarrow.Table, getattr(sys.modules.get("pandas"), "DataFrame", ()))):
        return rows
    try:
        if isinstance(rows, Mapping):
            return pyarrow.table(dict(rows))
        if isinstance(rows, Sequence) and all(isinstance(row, Mapping) for row in rows):
            names = list(dict.fromkeys(name for row in rows for name in row))
            return pyarrow.table({name: [row.get(name) for row in rows] for name in names})
    except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError, TypeError) as error:
        raise InvalidValue(f"the rows are no table: {' '.join(str(error).split())}") from error
    raise InvalidValue(f"{type_in_words(rows)} is no table", "give a DataFrame, columns by name, or a list of rows")


def _pixels(image: Any) -> Any:
    import numpy

    torch = sys.modules.get("torch")
    array = image.detach().cpu().numpy() if torch is not None and isinstance(image, torch.Tensor) else image
    if not isinstance(array, numpy.ndarray):
        raise InvalidValue(f"{type_in_words(image)} is no image", "give an array, a tensor or an image of Pillow")
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))) or 0 in array.shape:
        raise InvalidValue(f"an image cannot have the shape {array.shape}", "height, width and 1, 3 or 4 channels")
    whole = array.dtype.kind in "iu"
    if not whole and array.dtype.kind not in "fb":
        raise InvalidValue(f"an image cannot hold {array.dtype}", "give integers, or floats from 0 to 1")
    scaled = array if whole else array.astype(numpy.float64) * 255
    # NaN compares as False.
    if not bool(((scaled >= 0) & (scaled <= 255)).all()):
        raise InvalidValue("a value of the image is out of range", "whole numbers 0 to 255, others 0 to 1")
    return (scaled if whole else numpy.rint(scaled)).astype(numpy.uint8)
