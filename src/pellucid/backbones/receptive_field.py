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
    size = (int(image_size[0]), int(image_size[1]))
    with torch.random.fork_rng(devices=[]), torch.inference_mode():
        try:
            fields = _search(_Probe(backbone, size, torch.float32))
        except RuntimeError as error:
            raise UsageError(
                f"the receptive field at image_size {size} cannot be measured: {error}. "
                "Use a backbone that runs on the CPU in single precision."
            ) from error
        # Fast single precision convolutions may use Winograd's transform, which mixes neighboring
        # cells and would make the fields too large. Those in double precision do not.
        try:
            exact = _Probe(backbone, size, torch.float64)
            if not _are_tight(exact, fields):
                fields = _search(exact)
        except RuntimeError:
            pass  # the network cannot compute in double precision: too large at worst
    (row_start, row_stop), (column_start, column_stop) = fields
    return ReceptiveField(
        tuple(row_start.tolist()),
        tuple(row_stop.tolist()),
        tuple(column_start.tolist()),
        tuple(column_stop.tolist()),
        size,
    )


_Intervals = tuple[Tensor, Tensor]


class _Probe:
    """A copy of the network, on the CPU in eval mode, and images to send through it."""

    def __init__(
        self, backbone: nn.Module, image_size: tuple[int, int], dtype: torch.dtype
    ) -> None:
        self.network = copy.deepcopy(backbone).to(device="cpu", dtype=dtype).eval()
        self.image_size = image_size
        source = torch.Generator().manual_seed(0)
        self.image, self.other = torch.rand((2, 3, *image_size), generator=source).to(dtype)

    def run(self, images: Tensor) -> Tensor:
        """Return the latent maps of many images, in batches of bounded size."""
        size = max(1, _PIXELS_PER_BATCH // (self.image_size[0] * self.image_size[1]))
        return torch.cat([self.network(part) for part in images.split(size)])

    def spread(self, masks: Tensor, axis: int) -> Tensor:
        """Reshape masks (n, pixels along ``axis``) to cover images; axis 0 is rows."""
        return masks[:, None, :, None] if axis == 0 else masks[:, None, None, :]

    def turns_nan(self, masks: Tensor, axis: int) -> Tensor:
        """Map masks (n, pixels along ``axis``) to which latent indices turn NaN (n, latent)."""
        images = self.image.masked_fill(self.spread(masks, axis), torch.nan)
        return self.run(images).isnan().any(dim=1).any(dim=2 - axis)


def _search(probe: _Probe) -> tuple[_Intervals, _Intervals]:
    """Return first and one past last pixel per latent row, and per latent column."""
    expected = probe.run(probe.image[None])[0]

    def intervals(axis: int, guess: Tensor | None) -> _Intervals:
        size = probe.image_size[axis]
        pixels = torch.arange(size)
        sees_any = probe.turns_nan(torch.ones(1, size, dtype=torch.bool), axis)[0]
        if guess is not None and len(guess) != len(sees_any):
            guess = None
        unseen = []
        for side in (pixels, pixels.flip(0)):
            unseen.append(
                _count_unseen(
                    lambda n, side=side: probe.turns_nan(side < n[:, None], axis),
                    size,
                    sees_any,
                    guess,
                )
            )
            guess = unseen[-1].flip(0)  # most networks see the same on both sides
        before, after = unseen
        start, stop = before, size - after
        # Nothing outside the fields may matter; if it does, NaN was hidden on the way.
        partial = ((start > 0) | (stop < size)).nonzero()[:, 0]
        if len(partial) > 0:
            outside = (pixels < start[partial, None]) | (pixels >= stop[partial, None])
            images = torch.where(probe.spread(outside, axis), probe.other, probe.image)
            maps = probe.run(images).movedim(2 + axis, 1)
            actual = maps[torch.arange(len(partial)), partial]
            wanted = expected.movedim(1 + axis, 0)[partial]
            # Above the rounding of single precision, below any real dependence.
            if (actual - wanted).abs().max() > 1e-4 * expected.abs().max():
                start, stop = torch.zeros_like(start), torch.full_like(stop, size)
        return start, stop

    rows = intervals(0, None)
    # Most networks treat rows and columns alike, so the answer for rows is tried first.
    return rows, intervals(1, rows[0])


def _are_tight(probe: _Probe, fields: tuple[_Intervals, _Intervals]) -> bool:
    """Return whether the outermost pixels of the middle fields are really seen.

    Four neighbors suffice: Winograd's transform widens fields in tiles of two or four cells.
    """
    everything = torch.ones(1, dtype=torch.bool)
    for axis, (start, stop) in enumerate(fields):
        size = probe.image_size[axis]
        pixels = torch.arange(size)
        middle = torch.arange(len(start))[max(0, len(start) // 2 - 2) :][:4]
        for bound, side in ((start, pixels), (size - stop, pixels.flip(0))):
            masks = side <= bound[middle, None]
            seen = probe.turns_nan(masks, axis)[torch.arange(len(middle)), middle]
            everything = everything & seen.all()
    return bool(everything)


def _count_unseen(
    turns_nan: Callable[[Tensor], Tensor], size: int, sees_any: Tensor, guess: Tensor | None
) -> Tensor:
    """Return per latent index how many pixels at one side of the image it does not see.

    Args:
        turns_nan: Maps numbers of masked pixels (n,) to whether each latent index turns NaN
            (n, latent).
        size: Number of pixels along the axis.
        sees_any: Whether the index sees any pixel; where not, the answer is 0.
        guess: Numbers to try first; they cost nothing but passes if wrong.
    """
    low = torch.zeros(len(sees_any), dtype=torch.int64)
    high = torch.where(sees_any, size - 1, 0)
    queries = torch.tensor([1])  # most often decisive: deep networks see everything
    if guess is not None:
        queries = torch.cat([queries, guess, guess + 1]).clamp(1, max(1, size - 1)).unique()
    while (low < high).any():
        seen = turns_nan(queries)
        for count, is_nan in zip(queries.tolist(), seen, strict=True):
            high = torch.where(is_nan & sees_any, high.clamp(max=count - 1), high)
            low = torch.where(~is_nan & sees_any, low.clamp(min=count), low)
        queries = ((low + high + 1) // 2)[low < high].unique()
    return low
