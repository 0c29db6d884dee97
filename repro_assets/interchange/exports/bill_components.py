"""What a model was made of and with, as components of a CycloneDX document: data, models, code, packages, machine.

Laws: a component says what is on record and no more: no license, hash or supplier of a package is guessed; a package
that came from an index is named by its purl, one that is a folder of somebody's machine has none. The hash of an
artifact is that of its file where it is one, else that of its manifest, and a property says which.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.component import Commit, Component, ComponentScope, ComponentType, Pedigree
from packageurl import PackageURL

from repro_assets.artifacts.kinds import json_value, raw_bytes
from repro_assets.capture.packages import normalised
from repro_assets.cards.records import Records
from repro_assets.cards.said import said
from repro_assets.cards.subject import Subject
from repro_assets.wording import plain

PREFIX = "repro:"
SOURCE = "source:"
_MODELS = """
    SELECT digest FROM (
        SELECT digest, collection AS name FROM versions
        UNION ALL SELECT digest, name FROM run_outputs
        UNION ALL SELECT model, 'model-' FROM evaluations
        UNION ALL SELECT digest, 'model-' FROM checkpoints
    ) WHERE starts_with(name, 'model-') AND list_contains($digests, digest)
"""
_VERSIONS = "SELECT collection, version FROM versions WHERE list_contains($digests, digest)"
_FILES = """
    SELECT e.digest, e.objects FROM manifest_entries e JOIN artifacts a USING (digest)
    WHERE a.kind = $kind AND len(e.objects) = 1 AND list_contains($digests, e.digest)
"""


def properties(facts: Mapping[str, Any]) -> list[Property]:
    """Return facts as properties of ours; what is None is left out, and what is no text is JSON."""
    return [
        Property(name=f"{PREFIX}{name}", value=as_text(value)) for name, value in facts.items() if value is not None
    ]


def as_text(value: Any) -> str:
    """Return a value as the text of a property: itself where it is one, else JSON."""
    value = plain(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


class Artifacts:
    """Artifacts of a store as components.

    Parameters
    ----------
    records : Records
        Of the store.
    digests : iterable of str
        All that will be asked for.
    """

    def __init__(self, records: Records, digests: Iterable[str]) -> None:
        self._records = records
        given = {"digests": list(digests)}
        self._known = records.sizes(given["digests"])
        self._models = {row["digest"] for row in records.rows(_MODELS, given)}
        versions = records.rows(_VERSIONS, given)
        self._versions = {f"{row['collection']}:v{row['version']}": _named_and_numbered(row) for row in versions}
        files = records.rows(_FILES, {**given, "kind": raw_bytes.NAME})
        self._files = {row["digest"]: row["objects"][0] for row in files}

    def is_model(self, digest: str) -> bool:
        """Tell whether an artifact was called or used as a model, or is the checkpoint of one."""
        return digest in self._models

    def data(self, ref: str) -> dict[str, Any]:
        """Return what the document says of a component that is data, for which the library has no class."""
        if ref.startswith(SOURCE):
            return {"type": "source-code", "name": "source"}
        kind = self._known.get(ref, {}).get("kind")
        return {"type": "other" if kind == json_value.NAME else "dataset", "name": self._records.named(ref)}

    def component(self, digest: str, *, ref: bool = True, **facts: Any) -> Component:
        """Return an artifact as a component, with facts of ours; without its reference where it stands twice."""
        name = self._records.named(digest)
        collection, version = self._versions.get(name, (name, None))
        known = self._known.get(digest, {})
        file = self._files.get(digest)
        mine = {
            "digest": digest,
            "kind": known.get("kind"),
            "bytes": known.get("size"),
            "hash_of": "file" if file else "manifest",
        }
        return Component(
            type=ComponentType.MACHINE_LEARNING_MODEL if self.is_model(digest) else ComponentType.DATA,
            name=collection,
            version=version,
            bom_ref=digest if ref else None,
            hashes=[_hash(file or digest)],
            properties=properties({**mine, **facts}),
        )


def model_component(subject: Subject, artifacts: Artifacts, summary: str | None) -> Component:
    """Return the model that the document is about."""
    run = subject.run or {}
    facts: dict[str, Any] = {
        "run": run.get("run_id"),
        "recipe": run.get("recipe"),
        "asset": run.get("asset"),
        "experiment": run.get("experiment"),
        "tags": run.get("tags") or None,
        "trial": run.get("trial"),
        "replay_command": run.get("command"),
        "evicted": True if subject.record["evicted"] else None,
    }
    model = artifacts.component(subject.record["digest"], **facts)
    model.type = ComponentType.MACHINE_LEARNING_MODEL
    model.description = summary
    license = said(subject.run, "license")
    if license is not None:
        model.licenses.add(LicenseFactory().make_from_string(license))
    if subject.collection is not None:
        model.name, model.version = subject.collection, str(subject.version)
    ancestors = [row for row in run.get("inputs") or () if artifacts.is_model(row["digest"])]
    earlier = [row for row in subject.record["versions"] if not row["deleted"] and not _is_own(subject, row)]
    if ancestors or earlier:
        also = ", ".join(f"{row['collection']}:v{row['version']}" for row in earlier)
        model.pedigree = Pedigree(
            ancestors=[artifacts.component(row["digest"], ref=False, slot=row["slot"]) for row in ancestors],
            notes=f"The same content is also {also}." if also else None,
        )
    return model


def _named_and_numbered(row: Mapping[str, Any]) -> tuple[str, str]:
    return str(row["collection"]), str(row["version"])


def _is_own(subject: Subject, row: Mapping[str, Any]) -> bool:
    return (row["collection"], row["version"]) == (subject.collection, subject.version)


def source_component(run: Mapping[str, Any]) -> Component | None:
    """Return the source tree that a run was executed from; None where it has neither a tree nor a commit."""
    facts = run.get("source_facts") or {}
    digest, commit = run.get("source"), facts.get("commit")
    if digest is None and commit is None:
        return None
    told = {name: facts.get(name) for name in ("commit", "branch", "dirty", "remote")}
    return Component(
        type=ComponentType.DATA,
        name="source",
        version=commit,
        bom_ref=f"{SOURCE}{digest or commit}",
        hashes=[_hash(digest)] if digest else [],
        properties=properties({"digest": digest, "hash_of": "manifest" if digest else None, **told}),
        pedigree=Pedigree(commits=[Commit(uid=commit, message=facts.get("message"))]) if commit else None,
    )


def environment_components(document: Mapping[str, Any], used: Mapping[str, str]) -> list[Component]:
    """Return interpreter, operating system, devices and packages of an environment document.

    Parameters
    ----------
    document : mapping
        The document.
    used : mapping
        Packages of which the run had imported a module when it ended; nothing where that is not on record.
    """
    found = [*_platform(document), *_devices(document.get("hardware") or {})]
    imported = {normalised(name) for name in used}
    found += [_package(row, imported, document) for row in document.get("packages") or ()]
    found += [_conda_package(row) for row in document.get("conda_packages") or ()]
    return list({component.bom_ref.value: component for component in found}.values())


def _platform(document: Mapping[str, Any]) -> Iterable[Component]:
    system, python = document.get("os") or {}, document.get("python") or {}
    if system:
        facts = {name: value for name, value in system.items() if name != "name"}
        name = system.get("name") or system.get("system") or "operating system"
        yield Component(
            type=ComponentType.OPERATING_SYSTEM, name=name, bom_ref="operating-system", properties=properties(facts)
        )
    if python:
        facts = {name: value for name, value in python.items() if name not in ("implementation", "version")}
        yield Component(
            type=ComponentType.PLATFORM,
            name=python.get("implementation") or "Python",
            version=python.get("version"),
            bom_ref="python",
            properties=properties(facts),
        )
    container = document.get("container") or {}
    if container.get("runtime") not in (None, "none"):
        facts = {name: value for name, value in container.items() if name != "image"}
        name = container.get("image") or "unknown"
        yield Component(type=ComponentType.CONTAINER, name=name, bom_ref="container", properties=properties(facts))


def _devices(hardware: Mapping[str, Any]) -> Iterable[Component]:
    cpu = hardware.get("cpu") or {}
    if cpu.get("model"):
        facts = {name: cpu.get(name) for name in ("logical_cores", "physical_cores", "flags")}
        facts["memory_bytes"] = hardware.get("memory_bytes")
        yield Component(
            type=ComponentType.DEVICE, name=str(cpu["model"]).strip(), bom_ref="cpu", properties=properties(facts)
        )
    for gpu in hardware.get("gpus") or ():
        facts = {name: value for name, value in gpu.items() if name not in ("name", "driver", "cuda_driver")}
        yield Component(
            type=ComponentType.DEVICE,
            name=gpu.get("name") or "GPU",
            bom_ref=f"gpu:{gpu.get('index')}",
            properties=properties(facts),
        )
        if gpu.get("driver"):
            yield Component(
                type=ComponentType.DEVICE_DRIVER,
                name="NVIDIA driver",
                version=gpu["driver"],
                bom_ref=f"gpu-driver:{gpu['driver']}",
                properties=properties({"cuda": gpu.get("cuda_driver")}),
            )


def _package(row: Mapping[str, Any], imported: set[str], document: Mapping[str, Any]) -> Component:
    name, version, origin = str(row["name"]), str(row["version"]), row.get("origin")
    qualifiers = {} if origin is None else {"vcs_url" if "+" in origin.partition("://")[0] else "download_url": origin}
    purl = None if row.get("editable") else PackageURL("pypi", None, name, version, qualifiers)
    facts: dict[str, Any] = {"editable": row.get("editable"), "origin": origin}
    if normalised(name) == "torch":
        facts |= {f"torch_{part}": value for part, value in (document.get("torch") or {}).items() if part != "version"}
    edited = (document.get("edited_packages") or {}).get(name)
    return Component(
        type=ComponentType.LIBRARY,
        name=name,
        version=version,
        purl=purl,
        bom_ref=f"pypi:{normalised(name)}",
        scope=ComponentScope.REQUIRED if normalised(name) in imported else None,
        properties=properties(
            {**facts, "edited": edited, "imported": (normalised(name) in imported) if imported else None}
        ),
    )


def _conda_package(row: Mapping[str, Any]) -> Component:
    name, version, build, channel = (str(row.get(part) or "") for part in ("name", "version", "build", "channel"))
    return Component(
        type=ComponentType.LIBRARY,
        name=name,
        version=version,
        purl=PackageURL("conda", None, name, version, {"build": build, "channel": channel}),
        bom_ref=f"conda:{name}",
    )


def _hash(digest: str) -> HashType:
    return HashType(alg=HashAlgorithm.SHA_256, content=digest.removeprefix("sha256:"))
