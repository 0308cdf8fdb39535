from __future__ import annotations

import errno
import hashlib
import shutil
import threading
from collections import namedtuple

import numpy as np
import pytest

from pellucid import DataError
from pellucid.data import downloads
from pellucid.data.downloads import RemoteFile, download_file, exclusive_folder
from tests.data.range_server import serve_mirrors

CONTENT = np.random.default_rng(0).integers(0, 256, 1_000_000, dtype=np.uint8).tobytes()


@pytest.fixture
def mirrors():
    with serve_mirrors() as served:
        yield served


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def remote(mirrors, *paths, content=CONTENT):
    digest = hashlib.sha256(content).hexdigest()
    return RemoteFile(tuple(mirrors.url(path) for path in paths), digest, len(content))


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_download_file_sound_mirror_delivers(mirrors, tmp_path):
    mirrors.files["/a"] = CONTENT
    target = download_file(remote(mirrors, "/a"), tmp_path / "new" / "file", quiet=True)
    assert target.read_bytes() == CONTENT
    assert names(target.parent) == ["file"]


def test_download_file_cut_connection_resumes_where_it_broke_off(mirrors, tmp_path):
    mirrors.files["/a"] = CONTENT
    mirrors.cut_after["/a"] = 300_000
    target = download_file(remote(mirrors, "/a"), tmp_path / "file", quiet=True)
    assert target.read_bytes() == CONTENT
    assert [wanted for _, wanted in mirrors.requests] == [
        None,
        "bytes=300000-",
        "bytes=600000-",
        "bytes=900000-",
    ]


def test_download_file_part_of_an_earlier_process_is_continued(mirrors, tmp_path):
    mirrors.files["/a"] = CONTENT
    (tmp_path / "file.part").write_bytes(CONTENT[:400_000])
    download_file(remote(mirrors, "/a"), tmp_path / "file", quiet=True)
    assert mirrors.requests == [("/a", "bytes=400000-")]
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_download_file_other_mirror_takes_over(mirrors, tmp_path):
    mirrors.files["/cut"] = mirrors.files["/whole"] = CONTENT
    mirrors.cut_after["/cut"] = 300_000
    source = remote(mirrors, "/missing", "/cut", "/whole")
    target = download_file(source, tmp_path / "file", quiet=True)
    assert target.read_bytes() == CONTENT
    assert mirrors.requests == [("/missing", None), ("/cut", None), ("/whole", "bytes=300000-")]


def test_download_file_mirror_without_ranges_starts_over(mirrors, tmp_path):
    mirrors.files["/a"] = CONTENT
    mirrors.without_ranges.add("/a")
    (tmp_path / "file.part").write_bytes(b"x" * 400_000)
    target = download_file(remote(mirrors, "/a"), tmp_path / "file", quiet=True)
    assert target.read_bytes() == CONTENT


def test_download_file_no_progress_is_refused_and_keeps_what_came(mirrors, tmp_path):
    mirrors.files["/a"] = CONTENT
    mirrors.cut_after["/a"] = 0
    (tmp_path / "file.part").write_bytes(CONTENT[:1000])
    with pytest.raises(DataError, match=r"broke off .* 1,000 bytes received are kept; run again"):
        download_file(remote(mirrors, "/a"), tmp_path / "file", quiet=True)
    assert names(tmp_path) == ["file.part"]


def test_download_file_wrong_bytes_are_removed(mirrors, tmp_path):
    mirrors.files["/a"] = bytes(len(CONTENT))
    with pytest.raises(DataError, match=r"wrong SHA-256 and was removed; expected .* got http"):
        download_file(remote(mirrors, "/a"), tmp_path / "file", quiet=True)
    assert names(tmp_path) == []


def test_download_file_wrong_bytes_of_one_mirror_do_not_matter(mirrors, tmp_path):
    mirrors.files["/bad"] = bytes(len(CONTENT))
    mirrors.files["/good"] = CONTENT
    target = download_file(remote(mirrors, "/bad", "/good"), tmp_path / "file", quiet=True)
    assert target.read_bytes() == CONTENT


def test_download_file_wrong_part_of_an_earlier_process_is_dropped(mirrors, tmp_path):
    mirrors.files["/a"] = CONTENT
    (tmp_path / "file.part").write_bytes(bytes(len(CONTENT)))
    target = download_file(remote(mirrors, "/a"), tmp_path / "file", quiet=True)
    assert target.read_bytes() == CONTENT


def test_download_file_other_length_is_not_fetched(mirrors, tmp_path):
    mirrors.files["/a"] = CONTENT[:-1]
    with pytest.raises(DataError, match=r"offers 999,999 bytes instead of 1,000,000"):
        download_file(remote(mirrors, "/a"), tmp_path / "file", quiet=True)
    assert names(tmp_path) == []


def test_download_file_nobody_listening_says_what_to_do(tmp_path):
    source = RemoteFile(("http://127.0.0.1:9/file",), "0" * 64, 10)
    with pytest.raises(DataError, match=r"could not be downloaded .* give the path of the file"):
        download_file(source, tmp_path / "file", quiet=True)
    assert names(tmp_path) == []


def test_download_file_too_little_space_is_refused_beforehand(mirrors, tmp_path, monkeypatch):
    mirrors.files["/a"] = CONTENT
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10, 9, 1))
    with pytest.raises(DataError, match=r"the disk is full\. It needs 1 MiB; .*PELLUCID_CACHE"):
        download_file(remote(mirrors, "/a"), tmp_path / "file", quiet=True)
    assert names(tmp_path) == []
    assert mirrors.requests == []


def test_download_file_disk_full_on_the_way_leaves_nothing(mirrors, tmp_path, monkeypatch):
    mirrors.files["/a"] = CONTENT

    def fill_up(response, part, *rest):
        part.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(downloads, "_append", fill_up)
    with pytest.raises(DataError, match="the disk is full"):
        download_file(remote(mirrors, "/a"), tmp_path / "file", quiet=True)
    assert names(tmp_path) == []


def test_download_file_progress_goes_to_stderr(mirrors, tmp_path, capsys):
    mirrors.files["/a"] = CONTENT
    download_file(remote(mirrors, "/a"), tmp_path / "file")
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "downloading file" in shown.err


def test_exclusive_folder_second_holder_waits(tmp_path):
    order = []

    def second():
        with exclusive_folder(tmp_path):
            order.append("second")

    with exclusive_folder(tmp_path):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.1)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
