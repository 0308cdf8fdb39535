from __future__ import annotations

import base64
import hashlib
import json

import numpy as np
import pytest

from pellucid.reports.embedded_script import embed_json, seal_script


def test_embed_json_cannot_end_its_element_and_reads_back():
    data = {"text": "</script><!-- & \u2028 é", "list": [1, 2.5, None]}
    text = str(embed_json(data))
    assert not any(character in text for character in "<>&\u2028")
    assert json.loads(text) == data


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, np.float64("nan")])
def test_embed_json_of_what_is_not_finite_is_null(value):
    assert json.loads(str(embed_json([value]))) == [None]


def test_seal_script_names_the_hash_of_what_stands_in_the_page():
    text, source = seal_script("const x = 1;\n")
    digest = base64.b64encode(hashlib.sha256(str(text).encode()).digest()).decode()
    assert source == f"'sha256-{digest}'"
    assert str(text).startswith('"use strict";')
