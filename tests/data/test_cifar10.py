from __future__ import annotations

import errno
import hashlib
import io
import os
import tarfile

import numpy as np
import platformdirs
import pytest
import torch

from pellucid import DataError, UsageError
from pellucid.data import InMemoryImages, StreamedImages, cifar10, load_data
from pellucid.data.cifar10 import (
    Cifar10Archive,
    cache_folder,
    images_from_records,
    open_records,
    split_cifar10,
)
from pellucid.data.downloads import RemoteFile
from tests.data.range_server import serve_mirrors

PER_MEMBER = 20
TRAIN = 5 * PER_MEMBER


def random_records():
    source = np.random.default_rng(0)
    records = source.integers(0, 256, (6 * PER_MEMBER, 3073), dtype=np.uint8)
    records[:, 0] = np.arange(6 * PER_MEMBER) % 10
    return records


def write_archive(path, records, *, per_member=PER_MEMBER, leave_out=()):
    members = [f"data_batch_{number}.bin" for number in range(1, 6)] + ["test_batch.bin"]
    contents = {
        name: records[number * per_member : (number + 1) * per_member].tobytes()
        for number, name in enumerate(members)
    }
    # In the archive the members lie in no particular order, among others.
    with tarfile.open(path, "w:gz") as tar:
        for name in ["readme.html", *reversed(members)]:
            if name in leave_out:
                continue
            content = contents.get(name, b"other")
            entry = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return path


def describe(path, *urls, per_member=PER_MEMBER):
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    return Cifar10Archive(RemoteFile(urls, digest, len(content)), per_member)


@pytest.fixture
def local(tmp_path):
    path = write_archive(tmp_path / "copy.tar.gz", random_records())
    return path, describe(path)


def test_open_records_local_archive_gives_train_then_test(local, tmp_path):
    path, archive = local
    records = open_records(archive, tmp_path / "cache", path)
    assert np.array_equal(records, random_records())
    assert path.exists()


def test_open_records_second_time_needs_no_archive(local, tmp_path):
    path, archive = local
    open_records(archive, tmp_path / "cache", path)
    records = open_records(archive, tmp_path / "cache")
    assert np.array_equal(records, random_records())
    assert isinstance(records, np.memmap)


def test_open_records_downloads_and_keeps_the_array_alone(local, tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    path, _ = local
    with serve_mirrors() as mirrors:
        mirrors.files["/c"] = path.read_bytes()
        mirrors.cut_after["/c"] = 200_000
        archive = describe(path, mirrors.url("/c"))
        records = open_records(archive, tmp_path / "cache", quiet=True)
    assert np.array_equal(records, random_records())
    kept = list((tmp_path / "cache" / "cifar10").iterdir())
    assert [file.suffix for file in kept] == [".npy"]


def test_open_records_archive_left_by_an_ended_process_is_used(local, tmp_path):
    path, archive = local
    folder = tmp_path / "cache" / "cifar10"
    folder.mkdir(parents=True)
    path.rename(folder / cifar10.ARCHIVE_NAME)
    (folder / "killed.tmp").touch()
    assert np.array_equal(open_records(archive, tmp_path / "cache"), random_records())
    assert [file.suffix for file in folder.iterdir()] == [".npy"]


def test_open_records_damaged_cache_is_made_anew(local, tmp_path):
    path, archive = local
    open_records(archive, tmp_path, path)
    stored = next((tmp_path / "cifar10").glob("*.npy"))
    content = bytearray(stored.read_bytes())
    content[5000] ^= 1
    stored.unlink()  # not written in place: the first array may still be mapped
    stored.write_bytes(content)
    assert np.array_equal(open_records(archive, tmp_path, path), random_records())


def test_open_records_wrong_archive_is_refused_unread(local, tmp_path):
    path, archive = local
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(DataError, match=r"is not the archive .* expected .*Download it again"):
        open_records(archive, tmp_path / "cache", path)
    assert not (tmp_path / "cache").exists()


def test_open_records_python_archive_names_the_other_version(local, tmp_path, monkeypatch):
    archive = local[1]
    other = tmp_path / "other.tar.gz"
    other.write_bytes(b"python")
    digest = hashlib.sha256(b"python").hexdigest()
    monkeypatch.setattr(cifar10, "_PYTHON_ARCHIVE_SHA256", digest)
    with pytest.raises(DataError, match=r"Python version of CIFAR-10.*Use the binary version"):
        open_records(archive, tmp_path, other)


def test_open_records_missing_archive_is_refused(local, tmp_path):
    with pytest.raises(UsageError, match="there is no such file"):
        open_records(local[1], tmp_path, tmp_path / "gone.tar.gz")


def test_open_records_missing_member_is_named(tmp_path):
    path = write_archive(tmp_path / "a.tar.gz", random_records(), leave_out=["data_batch_3.bin"])
    with pytest.raises(DataError, match=r"no member .*data_batch_3.bin"):
        open_records(describe(path), tmp_path, path)


def test_open_records_member_of_other_length_is_named(local, tmp_path):
    path, _ = local
    archive = describe(path, per_member=PER_MEMBER - 1)
    with pytest.raises(DataError, match=r"data_batch_1.bin must be a file of 58,387 bytes"):
        open_records(archive, tmp_path, path)


def test_open_records_label_out_of_range_is_refused(tmp_path):
    records = random_records()
    records[3, 0] = 10
    path = write_archive(tmp_path / "a.tar.gz", records)
    with pytest.raises(DataError, match=r"labels must be in \[0, 9\], got 10"):
        open_records(describe(path), tmp_path, path)


def test_open_records_file_that_is_no_archive_is_refused(tmp_path):
    path = tmp_path / "a.tar.gz"
    path.write_bytes(b"text")
    with pytest.raises(DataError, match=r"cannot be read as a tar.gz archive"):
        open_records(describe(path), tmp_path, path)


def test_open_records_full_disk_leaves_nothing(local, tmp_path, monkeypatch):
    path, archive = local

    def fill_up(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "save", fill_up)
    with pytest.raises(DataError, match=r"the disk is full\. Choose another place"):
        open_records(archive, tmp_path / "cache", path)
    assert list((tmp_path / "cache" / "cifar10").iterdir()) == []


def test_open_records_cache_that_is_a_file_is_refused(local, tmp_path):
    path, archive = local
    (tmp_path / "cache").touch()
    with pytest.raises(DataError, match=r"cannot be used: .*PELLUCID_CACHE"):
        open_records(archive, tmp_path / "cache", path)


def test_images_from_records_native_size_gives_the_planes():
    records = random_records()
    images = images_from_records(records, (32, 32))
    read = images.read(torch.tensor([7, 2]))
    assert read.shape == (2, 3, 32, 32)
    assert np.array_equal(read[0].numpy().ravel(), records[7, 1:])
    assert images.labels[7] == 7
    assert images.class_names[7] == "horse"
    assert images.names[7] == "cifar10[7]"
    red = np.asarray(images.original(7))[:, :, 0]
    assert np.array_equal(red.ravel(), records[7, 1:1025])


def test_images_from_records_resized_held_equals_streamed():
    records = random_records()
    held = images_from_records(records, (48, 40))
    streamed = images_from_records(records, (48, 40), memory_limit_bytes=0)
    assert isinstance(held, InMemoryImages)
    assert isinstance(streamed, StreamedImages)
    chosen = torch.tensor([5, 99, 0])
    assert torch.equal(held.read(chosen), streamed.read(chosen))
    assert held.original(5).size == (32, 32)


def test_split_cifar10_keeps_the_official_test_images():
    labels = torch.arange(6 * PER_MEMBER) % 10
    splits = split_cifar10(labels, TRAIN, seed=0, validation_fraction=0.1)
    assert splits.test.tolist() == list(range(TRAIN, 6 * PER_MEMBER))
    assert (len(splits.train), len(splits.validation)) == (90, 10)
    assert torch.bincount(labels[splits.validation]).tolist() == [1] * 10


def test_load_data_archive_path_gives_cifar10(local, tmp_path, monkeypatch):
    path, archive = local
    monkeypatch.setattr(cifar10, "PUBLIC_ARCHIVE", archive)
    data = load_data(path, cache=tmp_path / "cache", seed=1)
    assert data.name == "cifar10"
    assert (len(data.splits.train), len(data.splits.validation), len(data.splits.test)) == (
        90,
        10,
        20,
    )
    assert data.images.image_size == (32, 32)


def test_public_archive_is_the_published_one():
    remote = cifar10.PUBLIC_ARCHIVE.remote
    assert remote.size_bytes == 170_052_171
    assert remote.sha256.startswith("c4a38c50a1bc5f3a1c5537f2155ab9d6")
    assert all(url.startswith("https://") for url in remote.urls)


def test_cache_folder_prefers_argument_then_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("PELLUCID_CACHE", str(tmp_path / "environment"))
    assert cache_folder(tmp_path / "argument") == tmp_path / "argument"
    assert cache_folder() == tmp_path / "environment"
    monkeypatch.delitem(os.environ, "PELLUCID_CACHE")
    assert cache_folder() == platformdirs.user_cache_path("pellucid")
