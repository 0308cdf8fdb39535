from __future__ import annotations

import pickle
import re

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from pellucid import DataError, UsageError
from pellucid.backbones import Backbone, create_backbone, wrap_module

# ---------------------------------------------------------------- create_backbone


@pytest.mark.parametrize(
    ("name", "image_size", "latent"),
    [
        ("resnet18", (32, 32), (128, 4, 4)),
        ("resnet18", (64, 96), (256, 4, 6)),
        ("resnet18", (8, 8), (64, 4, 4)),
        ("vit_tiny_patch16_224", (64, 96), (192, 4, 6)),
        ("swin_tiny_patch4_window7_224", (64, 96), (384, 4, 6)),
        ("convnext_atto", (64, 64), (160, 4, 4)),
        ("inception_v3", (64, 64), (288, 5, 5)),
        ("mixer_s32_224", (64, 96), (512, 2, 3)),
        ("patch_cnn", (32, 32), (128, 8, 8)),
    ],
)
def test_create_backbone_default_stage_gives_a_map_with_four_cells(name, image_size, latent):
    backbone = create_backbone(name, image_size=image_size)
    assert (backbone.channels, *backbone.latent_size) == latent
    assert (backbone.name, backbone.image_size) == (name, image_size)
    assert backbone.eval()(torch.rand(1, 3, *image_size)).shape == (1, *latent)


def test_create_backbone_resnet18_equals_torchvision_bit_for_bit():
    torch.manual_seed(3)
    ours = create_backbone("resnet18", image_size=(32, 32)).eval()
    torch.manual_seed(3)
    theirs = torchvision.models.resnet18(weights=None)
    cut = nn.Sequential(*list(theirs.children())[:6]).eval()  # up to layer2
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(ours(images), cut(images))
    count = sum(p.numel() for p in cut.parameters())
    assert sum(p.numel() for p in ours.parameters()) == count


@pytest.mark.parametrize("name", ["resnet18", "vit_tiny_patch16_224", "densenet121"])
def test_create_backbone_every_trained_parameter_gets_a_gradient(name):
    backbone = create_backbone(name, image_size=(32, 32), stage=1)
    backbone(torch.rand(2, 3, 32, 32)).sum().backward()
    dead = [n for n, p in backbone.named_parameters() if p.requires_grad and p.grad is None]
    assert dead == []


def test_create_backbone_starts_in_training_mode_with_fresh_statistics():
    backbone = create_backbone("resnet18", image_size=(32, 32))
    assert all(module.training for module in backbone.modules())
    assert backbone.features.model.bn1.num_batches_tracked == 0


@pytest.mark.parametrize(
    ("name", "guess"),
    [("resnet81", "Did you mean 'resnet"), ("patchcnn", "Did you mean 'patch_cnn'")],
)
def test_create_backbone_unknown_name_raises_with_a_guess(name, guess):
    with pytest.raises(UsageError, match=guess):
        create_backbone(name, image_size=(32, 32))


@pytest.mark.parametrize("stage", [-1, 5, 1.0])
def test_create_backbone_unknown_stage_raises_listing_them(stage):
    with pytest.raises(UsageError, match=r"stage must be an integer in \[0, 4\].*2: 128x4x4"):
        create_backbone("resnet18", image_size=(32, 32), stage=stage)


def test_create_backbone_patch_cnn_with_stage_raises():
    with pytest.raises(UsageError, match="stage must be None for backbone 'patch_cnn'"):
        create_backbone("patch_cnn", image_size=(32, 32), stage=1)


def test_create_backbone_impossible_image_size_raises_with_remedy():
    with pytest.raises(
        UsageError, match=r"image_size \(8, 8\) is too small for.*backbone 'patch_cnn'"
    ):
        create_backbone("vit_tiny_patch16_224", image_size=(8, 8))


@pytest.mark.parametrize("image_size", [(0, 3), (3,), 3, (3.5, 3)])
def test_create_backbone_bad_image_size_raises(image_size):
    with pytest.raises(UsageError, match="image_size"):
        create_backbone("patch_cnn", image_size=image_size)


# ---------------------------------------------------------------- weights


def test_create_backbone_local_safetensors_are_loaded(tmp_path):
    source = torchvision.models.resnet18(weights=None)
    for module in source.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean)
    save_file(source.state_dict(), tmp_path / "w.safetensors")
    backbone = create_backbone(
        "resnet18", image_size=(32, 32), weights=tmp_path / "w.safetensors"
    ).eval()
    images = torch.rand(2, 3, 32, 32)
    cut = nn.Sequential(*list(source.children())[:6]).eval()
    assert torch.equal(backbone(images), cut(images))
    assert backbone.mean == (0.485, 0.456, 0.406)


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"state_dict": s, "epoch": 3}])
def test_create_backbone_local_pth_is_loaded(tmp_path, wrap):
    source = create_backbone("patch_cnn", image_size=(8, 8))
    state = {f"module.{k}": v for k, v in source.features.state_dict().items()}
    torch.save(wrap(state), tmp_path / "w.pth")
    loaded = create_backbone("patch_cnn", image_size=(8, 8), weights=tmp_path / "w.pth")
    for name, tensor in source.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor)


def test_create_backbone_vit_weights_of_another_size_are_resampled(tmp_path):
    source = create_backbone("vit_tiny_patch16_224", image_size=(64, 64))
    save_file(source.features.model.state_dict(), tmp_path / "w.safetensors")
    loaded = create_backbone(
        "vit_tiny_patch16_224", image_size=(64, 96), weights=tmp_path / "w.safetensors"
    )
    assert loaded.latent_size == (4, 6)
    blocks = source.features.model.blocks[3].mlp.fc1.weight
    assert torch.equal(loaded.features.model.blocks[3].mlp.fc1.weight, blocks)


def test_create_backbone_weights_of_another_model_raise(tmp_path):
    save_file({"conv1.weight": torch.ones(2, 2)}, tmp_path / "w.safetensors")
    with pytest.raises(
        DataError, match=r"do not fit backbone 'resnet18': \d+ tensors are missing.*has shape"
    ):
        create_backbone("resnet18", image_size=(32, 32), weights=tmp_path / "w.safetensors")


def test_create_backbone_weights_file_missing_raises(tmp_path):
    with pytest.raises(DataError, match="weights must be 'hub' or an existing file"):
        create_backbone("resnet18", image_size=(32, 32), weights=tmp_path / "none.safetensors")


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_create_backbone_damaged_weights_raise(tmp_path, suffix):
    path = tmp_path / f"w{suffix}"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(DataError, match=re.escape(str(path))):
        create_backbone("resnet18", image_size=(32, 32), weights=path)


def test_create_backbone_weights_of_unknown_kind_raise(tmp_path):
    (tmp_path / "w.bin").write_bytes(b"")
    with pytest.raises(DataError, match=r"must be a .safetensors, .pth or .pt file"):
        create_backbone("resnet18", image_size=(32, 32), weights=tmp_path / "w.bin")


class RunsCode:
    def __reduce__(self):
        return (print, ("the weights ran code",))


def test_create_backbone_weights_that_would_run_code_are_refused(tmp_path, capsys):
    with (tmp_path / "w.pt").open("wb") as file:
        pickle.dump({"conv1.weight": RunsCode()}, file)
    with pytest.raises(DataError, match="cannot be loaded safely"):
        create_backbone("resnet18", image_size=(32, 32), weights=tmp_path / "w.pt")
    assert capsys.readouterr().out == ""


def test_create_backbone_hub_unreachable_raises_with_remedy(monkeypatch):
    import timm

    create_model = timm.create_model

    def unreachable(name, *, pretrained, **arguments):
        if pretrained:
            raise OSError("no route to host")
        return create_model(name, pretrained=False, **arguments)

    monkeypatch.setattr(timm, "create_model", unreachable)
    with pytest.raises(DataError, match=r"cannot be downloaded \(no route to host\).*local"):
        create_backbone("resnet18", image_size=(32, 32), weights="hub")


def test_create_backbone_patch_cnn_from_the_hub_raises():
    with pytest.raises(UsageError, match="got 'hub': none are published"):
        create_backbone("patch_cnn", image_size=(32, 32), weights="hub")


# ---------------------------------------------------------------- wrap_module


def test_wrap_module_finds_channels_and_latent_size():
    backbone = wrap_module(nn.Conv2d(3, 7, 3, stride=2), image_size=(9, 15))
    assert isinstance(backbone, Backbone)
    assert (backbone.channels, backbone.latent_size) == (7, (4, 7))
    assert backbone.name == "Conv2d"


def test_wrap_module_leaves_statistics_modes_and_random_streams_alone():
    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Dropout(0.5))
    module[1].eval()  # frozen statistics in a network being trained
    state = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    stream = torch.get_rng_state()
    wrap_module(module, image_size=(4, 4))
    assert [m.training for m in module.modules()] == [True, True, False, True]
    assert torch.equal(torch.get_rng_state(), stream)
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, state[name])


class Returns(nn.Module):
    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, images):
        return self.value(images)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (lambda x: x.mean((2, 3)), r"got shape \(2, 3\) of torch.float32. Cut it before"),
        (lambda x: [x], "got list"),
        (lambda x: x.long(), "torch.int64 for 2 images"),
        (lambda x: x[:1], r"shape \(1, 3, 4, 4\) of torch.float32 for 2 images"),
        (lambda x: x[:, :0], r"shape \(2, 0, 4, 4\)"),
        (lambda x: x / 0, "finite numbers, got NaN or infinity"),
        (lambda x: x[:, 5], "must accept float images of shape .* raised IndexError"),
    ],
)
def test_wrap_module_wrong_output_raises(value, message):
    with pytest.raises(UsageError, match=message):
        wrap_module(Returns(value), image_size=(4, 4))


def test_wrap_module_not_a_module_raises():
    with pytest.raises(UsageError, match=r"module must be a torch.nn.Module, got function"):
        wrap_module(lambda x: x, image_size=(4, 4))
