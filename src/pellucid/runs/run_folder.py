"""The run folder: configuration, environment, metrics, checkpoints, and the seeds of a run.

Layout of a run folder::

    config.json                     what was asked for
    environment.json                versions, machine, seed, data digest, command line
    metrics.jsonl                   one JSON object a line, append-only
    checkpoints/<name>.safetensors  tensors, with the JSON state inside the same file
    <name>.json                     whatever a command adds with ``Run.write_json``
    lock                            there while a process trains in the folder

A process may be killed at any instant, and the disk may fill up: each file is either the old one
or the new one, never a mixture. There is no pickle anywhere.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pellucid._checks import DataError, UsageError, check_integer
from pellucid._locks import LockedError, hold_lock, holder_of
from pellucid.runs.atomic_files import append_line, sweep_temporary_files, write_atomically
from pellucid.runs.environment import describe_environment
from pellucid.runs.json_values import read_json, to_json

if TYPE_CHECKING:
    from torch import Tensor

_STATE_KEY = "pellucid_state"
_LOCK = "lock"

_held: set[tuple[Path, int, int]] = set()
"""Folders that are trained in, by which process and thread: `Run.exclusive` may be nested."""


@dataclass(frozen=True)
class Run:
    """One run folder; make it with :meth:`create` or :meth:`open`.

    Attributes:
        path: The folder.
        config: What ``config.json`` says.
        environment: What ``environment.json`` says.
    """

    path: Path
    config: dict[str, Any]
    environment: dict[str, Any]

    @classmethod
    def create(
        cls,
        out: str | Path | None,
        *,
        command: str,
        config: Mapping[str, Any],
        environment: Mapping[str, Any] | None = None,
    ) -> Run:
        """Make a fresh run folder and write its configuration and environment.

        Args:
            out: The folder, new or empty; ``None`` means a new
                ``runs/<command>-<config["data"]>-<YYYYmmdd-HHMMSS>`` in the current folder.
            command: Name of the command, for the default folder's name.
            config: What was asked for; strings as keys, finite numbers.
            environment: Facts to add to :func:`describe_environment`, such as ``seed`` and
                ``data_digest``.

        Raises:
            UsageError: The folder is not empty, is a file, or cannot be made.
        """
        described = {**describe_environment(), **(environment or {}), "command": command}
        kept_config = to_json(config, "config", non_finite="refuse")
        kept_environment = to_json(described, "environment", non_finite="null")
        path = _make_folder(out, command=command, label=_label(config.get("data")))
        run = cls(path, kept_config, kept_environment)
        with run.exclusive():
            if (path / "config.json").exists():  # made by another process in this very moment
                raise _not_empty(path)
            # config.json last: where it stands, the folder is complete.
            run.write_json("environment", kept_environment)
            run.write_json("config", kept_config)
        return run

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """Open a run folder, and sweep what a killed process left half written.

        Raises:
            DataError: The folder, or a file every run has, is missing or unreadable.
        """
        path = Path(path)
        if not path.is_dir():
            raise DataError(f"run must be an existing run folder, got {str(path)!r}.")
        for name in ("config.json", "environment.json"):
            if not (path / name).is_file():
                raise DataError(
                    f"{str(path)!r} is not a run folder: {name} is missing. "
                    "Give the folder that `pellucid fit` or `pellucid study` printed."
                )
        sweep_temporary_files(path)
        sweep_temporary_files(path / "checkpoints")
        return cls(path, read_json(path / "config.json"), read_json(path / "environment.json"))

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """Let no other process train in this folder inside the block; it may still be read.

        Whatever writes checkpoints or metrics belongs inside. May be nested in one thread. The
        kernel lets go when the process ends, however it ends.

        Raises:
            UsageError: Another process, or thread, is inside such a block.
        """
        key = (self.path.resolve(), os.getpid(), threading.get_ident())
        if key in _held:
            yield
            return
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(hold_lock(self.path / _LOCK, wait=False))
            except LockedError as error:
                raise UsageError(_in_use(self.path, error.holder)) from None
            except OSError:
                pass  # the folder cannot be written to, which the first file to write says better
            _held.add(key)
            try:
                yield
            finally:
                _held.discard(key)

    def write_json(self, name: str, value: object) -> Path:
        """Write ``<name>.json`` atomically; NaN and infinities become null."""
        path = self.path / f"{_checked_name(name.removesuffix('.json'))}.json"
        text = json.dumps(to_json(value, name, non_finite="null"), indent=2, allow_nan=False)
        write_atomically(path, (text + "\n").encode())
        return path

    def read_json(self, name: str) -> Any:
        """Read ``<name>.json``.

        Raises:
            DataError: The file is missing or is not JSON.
        """
        return read_json(self.path / f"{_checked_name(name.removesuffix('.json'))}.json")

    def append_metrics(self, row: Mapping[str, Any]) -> None:
        """Append one row to ``metrics.jsonl``; NaN and infinities become null.

        A half-written last line, left by a killed process, is cut off first.

        Raises:
            DataError: The row cannot be written; the earlier rows are intact.
        """
        kept = to_json(row, "row", non_finite="null")
        line = json.dumps(kept, allow_nan=False)
        append_line(self._metrics_path, line.encode())

    def metrics(self) -> list[dict[str, Any]]:
        """Return the complete rows of ``metrics.jsonl``, in order; a half-written last is ignored.

        Raises:
            DataError: A line before the last one is not a JSON object.
        """
        if not self._metrics_path.exists():
            return []
        lines = self._metrics_path.read_bytes().split(b"\n")[:-1]
        rows = []
        for number, line in enumerate(lines, start=1):
            try:
                row = json.loads(line)
            except ValueError:
                row = None
            if not isinstance(row, dict):
                raise DataError(
                    f"{str(self._metrics_path)!r}, line {number}: not a JSON object. "
                    "Remove that line to go on without it."
                )
            rows.append(row)
        return rows

    def truncate_metrics(self, keep_epochs: int) -> None:
        """Keep the rows of the first ``keep_epochs`` epochs, as a resumed run needs.

        Consecutive rows with the same ``"epoch"`` value make one epoch, so epochs may count from 0
        or from 1. Rows without the key belong to the epoch before them.
        """
        keep_epochs = check_integer("keep_epochs", keep_epochs, low=0)
        kept: list[dict[str, Any]] = []
        epochs_seen, previous = 0, None
        for row in self.metrics():
            epoch = row.get("epoch")
            if epoch is not None and (epochs_seen == 0 or epoch != previous):
                epochs_seen, previous = epochs_seen + 1, epoch
            if epochs_seen > keep_epochs:
                break
            kept.append(row)
        lines = [json.dumps(row, allow_nan=False) + "\n" for row in kept]
        write_atomically(self._metrics_path, "".join(lines).encode())

    def checkpoint_path(self, name: str) -> Path:
        """Return where checkpoint ``name`` is kept, whether or not it exists."""
        return self.path / "checkpoints" / f"{_checked_name(name)}.safetensors"

    def has_checkpoint(self, name: str) -> bool:
        """Return whether checkpoint ``name`` exists."""
        return self.checkpoint_path(name).is_file()

    def save_checkpoint(
        self, name: str, tensors: Mapping[str, Tensor], state: Mapping[str, Any]
    ) -> Path:
        """Write tensors and state as one safetensors file, atomically.

        The state travels as JSON in the file's own header, so that the two can never come from
        different moments. Tensors may be on any device, non-contiguous or share memory: each is
        stored by itself. Floats in the state come back exactly.

        Args:
            name: Such as ``last`` or ``best``; an existing checkpoint of that name is replaced.
            tensors: By name.
            state: JSON-able; strings as keys, finite numbers. Tuples come back as lists.

        Raises:
            UsageError: The state is not JSON-able, or a tensor is of a kind that cannot be stored.
            DataError: The file cannot be written (a full disk, say). The previous checkpoint is
                intact.
        """
        import safetensors.torch

        path = self.checkpoint_path(name)
        kept_state = json.dumps(to_json(state, "state", non_finite="refuse"), allow_nan=False)
        try:
            payload = safetensors.torch.save(
                _independent_cpu_copies(tensors), metadata={_STATE_KEY: kept_state}
            )
        except (safetensors.SafetensorError, ValueError, TypeError, KeyError) as error:
            raise UsageError(f"tensors of checkpoint {name!r} cannot be stored: {error}") from error
        write_atomically(path, payload)
        return path

    def load_checkpoint(self, name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return the tensors (on the CPU) and the state of checkpoint ``name``.

        Raises:
            DataError: The checkpoint is missing, truncated, or not one of ours.
        """
        import safetensors

        path = self.checkpoint_path(name)
        if not path.is_file():
            there = sorted(file.stem for file in path.parent.glob("*.safetensors"))
            raise DataError(
                f"{str(self.path)!r} has no checkpoint {name!r}; it has: "
                f"{', '.join(there) or 'none'}. Start the run again without --resume."
            )
        try:
            with safetensors.safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                # clone(): otherwise the tensors are views into the mapped file
                tensors = {key: file.get_tensor(key).clone() for key in file.keys()}  # noqa: SIM118
            state = json.loads(metadata[_STATE_KEY])
        except KeyError as error:
            raise DataError(
                f"{str(path)!r} is a safetensors file, but not a checkpoint of a run: its header "
                f"has no {_STATE_KEY!r}."
            ) from error
        except (safetensors.SafetensorError, OSError, ValueError, RuntimeError) as error:
            raise DataError(
                f"{str(path)!r} is damaged ({error}). Resume from another checkpoint of this run, "
                "or start it again."
            ) from error
        return tensors, state

    @property
    def _metrics_path(self) -> Path:
        return self.path / "metrics.jsonl"


def _label(data: object) -> str:
    """Return the last part of a data name or path, safe in a file name."""
    last = Path(str(data)).resolve().name if isinstance(data, str | Path) else ""
    return re.sub(r"[^A-Za-z0-9_]+", "-", last).strip("-")[:60]


def _make_folder(out: str | Path | None, *, command: str, label: str) -> Path:
    try:
        if out is None:
            stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
            stem = "-".join(filter(None, [command, label, stamp]))
            return _first_free_folder(Path("runs"), stem)
        path = Path(out)
        path.mkdir(parents=True, exist_ok=True)
        refuse_occupied(path)
    except OSError as error:
        raise UsageError(
            f"out must be a folder that can be made, got {str(out or 'runs')!r} "
            f"({error.strerror}). Use another -o."
        ) from error
    return path


def refuse_occupied(path: Path) -> None:
    """Refuse a folder for a new run that has something in it.

    Raises:
        UsageError: It is not empty; says whether it is a run, and who trains in it.
        OSError: It cannot be read.
    """
    names = {entry.name for entry in path.iterdir()}
    holder = holder_of(path / _LOCK) if _LOCK in names else None
    if holder is not None:
        raise UsageError(_in_use(path, holder))
    if names - {_LOCK}:  # a lock alone was left by a process that was killed
        raise _not_empty(path)


def _not_empty(path: Path) -> UsageError:
    is_run = (path / "config.json").is_file() and not (path / "certificate.json").exists()
    remedy = f"Go on with that run by --resume {path}, or use" if is_run else "Use"
    return UsageError(
        f"out must be a new or empty folder, got {str(path)!r}, which is not empty. "
        f"{remedy} another -o."
    )


def _in_use(path: Path, holder: str) -> str:
    return (
        f"run {str(path)!r} is in use: {holder} is training in it. Wait until it has ended, stop "
        "it, or use another -o."
    )


def _first_free_folder(parent: Path, stem: str) -> Path:
    suffix = 1
    while True:
        path = parent / (stem if suffix == 1 else f"{stem}-{suffix}")
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            if parent.exists() and not parent.is_dir():
                raise
            suffix += 1
        else:
            return path


def _checked_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
        raise UsageError(
            f"name must consist of letters, digits, '_', '-' and '.', got {name!r}. "
            "It becomes a file name in the run folder."
        )
    return name


def _independent_cpu_copies(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return contiguous CPU tensors of which no two share memory, as safetensors wants them."""
    import torch

    seen: set[int] = set()
    copies = {}
    for name, tensor in tensors.items():
        if not isinstance(tensor, torch.Tensor) or tensor.layout != torch.strided:
            raise UsageError(f"tensors[{name!r}] must be a dense tensor, got {type(tensor)}.")
        plain = tensor.detach().to("cpu").contiguous()
        storage = plain.untyped_storage()
        whole = storage.nbytes() == plain.numel() * plain.element_size()
        if not whole or storage.data_ptr() in seen:
            plain = plain.clone(memory_format=torch.contiguous_format)
        seen.add(plain.untyped_storage().data_ptr())
        copies[name] = plain
    return copies
