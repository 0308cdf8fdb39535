"""What a study found: everything its report, its table and its JSON are made from."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pellucid._checks import UsageError
from pellucid.regularization.compaction.compact import CompactionRow
from pellucid.regularization.penalty_path import PenaltyPath
from pellucid.regularization.record import RunRecord
from pellucid.regularization.statistics.summaries import ArmSummary, Comparison, Power
from pellucid.regularization.tuning import TuningRow
from pellucid.regularization.weight_measures import LayerHistogram
from pellucid.runs import Run
from pellucid.training.loggers import Logger

if TYPE_CHECKING:
    import pandas  # type: ignore[import-not-found]


@dataclass(frozen=True)
class DataFacts:
    """The images of a study.

    Attributes:
        name: Of the data.
        train: Number of training images.
        validation: Number of validation images, which select checkpoints and strengths.
        test: Number of test images, looked at once.
        classes: Number of classes.
        image_size: (height, width) in pixels.
        wrong_labels: Share of the training labels that were made wrong on purpose.
        note: What else a reader must know, or "".
    """

    name: str
    train: int
    validation: int
    test: int
    classes: int
    image_size: tuple[int, int]
    wrong_labels: float
    note: str = ""


@dataclass(frozen=True)
class ArmFacts:
    """One arm, in words.

    Attributes:
        name: As on the command line.
        title: Short, with the strength, such as ``"L1 0.0006"``.
        objective: Exactly what is minimized.
        recipe: The whole recipe as printable data.
    """

    name: str
    title: str
    objective: str
    recipe: dict[str, Any]


@dataclass(frozen=True, repr=False)
class StudyResult:
    """The result of `study`.

    Attributes:
        title: One line.
        preset: ``"reference"`` or None.
        data: The images.
        arms: In the order they were asked for.
        records: One for each arm and seed, arms in order, then seeds.
        summaries: Of each arm at each moment.
        comparisons: Of each pair of arms at each moment.
        verdict: Sentences; the first is the headline.
        power: What so many seeds can find.
        histograms: Of each layer in each arm, all seeds pooled, after the last epoch.
        path: The penalty path, or None.
        compaction: What removing dead units saved, a row for each arm that had any.
        tuning: Candidates that were tried, empty without tuning.
        seconds: Wall time of the training.
        remarks: Other things to know: what could not be stacked, which runs were resumed.
        folder: The run folder.
        command: The command line that repeats the study, or "".
        environment: Versions, machine, threads.
    """

    title: str
    preset: str | None
    data: DataFacts
    arms: tuple[ArmFacts, ...]
    records: tuple[RunRecord, ...]
    summaries: tuple[ArmSummary, ...]
    comparisons: tuple[Comparison, ...]
    verdict: tuple[str, ...]
    power: Power | None
    histograms: tuple[LayerHistogram, ...]
    path: PenaltyPath | None
    compaction: tuple[CompactionRow, ...]
    tuning: tuple[TuningRow, ...]
    seconds: float
    remarks: tuple[str, ...]
    folder: Path
    command: str
    environment: dict[str, Any]

    def __repr__(self) -> str:
        """Return the headline; the fields hold far too much to print."""
        return f"{type(self).__name__}({self.title!r}, {self.verdict[0]!r}, folder={self.folder})"

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON-ready values; accuracies are shares in [0, 1].

        ``arms`` and ``comparisons`` are of the last epoch; ``best_checkpoint`` has those of the
        best validation checkpoint.
        """
        best = {"arms": self._arms_at("best"), "comparisons": self._comparisons_at("best")}
        return {
            "run": str(self.folder),
            "data": asdict(self.data),
            "preset": self.preset,
            "arms": self._arms_at("last"),
            "comparisons": self._comparisons_at("last"),
            "best_checkpoint": best,
            "verdict": " ".join(self.verdict),
            "power": None if self.power is None else asdict(self.power),
            "path": None if self.path is None else asdict(self.path),
            "compaction": [asdict(row) for row in self.compaction],
            "tuning": [asdict(row) for row in self.tuning],
            "remarks": list(self.remarks),
            "seconds": self.seconds,
        }

    def _arms_at(self, moment: str) -> dict[str, Any]:
        return {
            summary.arm: {
                "test": asdict(summary.test_accuracy),
                "gap": summary.gap.mean,
                "exact_zeros": summary.exact_zeros,
                "l1_norm": summary.l1_norm,
                "seeds": summary.n_seeds,
                "collapsed": list(summary.collapsed),
                "diverged": list(summary.diverged),
                "objective": next(arm.objective for arm in self.arms if arm.name == summary.arm),
            }
            for summary in self.summaries
            if summary.moment == moment
        }

    def _comparisons_at(self, moment: str) -> list[dict[str, Any]]:
        return [asdict(one) for one in self.comparisons if one.moment == moment]

    def log(self, logger: Logger) -> None:
        """Give every curve, and every layer's last weights, to a logger such as TensorBoard's.

        Args:
            logger: Takes scalars as ``ARM/seedN/train_loss`` by epoch and histograms as
                ``ARM/seedN/conv1.weight``.
        """
        run = Run.open(self.folder)
        for record in self.records:
            prefix = f"{record.arm}/seed{record.seed}"
            for row in record.history:
                scalars = {
                    f"{prefix}/{name}": float(value)
                    for name, value in row.items()
                    if isinstance(value, int | float) and name != "epoch"
                }
                logger.log_scalars(row["epoch"], scalars)
            tensors, _ = run.load_checkpoint(record.file_name)
            for layer in record.last.layers:
                weights = tensors[f"last.{layer.name}"]
                logger.log_histogram(record.last.epoch, f"{prefix}/{layer.name}", weights)

    def to_frame(self) -> pandas.DataFrame:
        """Return a pandas data frame with a row for each arm, seed and moment.

        Raises:
            UsageError: pandas is not installed.
        """
        try:
            import pandas  # type: ignore[import-not-found]
        except ImportError:
            raise UsageError(
                "to_frame() needs pandas, which is not installed. Run `pip install pandas`."
            ) from None
        rows = []
        for record in self.records:
            for moment in ("last", "best"):
                measured = getattr(record, moment)
                row = {"arm": record.arm, "seed": record.seed, "moment": moment}
                row |= {
                    name: value
                    for name, value in vars(measured).items()
                    if name not in ("test_correct", "layers")
                }
                row |= {"gap": measured.gap, "exact_zeros": measured.exact_zeros}
                rows.append(row | {"status": record.status, "seconds": record.seconds})
        return pandas.DataFrame(rows)
