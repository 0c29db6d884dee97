"""What an experiment keeps.

Laws: what is kept is stored and recorded before the call returns; an artifact is a version of the collection that bears
its name, but for replays and trials' aliases as for every run; texts, tables, figures and images belong to the run and
have no versions. A store is never kept in itself.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repro_assets.artifacts import repository
from repro_assets.artifacts.handle import Artifact
from repro_assets.artifacts.names import check_new_name
from repro_assets.errors import InvalidInput, InvalidValue
from repro_assets.tracking import media
from repro_assets.tracking.configuration import config_of
from repro_assets.tracking.inputs import Inputs
from repro_assets.tracking.opened import Reached, opened
from repro_assets.wording import type_in_words

if TYPE_CHECKING:
    from repro_assets.tracking.watched import Watched


class Outputs(Inputs):
    """The ways in which an experiment keeps; a part of `Experiment`."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Record one point of several metrics, as `log_metric` does."""
        if not isinstance(metrics, Mapping):
            raise InvalidValue(f"metrics cannot be {type_in_words(metrics)}", "give a mapping of names to numbers")
        self.run.log_metrics(metrics, step)

    def log_param(self, name: str, value: Any) -> None:
        """Record a parameter, whole; what JSON cannot hold is described by its type and a digest."""
        self.log_params({name: value})

    def log_params(self, params: Any) -> None:
        """Record parameters, in any form of a configuration; a later value of one name wins."""
        found = config_of(params)
        self.run.log_params(found)
        if self.mirroring is not None:
            self.mirroring.params({name: self.run.params[name] for name in found})

    def log_artifact(
        self, value: Any, name: str, *, kind: str | None = None, parents: Sequence[str | Artifact] = ()
    ) -> Artifact:
        """Keep a value, a file or a folder as the next version of `name`.

        Parameters
        ----------
        value : object
            Tensors, arrays, a table, JSON, bytes, a handle, or the path of a file or folder (str or Path).
        name : str
            Its collection.
        kind : str, optional
            The kind of artifact, such as ``tensors``; by the value if left out.
        parents : sequence
            Artifacts that it was made from, recorded as inputs of the run.

        Raises
        ------
        InvalidValue
            If no kind holds the value, the name cannot be one, or a path holds the store.
        InvalidInput
            If a path is not there.
        UnknownName
            If a parent is not known.
        """
        if isinstance(value, str):
            value = Path(value)
        if isinstance(value, Path):
            value = self._checked(value)
        elif not isinstance(value, Artifact) and hasattr(value, "state_dict"):
            raise InvalidValue(
                f"an artifact cannot be {type_in_words(value)}", "keep it with track_model, or keep its state_dict()"
            )
        check_new_name(name)
        self.use_parents(parents)
        stored = value if isinstance(value, Artifact) else repository.put(self.home, value, kind, name=name)
        return self._kept(name, stored, f"{name}-v{{version}}", name)

    def track_model(self, model: Any, name: str, *, parents: Sequence[str | Artifact] = ()) -> Artifact:
        """Keep a model as the next version of ``model-<name>``, under the display name ``model-<run_id>``.

        Parameters
        ----------
        model : object
            What has a ``state_dict``, tensors by name, or what `log_artifact` takes.
        """
        collection = check_new_name(f"model-{name}")
        self.use_parents(parents)
        value = model.state_dict() if hasattr(model, "state_dict") else model
        if isinstance(value, str):
            value = Path(value)
        if isinstance(value, Path):
            value = self._checked(value)
        stored = value if isinstance(value, Artifact) else repository.put(self.home, value, name=collection)
        # A second model of the run needs a name of its own.
        display = f"model-{self.run.run_id}"
        taken = {output.name for output in self.run.outputs.values()}
        return self._kept(collection, stored, display if display not in taken else f"{display}-{name}", collection)

    def log_text(self, text: str, name: str, step: int | None = None) -> Artifact:
        """Keep a text.

        Raises
        ------
        InvalidValue
            If it is none, or the run has kept another one under this name and step, as for tables, figures and images.
        """
        if not isinstance(text, str):
            raise InvalidValue(f"a text cannot be {type_in_words(text)}", "log_artifact keeps bytes and values")
        return self._belonging(text.encode("utf-8", "backslashreplace"), f"{name}.txt", step)

    def log_table(self, rows: Any, name: str, step: int | None = None) -> Artifact:
        """Keep a table: a DataFrame, columns by name, or a list of rows."""
        return self._belonging(media.table_of(rows), name, step)

    def log_figure(self, figure: Any, name: str, step: int | None = None) -> Artifact:
        """Keep a figure of matplotlib, as PNG, or of plotly, as JSON."""
        data, suffix = media.figure_bytes(figure)
        return self._belonging(data, f"{name}{suffix}", step)

    def log_image(self, image: Any, name: str, step: int | None = None) -> Artifact:
        """Keep an image, as PNG: an array, a tensor or an image of Pillow; see `media.png_of_image`."""
        return self._belonging(media.png_of_image(image), f"{name}.png", step)

    def checkpoint(
        self,
        value: Any,
        *,
        step: int,
        kind: str = "step",
        identifier: int | str | None = None,
        metrics: Mapping[str, float] | None = None,
    ) -> Artifact:
        """Store a checkpoint under the display name ``checkpoint_<kind>_<identifier>``.

        Parameters
        ----------
        value : object
            Tensors, numbers and texts in dictionaries and lists: all that a resume needs.
        step : int
            Updates made.
        kind : str
            Such as ``step``, ``epoch`` or ``best``.
        identifier : int or str, optional
            `step` if left out.
        metrics : mapping, optional
            Figures at this step, by which the best can be found.

        Raises
        ------
        InvalidValue
            If the run has another checkpoint of this name, or no kind of artifact holds the value.
        """
        identifier = step if identifier is None else identifier
        name = f"checkpoint_{kind}_{identifier}"
        if name in self.run.checkpoints:
            stored = value if isinstance(value, Artifact) else repository.put(self.home, value)
            if self.run.checkpoints[name] == str(stored.digest):
                return dataclasses.replace(stored, name=f"{self.run.run_id}/{name}")
            raise InvalidValue(f"the run has another {name} already", "give another step or identifier")
        saved = self.run.checkpoint(kind, identifier, value, step=step, metrics=metrics)
        self._has_made(name)
        return saved

    def watch(
        self,
        model: Any,
        optimizer: Any = None,
        *,
        every: int = 0,
        gradients: bool = False,
        generators: Mapping[str, Any] | None = None,
        done: int = 0,
    ) -> Watched:
        """Fingerprint a PyTorch training from here to the experiment's end.

        Parameters
        ----------
        model, optimizer : Module and Optimizer
            The steps are those of the optimizer; without one, call `Watched.step` after each.
        every : int
            Steps between fingerprints; 0 for as many as cost at most 2 % of the time.
        gradients : bool
            Fingerprint the gradients too.
        generators : mapping, optional
            Named generators beside the global ones.
        done : int
            Steps that were made before, by the training that this one goes on from.

        Raises
        ------
        InvalidValue
            If `model` or `optimizer` is something else.
        """
        from repro_assets.tracking.watched import Watched

        watched = Watched(
            self.run, model, optimizer, every=every, gradients=gradients, generators=generators, done=done
        )
        self._stack.callback(watched.close)
        return watched

    def keep_result(self, value: Any) -> Artifact:
        """Keep what a function returned as the output ``result``.

        Raises
        ------
        InvalidValue
            If no kind of artifact holds it.
        """
        return self._belonging(value, "result", None)

    def _belonging(self, value: Any, name: str, step: int | None) -> Artifact:
        slot = name if step is None else f"{name}@{step}"
        stored = repository.put(self.home, value, name=slot)
        before = self.run.outputs.get(slot)
        if before is not None:
            if before.digest == stored.digest:
                return before
            raise InvalidValue(f"the run has kept another {slot!r} already", "give another name, or a step")
        return self._kept(slot, stored, f"{self.run.run_id}/{slot}", None)

    def _kept(self, slot: str, stored: Artifact, display: str, collection: str | None) -> Artifact:
        kept = self.run.log_output(slot, stored, name=display, collection=None if self.pins else collection)
        if self.mirroring is not None:
            self.mirroring.artifact(slot, kept)
        self._has_made(slot)
        return kept

    def _has_made(self, name: str) -> None:
        """End the replay of an interrupted run where all is made that the run had made."""
        self.made.add(name)
        if self.pins is not None and self.pins.run.until and self.made.issuperset(self.pins.run.until):
            opened.error = Reached()
            raise opened.error

    def _checked(self, path: Path) -> Path:
        if not path.exists():
            raise InvalidInput(f"{path} is not there", "check the path; a text is kept by log_text")
        root = self.home.root.resolve()
        if root.is_relative_to(path.resolve()):
            raise InvalidValue(f"{path} holds the store in {root}", "keep a folder that does not")
        return path
