from __future__ import annotations

import sys

import pytest
import torch

from pellucid._checks import UsageError
from pellucid.training.loggers import TensorBoardLogger


@pytest.fixture
def events(tmp_path):
    """Write with a logger, then read the event file back."""
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logger = TensorBoardLogger(tmp_path / "events")
    logger.log_scalars(0, {"l1/train_loss": 0.5, "l1/penalty": 2.0})
    logger.log_scalars(1, {"l1/train_loss": 0.25})
    logger.log_histogram(1, "l1/conv1.weight", torch.tensor([[0.0, 1.0], [torch.nan, 3.0]]))
    logger.log_histogram(1, "l1/diverged.weight", torch.full((2, 2), torch.nan))
    logger.close()
    reader = EventAccumulator(str(tmp_path / "events"))
    reader.Reload()
    return reader


def test_tensorboard_logger_scalars_are_read_back(events):
    points = [(event.step, event.value) for event in events.Scalars("l1/train_loss")]
    assert points == [(0, 0.5), (1, 0.25)]
    assert sorted(events.Tags()["scalars"]) == ["l1/penalty", "l1/train_loss"]


def test_tensorboard_logger_histogram_counts_finite_weights(events):
    (event,) = events.Histograms("l1/conv1.weight")
    assert event.histogram_value.num == 3
    assert (event.histogram_value.min, event.histogram_value.max) == (0, 3)


def test_tensorboard_logger_no_finite_weights_writes_no_histogram(events):
    assert events.Tags()["histograms"] == ["l1/conv1.weight"]


def test_tensorboard_logger_without_the_extra_names_the_install_line(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UsageError, match=r'pip install "pellucid\[tensorboard\]"'):
        TensorBoardLogger(tmp_path)
