"""The networks of a finished study, read back from its folder; and made small."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor, nn

from pellucid._checks import DataError, UsageError, check_choice, did_you_mean
from pellucid.data import LabelledData, Normalization
from pellucid.regularization.compaction.compact import CompactionRow, compact
from pellucid.regularization.compaction.onnx_export import check_onnx, export_onnx
from pellucid.regularization.record import RunRecord, run_file_name
from pellucid.regularization.stacking.network_answers import NetworkAnswers
from pellucid.regularization.study_data import StudyData
from pellucid.runs import Run
from pellucid.runs.atomic_files import write_atomically

_MOMENTS = ("last", "best")


@dataclass(frozen=True)
class TrainedNetwork:
    """One network of a study.

    Attributes:
        module: In evaluation mode; takes normalized images, gives logits.
        normalization: Of its images.
        image_size: (height, width) in pixels.
        record: What was measured of its training.
    """

    module: nn.Module
    normalization: Normalization
    image_size: tuple[int, int]
    record: RunRecord

    def examples(self, data: LabelledData, *, count: int = 64) -> Tensor:
        """Return some training images as the network takes them."""
        pixels = data.images.read(data.splits.train[:count])
        return self.normalization(pixels).to(next(self.module.parameters()).dtype)


@dataclass(frozen=True)
class CompactedRun:
    """What `compact_run` wrote.

    Attributes:
        arm: Name of the arm.
        seed: Of the run.
        row: Sizes, latencies and units, before and after.
        weights: The safetensors file of the small network.
        onnx: The ONNX file, or None.
    """

    arm: str
    seed: int
    row: CompactionRow
    weights: Path
    onnx: Path | None


def load_trained(run: Run, arm: str, seed: int, *, moment: str = "last") -> TrainedNetwork:
    """Read one network of a study.

    Args:
        run: The study's folder.
        arm: Name of the arm.
        seed: Of the run.
        moment: ``"last"`` or ``"best"``.

    Raises:
        DataError: it is not there, or cannot be rebuilt from the folder alone.
    """
    check_choice("moment", moment, _MOMENTS)
    tensors, state = run.load_checkpoint(run_file_name(arm, seed))
    described = state.get("network")
    if described is None:
        raise DataError(
            f"arm {arm!r} cannot be read back from the folder: it is no network that has a name. "
            "Build it yourself and load the tensors called last.* or best.*."
        )
    weights = {
        name.removeprefix(f"{moment}."): value
        for name, value in tensors.items()
        if name.startswith(f"{moment}.")
    }
    height, width = described["image_size"]
    means, deviations = described["normalization"].values()
    answers = NetworkAnswers(
        described["network"],
        described["classes"],
        (height, width),
        Normalization(tuple(means), tuple(deviations)),
        weights,
    )
    record = RunRecord.from_json(state["record"])
    return TrainedNetwork(answers.module, answers.normalization, answers.image_size, record)


def compact_run(
    path: str | Path,
    *,
    arm: str | None = None,
    seed: int | None = None,
    moment: str = "last",
    tolerance: float = 0.0,
    out: str | Path | None = None,
    onnx: bool = False,
) -> CompactedRun:
    """Make one network of a study small and write it down.

    Args:
        path: The study's folder.
        arm: None takes the arm with the most exact zeros.
        seed: None takes the study's first.
        moment: ``"last"`` or ``"best"``.
        tolerance: See `compact`.
        out: Folder for the files; None takes ``compact`` in the study's.
        onnx: Also write an ONNX file, which takes images in [0, 1].

    Raises:
        DataError: it is no finished study, or the data of the study is gone.
        UsageError: there is no such arm or seed.
    """
    check_choice("moment", moment, _MOMENTS)
    if onnx:
        check_onnx()
    run = Run.open(path)
    if run.config.get("command") != "study":
        raise DataError(
            f"{str(path)!r} is not the folder of a study. Give one of `pellucid study`."
        )
    arms, seeds = list(run.config["arms"]), list(run.config["seeds"])
    seed = int(seeds[0]) if seed is None else seed
    if seed not in seeds:
        raise UsageError(f"seed must be one of the study's {seeds}, got {seed}.")
    if arm is None:
        arm = _sparsest(run, arms, seed, moment)
    if arm not in arms:
        raise UsageError(
            f"arm must be one of the study's {', '.join(arms)}, got {arm!r}. "
            f"{did_you_mean(arm, arms)}".rstrip()
        )
    trained = load_trained(run, arm, seed, moment=moment)
    example = trained.examples(_load_data(run))
    compacted = compact(trained.module, example, tolerance=tolerance, name=arm)
    folder = Path(out) if out is not None else run.path / "compact"
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / f"{run_file_name(arm, seed)}-{moment}"
    weights = stem.with_name(f"{stem.name}.safetensors")
    state: dict[str, Tensor] = {
        name: value.detach().contiguous().clone()
        for name, value in compacted.network.state_dict().items()
    }
    write_atomically(weights, save(state))
    written = None
    if onnx:
        written = stem.with_name(f"{stem.name}.onnx")
        export_onnx(compacted.network, example, written, normalization=trained.normalization)
    return CompactedRun(arm, seed, compacted.row, weights, written)


def _sparsest(run: Run, arms: Sequence[str], seed: int, moment: str) -> str:
    zeros: dict[str, float] = {}
    for arm in arms:
        if run.has_checkpoint(run_file_name(arm, seed)):
            _, state = run.load_checkpoint(run_file_name(arm, seed))
            if state.get("network") is not None:
                record = RunRecord.from_json(state["record"])
                measured = record.last if moment == "last" else record.best
                zeros[arm] = measured.exact_zeros
    if not zeros:
        raise DataError(
            f"the study in {str(run.path)!r} has no finished network yet. Continue it with "
            f"`pellucid study --resume {run.path}`."
        )
    return max(zeros, key=lambda arm: zeros[arm])


def _load_data(run: Run) -> LabelledData:
    stored: dict[str, Any] = dict(run.config["data_settings"])
    if stored["image_size"] is not None:
        stored["image_size"] = tuple(stored["image_size"])
    return StudyData(**stored).load()
