"""`repro generate`: a version with its record, a file with the same bytes every time, and nothing overwritten."""

from __future__ import annotations

import hashlib
import io
import json

import numpy as np
import pytest

from repro_assets.artifacts import repository
from repro_assets.catalog import queries
from repro_assets.cli import generate
from repro_assets.determinism.seeds import Seeds
from repro_assets.errors import ReusedElsewhere
from repro_assets.store.home import open_store
from repro_assets.training.synthetic import SyntheticConfig, generate_synthetic, to_npz


class Seeded:
    """As much of a run as the generator needs."""

    def __init__(self, seed: int) -> None:
        self.seeds = Seeds(seed)

    def log_metric(self, name: str, value: float) -> None:
        pass


@pytest.mark.slow
def test_a_data_set_is_written_versioned_and_on_record_with_seed_and_config(project, tmp_path):
    home, output = tmp_path / "store", tmp_path / "moons.npz"
    words = ("--problem", "moons", "--n-samples", 120, "--noise", 0.1, "--seed", 7, "--output", output)
    said = project.repro("generate", *words, "--json", home=home)
    assert said.code == 0, said.err
    document = said.document
    assert {"name": "dataset-synthetic-moons", "version": 1}.items() <= document["artifact"].items()
    assert (document["kept"], document["dropped"], document["reused"]) == (120, {}, False)
    data = output.read_bytes()
    assert document["sha256"] == hashlib.sha256(data).hexdigest()
    wanted = generate_synthetic(Seeded(7), SyntheticConfig(problem="moons", n_samples=120, noise=0.1))
    assert data == to_npz(wanted)
    with np.load(io.BytesIO(data)) as file:
        assert np.array_equal(file["test_inputs"], wanted["test"]["inputs"])

    store = open_store(home)
    assert str(repository.put(store, wanted).digest) == document["artifact"]["digest"]
    (run,) = queries.rows(store, "SELECT * FROM runs WHERE run_id = $run", {"run": document["run_id"]})
    assert (run["seed"], run["state"], run["partition"]) == (7, "COMPLETED", "moons")
    assert {"problem": "moons", "n_samples": 120, "noise": 0.1}.items() <= json.loads(run["config"]).items()


def test_another_file_is_replaced_only_by_force(home, tmp_path):
    splits = generate_synthetic(Seeded(0), SyntheticConfig(problem="moons", n_samples=60))
    artifact = repository.claim(repository.put(home, splits), "dataset-synthetic-moons")
    output = tmp_path / "moons.npz"
    output.write_bytes(b"mine")
    with pytest.raises(ReusedElsewhere, match=r"differs from dataset-synthetic-moons:v1"):
        generate.write(artifact, output, force=False)
    assert output.read_bytes() == b"mine"
    sizes, digest = generate.write(artifact, output, force=True)
    assert output.read_bytes() == to_npz(splits)
    assert sizes == {"train": 33, "validation": 9, "test": 18}
    assert generate.write(artifact, output, force=False) == (sizes, digest)
    assert [path.name for path in tmp_path.glob("*.npz")] == ["moons.npz"]


def test_a_wrong_request_is_refused_in_one_line_before_anything_is_made(repro, home, tmp_path):
    given = {"--problem": "moons", "--output": tmp_path / "m.npz"}
    (tmp_path / "words.yaml").write_text("n_sample: 100\n")
    before = sorted(path for path in home.root.rglob("*") if "journal" not in path.parts)
    for words, message in (
        ({"--problem": "moon"}, "there is no problem 'moon' (one of spirals, moons"),
        ({"--config": tmp_path / "words.yaml"}, "has the word 'n_sample'"),
        ({"--rotations": 3}, "rotations is a parameter of spirals, not of moons"),
        ({"--n-samples": 3}, "n_samples is 3: input should be greater than or equal to 50"),
        ({"--noise": -1}, "noise is -1"),
        ({"--output": tmp_path / "m.csv"}, "is not the name of an .npz file"),
        ({"--output": tmp_path / "none" / "m.npz"}, "its folder is not there"),
    ):
        said = repro("generate", *(part for pair in {**given, **words}.items() for part in pair), "--json")
        assert (said.code, said.out) == (2, "")
        (line,) = said.err.splitlines()
        assert message in line, line
    assert sorted(path for path in home.root.rglob("*") if "journal" not in path.parts) == before
    assert not list(tmp_path.glob("*.npz"))
