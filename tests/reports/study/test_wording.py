from __future__ import annotations

import math

import pytest

from pellucid.reports.study.wording import (
    count_of,
    points,
    points_interval,
    share_interval,
    signed,
    write_amount,
    write_bytes,
    write_p,
    write_seconds,
    write_seeds,
    write_strength,
)


def plain(text):
    return text.replace("\N{NO-BREAK SPACE}", " ").replace("\N{MINUS SIGN}", "-")


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (points(0.0254), "+2.5 points"),
        (points(-0.0254), "-2.5 points"),
        (points(-0.0001), "0.0 points"),
        (points(None), "not measured"),
        (points(math.nan), "not measured"),
        (signed(3.0, 0), "+3"),
        (points_interval(-0.01, 0.02), "-1.0 to +2.0"),
        (points_interval(None, 0.02), ""),
        (share_interval(0.801, 0.8342), "80.1 to 83.4 %"),
        (share_interval(0.8, None), ""),
        (write_p(0.0001), "< 0.001"),
        (write_p(0.0123), "0.012"),
        (write_p(0.234), "0.23"),
        (write_p(None), "not tested"),
        (write_amount(0.0), "0"),
        (write_amount(3.1e-7), "3.1e-7"),
        (write_amount(1.2345), "1.23"),
        (write_amount(12345.6), "12 346"),
        (write_amount(None), "not measured"),
        (write_strength(0.0), "0"),
        (write_strength(6e-4), "0.0006"),
        (write_strength(2.154e-4), "2.2e-4"),
        (write_strength(1e-5), "1e-5"),
        (write_strength(0.025), "0.025"),
        (write_strength(3.0), "3"),
        (write_seeds([0, 1, 2, 3]), "0 to 3"),
        (write_seeds([42]), "42"),
        (write_seeds([1, 5]), "1, 5"),
        (count_of(1, "seed"), "1 seed"),
        (count_of(81738, "weight"), "81 738 weights"),
        (count_of(2, "class", "classes"), "2 classes"),
        (write_bytes(328104), "328.1 kB"),
        (write_bytes(12), "12 bytes"),
        (write_bytes(2.5e6), "2.5 MB"),
        (write_seconds(0.00021), "210 µs"),
        (write_seconds(0.0123), "12.3 ms"),
        (write_seconds(21.44), "21.4 s"),
        (write_seconds(600), "10.0 minutes"),
        (write_seconds(7200), "2.0 hours"),
        (write_seconds(math.nan), "not measured"),
    ],
)
def test_writing_numbers_reads_as_people_write_them(written, expected):
    assert plain(written) == expected
