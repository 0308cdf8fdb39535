"""The convolutions of the small CNN that studies train, as a backbone."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import max_pool2d, relu


class SmallCnnFeatures(nn.Module):
    """5×5 convolution to 8 channels and 3×3 to 16, each with ReLU and 2×2 max-pooling.

    The part before the linear layers of ``network="small_cnn"``, so that a tree and a network can
    be compared on equal terms. A latent cell sees 12×12 pixels, 4 apart: 6×6 cells at 32 px.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 5)
        self.conv2 = nn.Conv2d(8, 16, 3)

    def forward(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch 16 rows columns"]:
        """Return the latent map; images must have at least 12 rows and columns."""
        features = max_pool2d(relu(self.conv1(images)), 2)
        return max_pool2d(relu(self.conv2(features)), 2)
