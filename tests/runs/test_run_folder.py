from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid import DataError, UsageError
from pellucid.runs import Run, atomic_files

HOLD = """
import sys, time
from pellucid.runs import Run
with Run.open(sys.argv[1]).exclusive():
    print('held', flush=True)
    time.sleep(60)
"""


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run.create(tmp_path / "run", command="fit", config={"data": "digits", "depth": 5})


def partial_files(run: Run) -> list[Path]:
    return list(run.path.rglob("*.partial"))


def fill_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every sync fail as on a full disk, after the bytes were handed over."""

    def fail(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fail)


# ---------------------------------------------------------------- create and open


def test_create_default_folder_names_command_data_and_time(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = Run.create(None, command="fit", config={"data": "/some where/my images/"})
    assert re.fullmatch(r"runs/fit-my-images-\d{8}-\d{6}", run.path.as_posix())


def test_create_default_folder_taken_adds_suffix(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = {Run.create(None, command="fit", config={"data": "digits"}).path for _ in range(5)}
    assert len(paths) == 5


def test_create_existing_empty_folder_is_used(tmp_path):
    assert Run.create(tmp_path, command="fit", config={}).path == tmp_path


def test_create_non_empty_folder_raises_with_remedy(tmp_path):
    (tmp_path / "mine.txt").write_text("keep me")
    with pytest.raises(UsageError, match=r"out must be a new or empty folder.*another -o"):
        Run.create(tmp_path, command="fit", config={})
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_create_where_a_file_stands_raises(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="out must be a folder that can be made"):
        Run.create(tmp_path / "file", command="fit", config={})


def test_create_config_with_nan_raises_before_making_the_folder(tmp_path):
    with pytest.raises(UsageError, match=r"config.rates\[1\] must be a finite number, got nan"):
        Run.create(tmp_path / "run", command="fit", config={"rates": [1.0, math.nan]})
    assert not (tmp_path / "run").exists()


def test_open_after_create_gives_config_and_environment_back(run):
    opened = Run.open(run.path)
    assert opened == run
    assert opened.config == {"data": "digits", "depth": 5}


def test_create_environment_has_versions_and_the_callers_facts(tmp_path):
    facts = {"seed": 3, "data_digest": "ab"}
    run = Run.create(tmp_path / "run", command="fit", config={}, environment=facts)
    environment = Run.open(run.path).environment
    assert environment["packages"]["torch"] == torch.__version__
    assert environment["torch_threads"] == torch.get_num_threads()
    assert environment["arguments"] == sys.argv
    assert (environment["seed"], environment["data_digest"]) == (3, "ab")


def test_create_files_are_readable_by_the_group_when_the_umask_allows(run):
    allowed = 0o666 & ~_umask()
    assert (run.path / "config.json").stat().st_mode & 0o777 == allowed


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_open_missing_folder_raises(tmp_path):
    with pytest.raises(DataError, match="must be an existing run folder"):
        Run.open(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["config.json", "environment.json"])
def test_open_missing_file_raises_naming_it(run, name):
    (run.path / name).unlink()
    with pytest.raises(DataError, match=f"not a run folder: {name} is missing"):
        Run.open(run.path)


def test_open_broken_config_raises(run):
    (run.path / "config.json").write_text('{"data": ')
    with pytest.raises(DataError, match=r"config.json' cannot be read as JSON"):
        Run.open(run.path)


def test_open_sweeps_files_of_dead_processes(run):
    run.save_checkpoint("last", {"a": torch.ones(1)}, {})
    (run.path / ".config.json.00.partial").write_text("half")
    (run.path / "checkpoints" / ".last.safetensors.00.partial").write_text("half")
    Run.open(run.path)
    assert partial_files(run) == []


def test_open_leaves_the_file_a_living_writer_holds(run):
    with atomic_files._temporary_file(run.path / "config.json") as (temporary, _):
        Run.open(run.path)
        assert temporary.exists()
    assert not temporary.exists()


# ---------------------------------------------------------------- JSON


def test_write_json_non_finite_numbers_become_null(run):
    run.write_json("result", {"a": math.nan, "b": [math.inf, 1.5]})
    assert run.read_json("result") == {"a": None, "b": [None, 1.5]}


def test_write_json_numpy_torch_and_paths_become_plain(run):
    run.write_json("result.json", {"a": np.float32(0.5), "b": torch.arange(3), "c": Path("x/y")})
    assert run.read_json("result") == {"a": 0.5, "b": [0, 1, 2], "c": "x/y"}


def test_write_json_undecodable_file_name_round_trips(run):
    name = os.fsdecode(b"caf\xe9.png")
    run.write_json("result", [name])
    assert run.read_json("result") == [name]


def test_write_json_integer_key_raises(run):
    with pytest.raises(UsageError, match=r"keys of result.a must be strings, got 1"):
        run.write_json("result", {"a": {1: 2}})


def test_write_json_unknown_type_raises(run):
    with pytest.raises(UsageError, match=r"result.a must be JSON-able, got set"):
        run.write_json("result", {"a": {1}})


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden"])
def test_write_json_name_outside_the_folder_raises(run, name):
    with pytest.raises(UsageError, match="name must consist of letters"):
        run.write_json(name, 1)


def test_write_json_full_disk_keeps_the_old_file(run, monkeypatch):
    run.write_json("result", 1)
    fill_disk(monkeypatch)
    with pytest.raises(DataError, match=r"No space left on device.*MB.*MB are free"):
        run.write_json("result", 2)
    assert run.read_json("result") == 1
    assert partial_files(run) == []


def test_read_json_missing_raises(run):
    with pytest.raises(DataError, match=r"has no result.json"):
        run.read_json("result")


# ---------------------------------------------------------------- metrics


def test_append_metrics_rows_come_back_in_order(run):
    rows = [{"epoch": epoch, "loss": 1 / (epoch + 3)} for epoch in range(4)]
    for row in rows:
        run.append_metrics(row)
    assert run.metrics() == rows


def test_metrics_without_a_file_is_empty(run):
    assert run.metrics() == []


def test_append_metrics_nan_becomes_null(run):
    run.append_metrics({"loss": math.nan})
    assert run.metrics() == [{"loss": None}]


@pytest.mark.parametrize("half", ['{"epo', '{"epoch": 1}', "x" * 10_000])
def test_metrics_half_written_last_line_is_ignored_and_cut_off(run, half):
    run.append_metrics({"epoch": 0})
    with (run.path / "metrics.jsonl").open("a") as file:
        file.write(half)
    assert run.metrics() == [{"epoch": 0}]
    run.append_metrics({"epoch": 2})
    assert run.metrics() == [{"epoch": 0}, {"epoch": 2}]


def test_append_metrics_only_a_half_written_line_starts_afresh(run):
    (run.path / "metrics.jsonl").write_text('{"epo')
    run.append_metrics({"epoch": 0})
    assert (run.path / "metrics.jsonl").read_text() == '{"epoch": 0}\n'


def test_metrics_broken_line_in_the_middle_raises_naming_it(run):
    (run.path / "metrics.jsonl").write_text('{"epoch": 0}\nbroken\n{"epoch": 1}\n')
    with pytest.raises(DataError, match="line 2: not a JSON object"):
        run.metrics()


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("keep", [0, 1, 2, 3, 9])
def test_truncate_metrics_keeps_the_first_epochs(run, first, keep):
    epochs = [first, first, first + 1, first + 2, first + 2]
    for number, epoch in enumerate(epochs):
        run.append_metrics({"epoch": epoch, "number": number})
    run.truncate_metrics(keep)
    assert len(run.metrics()) == {0: 0, 1: 2, 2: 3}.get(keep, 5)


def test_truncate_metrics_rows_without_epoch_stay_with_the_one_before(run):
    rows = [{"phase": "start"}, {"epoch": 0}, {"phase": "projected"}, {"epoch": 1}]
    for row in rows:
        run.append_metrics(row)
    run.truncate_metrics(1)
    assert run.metrics() == rows[:3]


# ---------------------------------------------------------------- checkpoints


def test_save_checkpoint_tensors_and_state_come_back(run):
    tensors = {
        "weight": torch.randn(3, 4, dtype=torch.float64),
        "steps": torch.tensor(7),
        "mask": torch.tensor([True, False]),
        "half": torch.randn(5).bfloat16(),
        "empty": torch.zeros(0, 3),
    }
    state = {"epoch": 3, "best": 0.1 + 0.2, "name": "é", "none": None, "list": [1, [2.5]]}
    run.save_checkpoint("last", tensors, state)
    loaded, loaded_state = Run.open(run.path).load_checkpoint("last")
    assert loaded_state == state
    assert loaded.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert loaded[name].dtype == tensor.dtype
        assert torch.equal(loaded[name], tensor)


def test_save_checkpoint_shared_and_strided_tensors_come_back(run):
    whole = torch.arange(24.0).reshape(4, 6)
    tensors = {"whole": whole, "same": whole, "turned": whole.T, "part": whole[1:3, ::2]}
    run.save_checkpoint("last", tensors, {})
    loaded, _ = run.load_checkpoint("last")
    for name, tensor in tensors.items():
        assert torch.equal(loaded[name], tensor)


def test_save_checkpoint_parameters_need_no_detaching(run):
    run.save_checkpoint("last", {"p": torch.nn.Parameter(torch.ones(2))}, {})
    assert not run.load_checkpoint("last")[0]["p"].requires_grad


def test_save_checkpoint_sparse_tensor_raises(run):
    with pytest.raises(UsageError, match=r"tensors\['s'\] must be a dense tensor"):
        run.save_checkpoint("last", {"s": torch.eye(2).to_sparse()}, {})


def test_save_checkpoint_state_with_infinity_raises(run):
    with pytest.raises(UsageError, match=r"state.best must be a finite number, got inf. Use None"):
        run.save_checkpoint("last", {}, {"best": math.inf})


def test_save_checkpoint_full_disk_keeps_the_previous(run, monkeypatch):
    run.save_checkpoint("last", {"a": torch.zeros(1000)}, {"epoch": 1})
    with monkeypatch.context() as patch:
        fill_disk(patch)
        with pytest.raises(DataError, match=r"No space left on device; it needs 4.0 MB"):
            run.save_checkpoint("last", {"a": torch.ones(1_000_000)}, {"epoch": 2})
    tensors, state = run.load_checkpoint("last")
    assert state == {"epoch": 1}
    assert torch.equal(tensors["a"], torch.zeros(1000))
    assert partial_files(run) == []


_REALLY_FULL = """
import resource, signal, sys, torch
from pellucid.runs import Run
run = Run.open(sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    run.save_checkpoint("last", {"a": torch.ones(1_000_000)}, {"epoch": 2})
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX file size limits")
def test_save_checkpoint_write_cut_off_by_the_system_keeps_the_previous(run):
    run.save_checkpoint("last", {"a": torch.zeros(10)}, {"epoch": 1})
    done = _python(_REALLY_FULL, run.path)
    assert done.stdout.startswith("DataError cannot write"), done.stderr
    assert "it needs 4.0 MB" in done.stdout
    assert run.load_checkpoint("last")[1] == {"epoch": 1}
    assert partial_files(run) == []


def _python(code: str, path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=120
    )


_SAVE_FOREVER = """
import sys, torch
from pellucid.runs import Run
run = Run.open(sys.argv[1])
for number in range(10**9):
    run.save_checkpoint("last", {"a": torch.full((300_000,), float(number))}, {"number": number})
    run.append_metrics({"epoch": number})
    print(number, flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9")
def test_save_checkpoint_killed_at_any_moment_loads(run):
    for repeat in range(4):
        writer = subprocess.Popen(
            [sys.executable, "-c", _SAVE_FOREVER, str(run.path)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(0.011 * (repeat + 1))
        writer.send_signal(signal.SIGKILL)
        printed = writer.stdout.read().split()
        writer.stdout.close()
        writer.wait()

        opened = Run.open(run.path)
        tensors, state = opened.load_checkpoint("last")
        assert state["number"] >= int(printed[-1] if printed else 0)
        assert torch.equal(tensors["a"], torch.full((300_000,), float(state["number"])))
        assert partial_files(opened) == []
        opened.append_metrics({"epoch": -1})
        assert opened.metrics()[-1] == {"epoch": -1}


def test_load_checkpoint_missing_raises_naming_those_there(run):
    run.save_checkpoint("best", {}, {})
    with pytest.raises(DataError, match="has no checkpoint 'last'; it has: best"):
        run.load_checkpoint("last")
    assert run.has_checkpoint("best")
    assert not run.has_checkpoint("last")


@pytest.mark.parametrize("keep_bytes", [0, 4, 100, 500])
def test_load_checkpoint_truncated_raises(run, keep_bytes):
    path = run.save_checkpoint("last", {"a": torch.ones(1000)}, {})
    path.write_bytes(path.read_bytes()[:keep_bytes])
    with pytest.raises(DataError, match="is damaged"):
        run.load_checkpoint("last")


def test_load_checkpoint_foreign_safetensors_raises(run):
    from safetensors.torch import save_file

    (run.path / "checkpoints").mkdir()
    save_file({"a": torch.ones(1)}, run.checkpoint_path("last"))
    with pytest.raises(DataError, match="not a checkpoint of a run"):
        run.load_checkpoint("last")


_finite = st.floats(allow_nan=False, allow_infinity=False)
_values = st.recursive(
    st.none() | st.booleans() | st.integers() | _finite | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
_shapes = st.lists(st.integers(0, 4), max_size=3)
_dtypes = st.sampled_from([torch.float32, torch.float64, torch.int64, torch.uint8, torch.bfloat16])


@settings(max_examples=40, deadline=None)
@given(
    shapes=st.dictionaries(st.text(min_size=1), st.tuples(_shapes, _dtypes), max_size=4),
    state=st.dictionaries(st.text(), _values, max_size=4),
)
def test_checkpoint_any_tensors_and_state_round_trip(tmp_path_factory, shapes, state):
    run = Run.create(tmp_path_factory.mktemp("run"), command="fit", config={})
    tensors = {
        name: torch.randint(0, 200, shape).to(dtype)
        for name, (shape, dtype) in shapes.items()
        if name != "__metadata__"
    }
    run.save_checkpoint("last", tensors, state)
    loaded, loaded_state = run.load_checkpoint("last")
    assert loaded_state == state
    assert json.dumps(loaded_state) == json.dumps(state)
    assert loaded.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert loaded[name].dtype == tensor.dtype
        assert torch.equal(loaded[name], tensor)


# ---------------------------------------------------------------- one process at a time


@contextlib.contextmanager
def held_by_another_process(run: Run):
    """Yield a process that is inside ``run.exclusive()``."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(run.path)], stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def test_exclusive_while_another_process_trains_is_refused_by_its_number(run):
    with (
        held_by_another_process(run) as other,
        pytest.raises(UsageError, match=rf"in use: process {other.pid} is training in it\. Wait"),
        run.exclusive(),
    ):
        pass


def test_exclusive_after_the_other_was_killed_is_granted(run):
    with held_by_another_process(run) as other:
        other.kill()
        other.wait()
        assert (run.path / "lock").exists()
        with run.exclusive():
            pass
    assert not (run.path / "lock").exists()


def test_exclusive_while_another_process_trains_reading_stays_possible(run):
    run.append_metrics({"epoch": 0})
    with held_by_another_process(run):
        assert Run.open(run.path).metrics() == [{"epoch": 0}]


def test_exclusive_may_be_nested(run):
    with run.exclusive():
        with Run.open(run.path).exclusive():
            pass
        assert (run.path / "lock").exists()
    assert not (run.path / "lock").exists()


def test_exclusive_keeps_threads_apart(run):
    refused = []

    def second():
        try:
            with run.exclusive():
                pass
        except UsageError as error:
            refused.append(error)

    with run.exclusive():
        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
    assert len(refused) == 1


def test_exclusive_is_over_after_an_error(run):
    with pytest.raises(RuntimeError, match="accident"), run.exclusive():
        raise RuntimeError("accident")
    with run.exclusive():
        pass


def test_create_in_a_folder_that_is_trained_in_is_refused_by_the_number(run):
    with (
        held_by_another_process(run) as other,
        pytest.raises(UsageError, match=f"process {other.pid} is training"),
    ):
        Run.create(run.path, command="fit", config={})


def test_create_beside_the_lock_of_a_dead_process_is_granted(tmp_path):
    (tmp_path / "lock").write_text("process 1")
    assert Run.create(tmp_path, command="fit", config={}).config == {}
