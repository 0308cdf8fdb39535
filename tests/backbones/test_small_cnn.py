from __future__ import annotations

import torch

from pellucid.backbones import SmallCnnFeatures, create_backbone, measure_receptive_field
from pellucid.regularization.small_networks import SmallCnn


def test_small_cnn_features_are_the_convolutions_of_the_network_of_studies():
    network = SmallCnn(10, (32, 32)).double()
    features = SmallCnnFeatures().double()
    features.load_state_dict({k: v for k, v in network.state_dict().items() if "conv" in k})
    images = torch.rand(3, 3, 32, 32, dtype=torch.float64)
    latent = features(images)
    assert latent.shape == (3, 16, 6, 6)
    hidden = torch.relu(network.fc2(torch.relu(network.fc1(latent.flatten(1)))))
    assert torch.equal(network.fc3(hidden), network(images))


def test_small_cnn_cell_sees_twelve_pixels():
    backbone = create_backbone("small_cnn", image_size=(32, 32))
    box = measure_receptive_field(backbone, (32, 32)).box(2, 3)
    assert (box.bottom - box.top, box.right - box.left) == (12, 12)
