"""What of the image each latent cell sees, measured by letting NaN pass through the network.

Unlike a perturbation, NaN is not a matter of values: 0 · NaN = NaN, and max(NaN, x) = NaN, so a
cell turns NaN exactly when some path of the computation connects it with a NaN pixel.
"""

from __future__ import annotations

import copy
import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from pellucid._checks import UsageError

WARN_ABOVE_COVERAGE = 0.6
_PIXELS_PER_BATCH = 300_000


class Box(NamedTuple):
    """A rectangle of pixels, half-open: rows ``top <= y < bottom``, columns ``left <= x < right``.

    The order (top, left, bottom, right) is that of torchvision's and Pillow's boxes with the axes
    swapped, as everywhere here: (height, width).
    """

    top: int
    left: int
    bottom: int
    right: int

    @property
    def area(self) -> int:
        """Number of pixels."""
        return (self.bottom - self.top) * (self.right - self.left)


@dataclass(frozen=True)
class ReceptiveField:
    """The pixels each latent row and column depends on, clipped to the image, never empty.

    Attributes:
        row_start: First pixel row that latent row i sees, for each i.
        row_stop: One past the last pixel row it sees.
        column_start: The same for columns.
        column_stop: The same for columns.
        image_size: Height and width of the image in pixels.
    """

    row_start: tuple[int, ...]
    row_stop: tuple[int, ...]
    column_start: tuple[int, ...]
    column_stop: tuple[int, ...]
    image_size: tuple[int, int]

    @property
    def latent_size(self) -> tuple[int, int]:
        """Rows and columns of the latent map."""
        return len(self.row_start), len(self.column_start)

    def box(self, row: int, column: int) -> Box:
        """Return the pixels that latent cell (row, column) sees."""
        return Box(
            self.row_start[row],
            self.column_start[column],
            self.row_stop[row],
            self.column_stop[column],
        )

    @property
    def coverage(self) -> float:
        """Median over the cells of the share of the image that a cell sees, in (0, 1]."""
        rows, columns = self.latent_size
        areas = [self.box(row, column).area for row in range(rows) for column in range(columns)]
        height, width = self.image_size
        return statistics.median(areas) / (height * width)

    def coverage_warning(self, backbone_name: str) -> str | None:
        """Return a warning if the cells see too much for a box to say where; else ``None``."""
        if self.coverage <= WARN_ABOVE_COVERAGE:
            return None
        rows, columns = self.latent_size
        return (
            f"A latent cell of backbone {backbone_name!r} ({rows}x{columns} cells) sees "
            f"{self.coverage:.0%} of a {self.image_size[0]}x{self.image_size[1]} px image, so the "
            "box of a prototype hardly says where it looks. Use backbone 'patch_cnn', whose cells "
            "see small patches, an earlier stage, or larger images."
        )

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON-able values."""
        return {name: list(values) for name, values in asdict(self).items()}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> ReceptiveField:
        """Return what :meth:`to_json` described."""
        return cls(**{name: tuple(values) for name, values in fields.items()})


def measure_receptive_field(backbone: nn.Module, image_size: tuple[int, int]) -> ReceptiveField:
    """Measure the receptive field of each latent row and column of ``backbone``, in eval mode.

    Latent row i sees the pixel rows from ``start`` to ``stop``: NaN in the rows above ``start``
    or from ``stop`` on leaves it finite, one row more does not. One forward pass with a
    half-plane of NaN answers for all latent rows at once, so a binary search per row costs few
    passes, and two per direction if every cell sees the whole image.

    A cell that stays finite even when the whole image is NaN (it sees only padding, or the
    network replaces NaN) counts as seeing the whole image: a box that is too large is honest, one
    that is too small is not. So do all cells of a network that hides NaN in part, which is found
    by changing the pixels outside every field to other numbers.

    Args:
        backbone: Maps float images (batch, 3, height, width) to (batch, channels, rows, columns).
            It is left as it is: the measurement runs on a copy, on the CPU.
        image_size: Height and width in pixels.

    Returns:
        The fields, clipped to the image and never empty.

    Raises:
        UsageError: The network cannot be run on the CPU at this image size.
    """
    failure: Exception | None = None
    # Double precision first: its convolutions are computed plainly. Single precision ones may use
    # Winograd's transform, which mixes neighbouring cells: the boxes are then too large at most.
    for dtype in (torch.float64, torch.float32):
        network = copy.deepcopy(backbone).to(device="cpu", dtype=dtype).eval()
        try:
            with torch.random.fork_rng(devices=[]), torch.inference_mode():
                return _measure(network, image_size, dtype)
        except RuntimeError as error:  # some networks make single precision constants on the way
            failure = error
    raise UsageError(
        f"the receptive field at image_size {tuple(image_size)} cannot be measured: {failure}. "
        "Use a backbone that runs on the CPU."
    ) from failure


def _measure(network: nn.Module, image_size: tuple[int, int], dtype: torch.dtype) -> ReceptiveField:
    source = torch.Generator().manual_seed(0)
    image, other = torch.rand((2, 3, *image_size), dtype=dtype, generator=source)
    expected = network(image[None])[0]

    def run(images: Tensor) -> Tensor:
        """Return the maps of many images, in batches of bounded size."""
        size = max(1, _PIXELS_PER_BATCH // (image_size[0] * image_size[1]))
        return torch.cat([network(part) for part in images.split(size)])

    def intervals(axis: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return first and one past last pixel along ``axis`` (0: rows), per latent index."""
        pixels = torch.arange(image_size[axis])
        shape = (-1, 1, 1, image_size[0], 1) if axis == 0 else (-1, 1, 1, 1, image_size[1])

        def turns_nan(masked: Tensor) -> Tensor:
            """Map masks (n, pixels along the axis) to (n, latent indices along it)."""
            images = image.masked_fill(masked.reshape(shape)[:, 0], torch.nan)
            return run(images).isnan().any(dim=1).any(dim=2 - axis)

        size = image_size[axis]
        sees_any = turns_nan(torch.ones(1, size, dtype=torch.bool))[0]
        before = _count_unseen(lambda n: turns_nan(pixels < n[:, None]), size, sees_any)
        after = _count_unseen(lambda n: turns_nan(pixels >= size - n[:, None]), size, sees_any)
        start, stop = before, size - after
        # Nothing outside the fields may matter; if it does, NaN was hidden on the way.
        partial = ((start > 0) | (stop < size)).nonzero()[:, 0]
        if len(partial) > 0:
            outside = (pixels < start[partial, None]) | (pixels >= stop[partial, None])
            changed = run(torch.where(outside.reshape(shape)[:, 0], other, image))
            actual = changed.movedim(2 + axis, 1)[torch.arange(len(partial)), partial]
            wanted = expected.movedim(1 + axis, 0)[partial]
            tolerance = 1e-4 * expected.abs().max()
            if (actual - wanted).abs().max() > tolerance:
                start, stop = torch.zeros_like(start), torch.full_like(stop, size)
        return tuple(start.tolist()), tuple(stop.tolist())

    row_start, row_stop = intervals(0)
    column_start, column_stop = intervals(1)
    height, width = image_size
    return ReceptiveField(row_start, row_stop, column_start, column_stop, (height, width))


def _count_unseen(turns_nan: Callable[[Tensor], Tensor], size: int, sees_any: Tensor) -> Tensor:
    """Return per latent index how many pixels at one side of the image it does not see.

    Args:
        turns_nan: Maps numbers of masked pixels (n,) to whether each latent index turns NaN
            (n, latent).
        size: Number of pixels along the axis.
        sees_any: Whether the index sees any pixel; where not, the answer is 0.
    """
    low = torch.zeros(len(sees_any), dtype=torch.int64)
    high = torch.where(sees_any, size - 1, 0)
    queries = torch.tensor([1])  # most often decisive: deep networks see everything
    while (low < high).any():
        seen = turns_nan(queries)
        for count, is_nan in zip(queries.tolist(), seen, strict=True):
            high = torch.where(is_nan & sees_any, high.clamp(max=count - 1), high)
            low = torch.where(~is_nan & sees_any, low.clamp(min=count), low)
        queries = ((low + high + 1) // 2)[low < high].unique()
    return low
