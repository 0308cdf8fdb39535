# https://just.systems; every line also works by hand.

export PATH := justfile_directory() / ".venv/bin:" + env("PATH")

# Show the recipes.
default:
    @just --list

# Make .venv with everything a developer needs.
setup:
    python3 -m venv .venv
    .venv/bin/pip install --quiet --editable '.[dev]'

# Run the tests, or those named.
test *arguments:
    pytest -q -n auto {{ arguments }}

# Run the tests with branch coverage.
coverage:
    pytest -q --cov --cov-report=term-missing:skip-covered

# Run the static checks that CI runs.
check:
    .ci/checks

# Repair what ruff can repair.
fix:
    ruff check --fix
    ruff format

# Do what CI does: README's test line and the checks, in a fresh clone and environment.
ci:
    .ci/run
