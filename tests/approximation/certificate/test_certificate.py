import json
import math
import subprocess
import sys

import pytest

from pellucid._checks import DataError
from pellucid.approximation.box import Box
from pellucid.approximation.certificate import Certificate
from pellucid.approximation.certificate.certificate import FORMAT, seal


def example(**changes):
    values = {
        "target": {"kind": "expression", "text": "x", "dimension": 1},
        "box": Box((0.0,), (1.0,)),
        "network_digest": "00",
        "tolerance": 0.1,
        "bound": 0.01,
        "status": "proved",
        "method": "branch and bound",
        "rounding": 1e-15,
    }
    return Certificate(**{**values, **changes})


def test_save_and_load_gives_the_same_certificate(tmp_path):
    certificate = example(details={"boxes": 3}, versions={"python": "3"}, seconds=0.5)
    assert Certificate.load(certificate.save(tmp_path / "c.json")) == certificate


def test_save_of_infinite_bound_writes_null_and_loads_back(tmp_path):
    path = example(bound=math.inf, tolerance=None).save(tmp_path / "c.json")
    assert json.loads(path.read_text())["bound"] is None
    assert Certificate.load(path).bound == math.inf


@pytest.mark.parametrize(("tolerance", "met"), [(0.01, True), (0.009, False), (None, False)])
def test_met_compares_bound_with_tolerance(tolerance, met):
    assert example(tolerance=tolerance).met is met


def test_seal_changes_with_every_field():
    content = example().to_json()
    assert content["seal"] == seal(content)
    for name in set(content) - {"seal"}:
        assert seal({**content, name: "other"}) != content["seal"]


def test_load_of_missing_file_says_so(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        Certificate.load(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "must be JSON"),
        ("[1]", "JSON object"),
        ("{}", "format"),
        (json.dumps({"format": "pellucid-certificate/99"}), "format"),
        (json.dumps({"format": FORMAT}), "fields"),
        ('{"bound": NaN}', "NaN is not a JSON number"),
        ("\x00\xff", "must be JSON"),
    ],
)
def test_load_of_file_that_is_no_certificate_is_data_error(text, message, tmp_path):
    path = tmp_path / "c.json"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        Certificate.load(path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("bound", -1.0),
        ("bound", "0.1"),
        ("bound", True),
        ("tolerance", [1]),
        ("rounding", None),
        ("excluded_measure", 1e999),
        ("status", "certain"),
        ("method", "hope"),
        ("network_digest", 5),
        ("target", "x"),
        ("details", None),
        ("box", [[1.0, 0.0]]),
        ("box", "unit"),
        ("box", [[0.0]]),
    ],
)
def test_from_json_of_senseless_value_is_data_error(name, value):
    with pytest.raises(DataError, match="must have"):
        Certificate.from_json({**example().to_json(), name: value})


def test_importing_certificate_imports_no_torch_and_no_construction():
    code = (
        "import sys, pellucid.approximation.certificate\n"
        "bad = [m for m in sys.modules if m == 'torch' or '.constructions' in m"
        " or m.endswith('approximation.schemes')]\n"
        "assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
