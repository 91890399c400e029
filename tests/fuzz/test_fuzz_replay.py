"""The corpus, and everything that fuzzing ever found, through the targets that the fuzzer runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fuzz import fuzz_artifact, fuzz_manifest
from fuzz.watch import Finding, Watch, tried
from transplant.errors import ManifestInvalid

CORPUS = Path(__file__).resolve().parent / "corpus"
TARGETS = {"artifact": fuzz_artifact, "manifest": fuzz_manifest}
DOCUMENT = json.loads((fuzz_manifest.GOLDEN / "category.json").read_bytes())
WIRE = (fuzz_manifest.GOLDEN / "category.pb").read_bytes()


def _document(**fields: object) -> bytes:
    return json.dumps(DOCUMENT | fields, separators=(",", ":")).encode()


def _header(shape: object, offsets: object = (0, 4)) -> bytes:
    text = json.dumps({"a": {"dtype": "F32", "shape": shape, "data_offsets": offsets}}).encode()
    return len(text).to_bytes(8, "little") + text + bytes(4)


DIGITS = 10**4000

# What each of these did before it was refused as it is now.
FINDINGS = {
    "manifest": {
        "half_a_million_empty_tensors": WIRE + b"\x42\x00" * 500_000,  # 5.5 s and 1 GiB of error reports
        "half_a_million_empty_metrics": WIRE + b"\x62\x00" * 500_000,
        "three_hundred_thousand_objects": _document(tensors=[{}] * 300_000),  # 5.5 s
        "three_hundred_thousand_parents": _document(parents=[""] * 300_000),  # 1.1 s
        "eighty_thousand_metrics": _document(metrics={str(n): 1 for n in range(80_000)}),
        "eighty_thousand_unknown_fields": _document(**{f"x{n}": 0 for n in range(60_000)}),
        "control_characters_in_a_key": _document(
            libraries={"a\0\x1b[2J\n": "1"}
        ),  # written into the log as they are
        "endless_key": _document(metrics={"a" * 900_000: 1.0}),  # a status of a megabyte
        "endless_site": _document(site="a" * 900_000),
        "endless_hyper_parameters": _document(
            architecture={
                "id": "vgg16",
                "hyper_parameters": [{"name": "a" * 63 + chr(98 + n), "values": [1]} for n in range(24)],
            }
        ),
    },
    "artifact": {
        "endless_dimension": _header([DIGITS, DIGITS]),  # a status of eight kilobytes
        "endless_offset": _header([1], [0, DIGITS]),
    },
}


@pytest.fixture(scope="module", params=TARGETS)
def watched(request):
    target = TARGETS[request.param]
    return request.param, Watch(target.run, [path.read_bytes() for path in target.SEEDS])


def test_the_corpus(watched):
    name, watch = watched
    inputs = sorted((CORPUS / name).iterdir())
    assert len(inputs) > 40
    for path in inputs:
        watch(path.read_bytes())


def test_what_was_found(watched):
    name, watch = watched
    for data in FINDINGS[name].values():
        watch(data)


def test_mutations_keep_their_form(watched):
    """A mutation that breaks every input would let the fuzzer run a million times over nothing."""
    name, watch = watched
    target = TARGETS[name]
    seed = (target.GOLDEN / ("category.safetensors" if name == "artifact" else "category.json")).read_bytes()
    made = {target.mutate(seed, 4096, number, lambda data, _: data) for number in range(60)}
    assert len(made) > 30
    kept = 0
    for data in made:
        watch(data)
        length = int.from_bytes(data[:8], "little")
        text = data[8 : 8 + length] if name == "artifact" else data
        try:
            kept += isinstance(json.loads(text), dict)
        except ValueError:
            continue
    assert kept > 20


def _raise(error: Exception) -> None:
    raise error


@pytest.mark.parametrize("sentence", ["", "a" * 1001, "a\nb", "\x1b[2J"])
def test_a_refusal_that_nobody_can_show_is_a_finding(sentence):
    with pytest.raises(Finding):
        tried(lambda: _raise(ManifestInvalid(sentence)))


def test_any_other_exception_is_a_finding():
    with pytest.raises(KeyError):
        tried(lambda: _raise(KeyError("a bug")))
    assert tried(lambda: _raise(ManifestInvalid("site: a plain sentence"))) is None


def test_time_and_memory_are_watched(monkeypatch):
    watch = Watch(lambda _: None, [])
    watch(b"")
    monkeypatch.setattr("fuzz.watch.CPU_S", -1.0)
    with pytest.raises(Finding, match="took"):
        watch(b"")
    monkeypatch.undo()
    monkeypatch.setattr("fuzz.watch.MEMORY_BYTES", -1)
    with pytest.raises(Finding, match="grew"):
        watch(b"")
