from __future__ import annotations

import shutil


def test_report_writes_the_same_page_again(pellucid, finished_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(finished_run, run)
    page = run / "report.html"
    before = page.read_text()
    page.unlink()
    outcome = pellucid("report", run)
    assert outcome.code == 0
    assert outcome.out == f"report  {page}\n"
    assert page.read_text() == before


def test_report_json_says_where(pellucid, finished_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(finished_run, run)
    outcome = pellucid("report", run, "--json")
    assert outcome.json == {"run": str(run), "report": str(run / "report.html")}


def test_report_damaged_evaluation_is_bad_data(pellucid, finished_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(finished_run, run)
    (run / "evaluation.json").write_text("{}")
    outcome = pellucid("report", run)
    assert outcome.code == 3
    assert "evaluation.json" in outcome.err
