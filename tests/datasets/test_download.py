"""Downloads from a server on this machine that can break off, ignore ranges or send rubbish."""

import functools
import hashlib
import http.server
import re
import threading

import pytest

from minicaffe.datasets import download
from minicaffe.errors import DataError, FileError

CONTENT = bytes(range(256)) * 4000


class Handler(http.server.BaseHTTPRequestHandler):
    """/good, /norange (whole files only), /broken (10 kB a request), /stuck (length, nothing), /bad."""

    def do_GET(self):
        kind = self.path.split("/")[1]
        self.server.requests.append((kind, self.headers.get("Range")))
        if kind not in ("good", "norange", "broken", "stuck", "bad"):
            return self.send_error(404)
        content = CONTENT[::-1] if kind == "bad" else CONTENT
        asked = re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(asked[1]) if asked and kind != "norange" else 0
        if start >= len(content):
            return self.send_error(416)
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start:] if kind not in ("broken", "stuck")
                         else content[start:start + 300_000] if kind == "broken" else b"")

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    """The server; url("good") is an address on it, requests what was asked for."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.requests = []
        server.url = lambda kind: f"http://127.0.0.1:{server.server_port}/{kind}/file.bin"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def verify(path):
    right = hashlib.md5(path.read_bytes()).digest() == hashlib.md5(CONTENT).digest()
    return None if right else "the MD5 is wrong"


@pytest.fixture
def fetch(server, tmp_path):
    """fetch(kinds...): download from these addresses in turn, check that it worked."""
    def run(*kinds):
        download.fetch([server.url(kind) for kind in kinds], tmp_path / "file.bin", verify)
        assert (tmp_path / "file.bin").read_bytes() == CONTENT
        assert not (tmp_path / "file.bin.part").exists()
    run.part = tmp_path / "file.bin.part"
    return run


def test_fetches(fetch, server):
    fetch("good", "bad")
    assert server.requests == [("good", None)]


def test_resumes_a_part(fetch, server):
    fetch.part.write_bytes(CONTENT[:5000])
    fetch("good")
    assert server.requests == [("good", "bytes=5000-")]


def test_server_without_ranges_starts_again(fetch, server):
    fetch.part.write_bytes(CONTENT[:5000])
    fetch("norange")
    assert len(server.requests) == 1


def test_part_that_is_complete(fetch, server):
    fetch.part.write_bytes(CONTENT)
    fetch("good")
    assert len(server.requests) == 1


def test_part_that_does_not_belong_is_fetched_anew(fetch, server):
    fetch.part.write_bytes(b"x" * 5000)
    fetch("good")
    assert server.requests == [("good", "bytes=5000-"), ("good", None)]


def test_broken_connection_is_continued(fetch, server):
    fetch("broken")
    assert [asked for _, asked in server.requests] == [None, "bytes=300000-", "bytes=600000-", "bytes=900000-"]


def test_next_mirror_takes_over(fetch, server):
    fetch("missing", "bad", "stuck", "good")
    assert [kind for kind, _ in server.requests] == ["missing", "bad", "stuck", "good"]


def test_nothing_is_left_of_a_file_that_fails_the_check(fetch, tmp_path):
    with pytest.raises(DataError, match=r"file.bin can't be downloaded \(.*missing/file.bin: HTTP 404 .*; "
                                        r".*bad/file.bin: the MD5 is wrong\)"):
        fetch("missing", "bad")
    assert list(tmp_path.iterdir()) == []


def test_no_such_server_is_named(tmp_path):
    with pytest.raises(DataError, match="http://127.0.0.1:9/a: connection refused"):
        download.fetch(["http://127.0.0.1:9/a"], tmp_path / "a", verify)


def test_interruption_leaves_the_part(fetch, server, monkeypatch):
    class Bar(download.tqdm):
        def update(self, n=1):
            raise KeyboardInterrupt
    monkeypatch.setattr(download, "tqdm", functools.partial(Bar, disable=True))
    with pytest.raises(KeyboardInterrupt):
        fetch("good")
    monkeypatch.undo()
    assert 0 < fetch.part.stat().st_size < len(CONTENT)
    fetch("good")
    assert server.requests[1][1] is not None


def test_unwritable_folder(server, tmp_path):
    with pytest.raises(FileError, match="file.part: can't be written: no such file"):
        download.fetch([server.url("good")], tmp_path / "none" / "file", verify)
