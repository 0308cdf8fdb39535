from __future__ import annotations

import base64

import numpy as np

from pellucid.reports.approximation.embedding import encode_array, page_script


def test_encode_array_is_little_endian():
    values = np.array([[1.5, -2.0], [0.25, 3.0]])
    read = np.frombuffer(base64.b64decode(encode_array(values, "<f4")), "<f4")
    assert read.tolist() == values.ravel().tolist()


def test_page_script_is_strict_and_cannot_end_its_element():
    text, source = page_script()
    assert text.startswith('"use strict";')
    assert "</script" not in text.lower()
    assert source.startswith("'sha256-")
