from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest
import torch
from torch import nn

from pellucid import UsageError
from pellucid.data import Normalization
from pellucid.evaluation import ExplainedModel, GradCam, IntegratedGradients, PrototypeModel
from tests.reference import attributions as twin

pytest.importorskip("captum")

NAMES = ("left", "right", "both")
NORMALIZATION = Normalization((0.4, 0.5, 0.6), (0.2, 0.25, 0.3))
HEIGHT, WIDTH = 12, 20  # not square


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 5, 3, stride=2, padding=1),
        nn.BatchNorm2d(5),
        nn.Softplus(),
        nn.Conv2d(5, 4, 3, stride=2, padding=1),
        nn.Tanh(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 3),
    ).double()


@pytest.fixture
def images():
    random = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (3, 3, HEIGHT, WIDTH), dtype=torch.uint8, generator=random)


class DoubleNormalization(Normalization):
    """In float64, so that results can be compared closely."""

    def __call__(self, images):
        return super().__call__(images.double() / 255 if images.dtype == torch.uint8 else images)


PRECISE = DoubleNormalization(NORMALIZATION.mean, NORMALIZATION.deviation)
CLASSES = torch.tensor([2, 0, 1])


def test_grad_cam_without_relu_equals_the_one_by_hooks(network, images):
    layer = network[4]
    model = GradCam(network, layer, class_names=NAMES, normalization=PRECISE, positive_only=False)
    found = model.importance(images, CLASSES)
    assert found.shape == (3, HEIGHT, WIDTH)
    for image, label, one in zip(PRECISE(images), CLASSES.tolist(), found, strict=True):
        coarse = twin.grad_cam(network, layer, image, label)
        torch.testing.assert_close(one, twin.enlarge(coarse, HEIGHT, WIDTH))


def test_grad_cam_relu_is_taken_before_enlarging(network, images):
    layer = network[1]
    model = GradCam(network, layer, class_names=NAMES, normalization=PRECISE)
    found = model.importance(images, CLASSES)
    assert found.min() >= 0
    coarse = twin.grad_cam(network, layer, PRECISE(images)[1], 0)
    assert coarse.min() < 0 < coarse.max()
    torch.testing.assert_close(found[1], twin.enlarge(coarse.relu(), HEIGHT, WIDTH))


def test_integrated_gradients_equal_many_small_steps(network, images):
    model = IntegratedGradients(network, class_names=NAMES, normalization=PRECISE)
    found = model.importance(images, CLASSES)
    blank = torch.zeros(3, HEIGHT, WIDTH, dtype=torch.float64)
    for image, label, one in zip(PRECISE(images), CLASSES.tolist(), found, strict=True):
        slow = twin.integrated_gradients(network, image, blank, label, steps=400)
        torch.testing.assert_close(one, slow, atol=1e-5, rtol=0)


@pytest.mark.parametrize("baseline", [None, (0.0, 0.0, 0.0), (0.2, 1.0, 0.5)])
def test_integrated_gradients_add_up_to_what_the_image_adds_to_the_blank(network, images, baseline):
    model = IntegratedGradients(
        network, class_names=NAMES, normalization=PRECISE, baseline=baseline
    )
    found = model.importance(images, CLASSES).sum((1, 2))
    colors = torch.tensor(baseline or NORMALIZATION.mean, dtype=torch.float64)
    blank = PRECISE(colors.view(1, 3, 1, 1).expand(3, 3, HEIGHT, WIDTH))
    with torch.no_grad():
        gained = (network(PRECISE(images)) - network(blank)).gather(1, CLASSES[:, None])[:, 0]
    torch.testing.assert_close(found, gained, atol=1e-6, rtol=0)


@pytest.mark.parametrize("method", ["grad-cam", "integrated"])
def test_importance_takes_each_image_by_itself_and_leaves_the_network_alone(
    network, images, method
):
    network.train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    model = (
        GradCam(network, network[4], class_names=NAMES, normalization=PRECISE)
        if method == "grad-cam"
        else IntegratedGradients(network, class_names=NAMES, normalization=PRECISE)
    )
    together = model.importance(images, CLASSES)
    alone = [model.importance(images[i : i + 1], CLASSES[i : i + 1])[0] for i in range(3)]
    torch.testing.assert_close(together, torch.stack(alone))
    assert not together.requires_grad
    assert all(parameter.grad is None for parameter in network.parameters())
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])


def test_probabilities_are_the_softmax_of_the_logits(network, images):
    model = IntegratedGradients(network, class_names=NAMES, normalization=PRECISE)
    with torch.no_grad():
        expected = network.eval()(PRECISE(images)).exp()
    expected = expected / expected.sum(1, keepdim=True)
    torch.testing.assert_close(model.probabilities(images), expected)


def test_attributions_are_explained_models_without_prototypes(network):
    for model in (
        GradCam(network, network[4], class_names=NAMES, normalization=NORMALIZATION),
        IntegratedGradients(network, class_names=NAMES, normalization=NORMALIZATION),
    ):
        assert isinstance(model, ExplainedModel)
        assert not isinstance(model, PrototypeModel)


def test_grad_cam_layer_from_elsewhere_is_refused(network):
    with pytest.raises(UsageError, match="layer must be a module of the network"):
        GradCam(network, nn.Tanh(), class_names=NAMES, normalization=NORMALIZATION)


def test_grad_cam_layer_without_positions_is_refused(network, images):
    model = GradCam(network, network[7], class_names=NAMES, normalization=PRECISE)
    with pytest.raises(UsageError, match="Use the last layer before pooling"):
        model.importance(images, CLASSES)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"steps": 0}, "steps must be an integer >= 1"), ({"baseline": (0, 0, 2)}, "three numbers")],
)
def test_integrated_gradients_wrong_setting_is_refused(network, wrong, message):
    with pytest.raises(UsageError, match=message):
        IntegratedGradients(network, class_names=NAMES, normalization=NORMALIZATION, **wrong)


def test_probabilities_with_other_classes_than_logits_are_refused(network, images):
    model = IntegratedGradients(network, class_names=("a", "b"), normalization=PRECISE)
    with pytest.raises(UsageError, match="a logit for each of the 2 classes, got 3"):
        model.probabilities(images)


def test_attribution_of_something_else_is_refused():
    with pytest.raises(UsageError, match=r"network must be a torch\.nn\.Module, got str"):
        IntegratedGradients("resnet18", class_names=NAMES, normalization=NORMALIZATION)  # type: ignore[arg-type]


def test_attribution_without_captum_says_how_to_get_it(network, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "captum" else find(name)
    )
    with pytest.raises(UsageError, match=r"pip install 'pellucid\[captum\]'"):
        GradCam(network, network[4], class_names=NAMES, normalization=NORMALIZATION)


def test_import_loads_no_captum():
    code = "import sys, pellucid.evaluation.attributions; sys.exit('captum' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
