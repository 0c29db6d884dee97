"""The record of the settings that decide bits says what holds."""

from __future__ import annotations

import json

import torch

from repro_assets.determinism.mode import Mode, applied
from repro_assets.determinism.settings import settings_record
from repro_assets.identity.canonical import decode, encode


def test_what_is_asked_for_is_what_is_recorded() -> None:
    with applied(Mode(threads=2)):
        record = settings_record()
    assert record["threads"] == 2
    assert record["deterministic"] is True
    assert record["deterministic_warn_only"] is False
    assert record["float32_precision"]["cuda.matmul"] == "ieee"
    assert record["cublas"]["workspace"] == ":4096:8"
    assert record["torch"] == torch.__version__
    assert record["cpu_capability"] == torch.backends.cpu.get_cpu_capability()
    assert record["world_size"] == 1
    assert decode(encode(record)) == json.loads(json.dumps(record))


def test_the_record_sees_settings_that_the_mode_does_not_make() -> None:
    before = settings_record()
    torch.set_default_dtype(torch.float64)
    try:
        assert settings_record()["default_dtype"] == "float64" != before["default_dtype"]
    finally:
        torch.set_default_dtype(torch.float32)
    if torch.set_flush_denormal(True):
        try:
            assert settings_record()["flush_denormal"] is True is not before["flush_denormal"]
        finally:
            torch.set_flush_denormal(False)


def test_the_record_sees_automatic_casts() -> None:
    assert settings_record()["autocast"] == {"cpu": None, "cuda": None}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert settings_record()["autocast"]["cpu"] == "bfloat16"
