from __future__ import annotations

import json

import pytest

from pellucid.cli.output import make_table, print_error, print_json, print_lines, printable


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("grüße, 猫", "grüße, 猫"),
        ("a\nb", "a\\nb"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\udcff", "\\udcff"),
        ("\x9b2J", "\\x9b2J"),
    ],
)
def test_printable_escapes_what_a_terminal_acts_on(text, expected):
    assert printable(text) == expected


def test_printable_no_break_space_is_a_space():
    assert printable("33.3\N{NO-BREAK SPACE}%") == "33.3 %"


def test_print_lines_keeps_a_name_with_a_line_break_on_one_line(capsys):
    print_lines(["class a\nb"])
    assert capsys.readouterr().out == "class a\\nb\n"


def test_print_error_is_one_line_on_stderr(capsys):
    print_error("first\nsecond \x1b[2J")
    captured = capsys.readouterr()
    assert captured.err == "pellucid: error: first second \\x1b[2J\n"
    assert captured.out == ""


def test_print_json_is_ascii(capsys):
    print_json({"class": "猫\x1b"})
    text = capsys.readouterr().out
    assert text.isascii()
    assert json.loads(text) == {"class": "猫\x1b"}


def test_print_json_refuses_what_is_not_json():
    with pytest.raises(ValueError, match="not JSON compliant"):
        print_json({"value": float("nan")})


def test_make_table_lines_up_its_columns():
    assert make_table([("a", "b"), ("long", "x")]) == ["a     b", "----  -", "long  x"]
