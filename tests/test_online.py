"""The larger image sets: small files in the same formats, from a real server; a lost network; a broken file."""

from __future__ import annotations

import functools
import gzip
import hashlib
import http.server
import io
import struct
import tarfile
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from torchbook import online

COUNTS = {"train": 20, "t10k": 7}


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """A server's folder with small sets, their addresses and sums in place of the real ones, and an empty cache."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = functools.partial(Counting, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.asked = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("TORCHBOOK_DATA", str(tmp_path / "cache"))
    made = Shelf(folder, f"http://127.0.0.1:{server.server_port}/", server.asked, monkeypatch)
    yield made
    server.shutdown()
    server.server_close()


class Counting(http.server.SimpleHTTPRequestHandler):
    """Remembers what was asked for."""

    def do_GET(self):
        self.server.asked.append(self.path)
        super().do_GET()

    def log_message(self, *args):
        pass


class Shelf:
    def __init__(self, folder, address, asked, monkeypatch):
        self.folder, self.address, self.asked, self.monkeypatch = folder, address, asked, monkeypatch
        rng = np.random.default_rng(0)
        self.images = {part: rng.integers(0, 256, (n, 28, 28), dtype=np.uint8) for part, n in COUNTS.items()}
        self.labels = {part: rng.integers(0, 10, n, dtype=np.uint8) for part, n in COUNTS.items()}
        self.records = [rng.integers(0, 256, (4, 3073), dtype=np.uint8) for _ in range(6)]
        for rows in self.records:
            rows[:, 0] %= 10

    def write(self, name: str) -> None:
        """Serve the set `name`, and let the loader know these addresses and sums."""
        if name == "cifar-10":
            buffer = io.BytesIO()
            with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
                for part, rows in zip(
                    [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"], self.records, strict=True
                ):
                    info = tarfile.TarInfo(f"cifar-10-batches-bin/{part}.bin")
                    info.size = rows.size
                    archive.addfile(info, io.BytesIO(rows.tobytes()))
            files = {"cifar-10-binary.tar.gz": buffer.getvalue()}
        else:
            files = {}
            for part in COUNTS:
                images, labels = self.images[part], self.labels[part]
                head = b"\0\0\x08\x03" + struct.pack(">3I", *images.shape)
                files[f"{part}-images-idx3-ubyte.gz"] = gzip.compress(head + images.tobytes())
                head = b"\0\0\x08\x01" + struct.pack(">I", len(labels))
                files[f"{part}-labels-idx1-ubyte.gz"] = gzip.compress(head + labels.tobytes())
        for file, content in files.items():
            (self.folder / file).write_bytes(content)
        sums = {file: hashlib.md5(content).hexdigest() for file, content in files.items()}
        self.tell(name, files=sums, addresses=(self.address,))

    def tell(self, name: str, **changes) -> None:
        self.monkeypatch.setitem(online._SOURCES, name, replace(online._SOURCES[name], **changes))


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_idx_sets_are_downloaded_and_read(shelf, name):
    shelf.write(name)
    data = online.load_images(name)
    assert (data.x_train.shape, data.x_test.shape) == ((20, 1, 28, 28), (7, 1, 28, 28))
    assert torch.equal((data.x_train[:, 0] * 255).round().byte(), torch.from_numpy(shelf.images["train"]))
    assert torch.equal(data.y_test, torch.from_numpy(shelf.labels["t10k"]).long())
    assert data.x_train.dtype == torch.float32
    assert 0 <= data.x_train.min() < data.x_train.max() <= 1
    assert "28x28" in data.about


def test_cifar_is_downloaded_and_read(shelf):
    shelf.write("cifar-10")
    data = online.load_images("cifar-10")
    assert (data.x_train.shape, data.x_test.shape) == ((20, 3, 32, 32), (4, 3, 32, 32))
    record = shelf.records[1][2]  # the seventh image: red, green and blue planes, row by row
    assert data.y_train[6] == record[0]
    assert torch.equal((data.x_train[6] * 255).round().byte().flatten(), torch.from_numpy(record[1:]))


def test_the_second_call_asks_nobody(shelf, capfd):
    shelf.write("mnist")
    first = online.load_images("mnist")
    assert len(shelf.asked) == 4
    again = online.load_images("mnist")
    assert len(shelf.asked) == 4
    assert torch.equal(first.x_train, again.x_train)


def test_the_bar_shows_progress(shelf, capfd):
    shelf.write("cifar-10")
    online.load_images("cifar-10")
    assert "100%" in capfd.readouterr().err


def test_the_next_address_is_tried(shelf):
    shelf.write("mnist")
    shelf.tell("mnist", addresses=(shelf.address + "gone/", shelf.address))
    assert online.load_images("mnist").x_train.shape == (20, 1, 28, 28)


def test_without_a_network_the_digits_stand_in(shelf):
    shelf.tell("mnist", addresses=("http://127.0.0.1:9/",))  # the discard port: nobody listens
    with pytest.warns(UserWarning, match=r"mnist could not be downloaded .*127\.0\.0\.1:9.* 8x8 digits stand in"):
        data = online.load_images("mnist")
    assert data.x_train.shape == (1347, 1, 8, 8)
    assert "8x8" in data.about


def test_a_file_with_another_sum_is_not_used(shelf, tmp_path):
    shelf.write("cifar-10")
    shelf.tell("cifar-10", files={"cifar-10-binary.tar.gz": "0" * 32})
    with pytest.warns(UserWarning, match="wrong checksum"):
        data = online.load_images("cifar-10")
    assert "8x8" in data.about
    assert not list((tmp_path / "cache").rglob("*.gz"))


def test_a_file_that_is_not_idx_is_told(tmp_path):
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(b"\0\0\x0d\x01" + bytes(8)))
    with pytest.raises(ValueError, match="is not an IDX file of bytes"):
        online._idx(path)


def test_unknown_names_are_told():
    with pytest.raises(ValueError, match="choose one of mnist, fashion-mnist, cifar-10"):
        online.load_images("imagenet")


def test_offline_asks_nobody_and_warns_of_nothing(shelf, monkeypatch, recwarn):
    monkeypatch.setenv("TORCHBOOK_OFFLINE", "1")
    assert online.load_images("mnist").x_train.shape[1:] == (1, 8, 8)
    assert shelf.asked == []
    assert not recwarn.list
