from __future__ import annotations

import base64
import json

import numpy as np
import pytest

from pellucid.reports.approximation.embedding import embed_json, encode_array, page_script


def test_embed_json_cannot_end_its_element_and_reads_back():
    data = {"text": "</script><!-- & \u2028 é", "list": [1, 2.5, None]}
    text = str(embed_json(data))
    assert not any(character in text for character in "<>&\u2028")
    assert json.loads(text) == data


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, np.float64("nan")])
def test_embed_json_of_what_is_not_finite_is_null(value):
    assert json.loads(str(embed_json([value]))) == [None]


def test_encode_array_is_little_endian():
    values = np.array([[1.5, -2.0], [0.25, 3.0]])
    read = np.frombuffer(base64.b64decode(encode_array(values, "<f4")), "<f4")
    assert read.tolist() == values.ravel().tolist()


def test_page_script_is_strict_and_cannot_end_its_element():
    text, source = page_script()
    assert text.startswith('"use strict";')
    assert "</script" not in text.lower()
    assert source.startswith("'sha256-")
