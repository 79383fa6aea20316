"""What a server refuses, and that it stays up: names, paths, bombs, crowds, slow clients."""

from __future__ import annotations

import io
import logging
import re
import resource
import socket
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pydicom
import pydicom.data
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian

from echoclip_r.errors import EchoclipError, OptionError
from echoclip_r.serve.access import Access
from echoclip_r.serve.server import ServeConfig
from echoclip_r.serve.uploads import UploadReader
from tests.echoclip_r.serve.conftest import (
    HOSTS,
    Archive,
    Running,
    open_service,
    run_server,
)

TOKEN = "a-token-of-more-than-16"
REAL = Path(str(pydicom.data.get_testdata_file("examples_ybr_color.dcm", download=False)))


def say(url: str, request: str, *, wait: float = 5) -> str:
    """The answer to a request as it is, letter by letter."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=wait) as connection:
        connection.sendall(request.encode("latin-1"))
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts).decode("latin-1")


@pytest.mark.parametrize(
    "host", ["evil.test", "evil.test:80", "127.0.0.1.evil.test", "", "[::", "a@b"]
)
def test_another_name_in_the_host_header_is_refused(server: Running, host: str) -> None:
    """A page elsewhere may point its name to this machine."""
    for path in ("/", "/static/serve.css", "/progress"):
        answer = say(
            server.url, f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        )
        assert re.match(r"HTTP/1.1 4(21|00)", answer)
        assert "Echo archive" not in answer


def test_two_host_headers_are_refused(server: Running) -> None:
    """A proxy might read the one, and the server the other."""
    head = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
    assert re.match(r"HTTP/1.1 4(21|00)", say(server.url, head))


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py", "/static/..%2fapp.py", "/static/%2e%2e/app.py", "/static//etc/passwd",
        "/static/%2fetc%2fpasswd", "/clip/../../etc/passwd", "/clip/..%2f..%2fx/still.webp",
        "/study/..%2f..%2fetc%2fpasswd", "/answer/..%2f..%2fx/0.csv", "/clip/x%00y/still.webp",
        "/clip/x/..%5c..%5cstill.webp", "/brought/../x/before.webp", "/heat/x/0/..%2fy",
    ],
)  # fmt: skip
def test_no_path_leads_out_of_what_is_served(server: Running, path: str) -> None:
    """There is no file behind an address but the three of the server."""
    answer = say(server.url, f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
    assert re.match(r"HTTP/1.1 4\d\d", answer)
    assert "root:" not in answer
    assert "import" not in answer.partition("\r\n\r\n")[2].replace("important", "")


def test_every_answer_has_the_policy(server: Running) -> None:
    """Nothing is loaded from elsewhere, no script is within a page, a browser keeps nothing."""
    name = server.ask(text="Mild MR.")["answer"]
    for path in ("/", f"/answer/{name}", "/nowhere", "/static/serve.js", "/progress"):
        answer = server.client.get(path)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "server" not in answer.headers
        if not path.startswith("/static"):
            assert answer.headers["cache-control"] == "no-store"


def test_what_reports_and_names_hold_is_text(server: Running, searched: Archive) -> None:
    """HTML and scripts in a report, an id, a query, a filter and a file's name."""
    found = server.ask(text='<script>alert("q")</script> severe mitral regurgitation', top=50)
    page = server.client.get(f"/answer/{found['answer']}").text
    row = server.service.engines[0].index.row_of(
        next(hit["key"] for hit in found["models"][0]["hits"] if "<script>" in hit["report"])
    )
    key = server.service.engines[0].index.cell("key", row or 0)
    pages = [page, server.client.get(f"/study/{key}").text]
    pages.append(server.client.post("/search", data={"where": "<img src=x onerror=alert(1)>"}).text)
    clip = {"clip": ('"><script>alert(2)</script>.avi', searched.clip.read_bytes())}
    pages.append(server.client.post("/search", files=clip, follow_redirects=True).text)
    for text in pages:
        assert re.findall(r"<script[^>]*>", text) == ['<script src="/static/serve.js" defer>']
        assert "<b onclick" not in text
        assert "<img src=http" not in text
        assert "onerror=alert(1)>" not in text
    assert "&lt;b onclick=" in pages[1]
    assert "\x07" not in "".join(pages)


def test_another_sites_page_cannot_ask(server: Running) -> None:
    """Neither with its address as the origin, nor with the browser's word that it is another."""
    for headers in (
        {"Origin": "http://evil.test"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ):  # fmt: skip
        answer = server.client.post("/search", data={"text": "Mild MR."}, headers=headers)
        assert answer.status_code == 403
    for headers in ({"Origin": server.url}, {"Sec-Fetch-Site": "same-origin"}):
        answer = server.client.post("/search", data={"text": "Mild MR."}, headers=headers)
        assert answer.status_code == 303


@pytest.fixture(scope="module")
def guarded(searched: Archive, kept: Path, tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("guarded")
    service = open_service(searched, kept, folder)
    with run_server(service, Access(hosts=HOSTS, token=TOKEN), folder) as running:
        yield running


def test_without_the_token_nothing_is_given(guarded: Running) -> None:
    """Not a page, a picture, a figure, nor an answer; a wrong one is refused, too."""
    for path in ("/", "/progress", "/answer/x", "/clip/test-00000000/still.webp"):
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Cookie": "echoclip_session=x"}):
            answer = guarded.client.get(path, headers=headers)
            assert answer.status_code == 401
            assert len(answer.text) < 100
    assert guarded.client.post("/search", data={"text": "Mild MR."}).status_code == 401
    sent = guarded.client.get("/", headers={"Accept": "text/html"})
    assert (sent.status_code, sent.headers["location"]) == (303, "/login")
    assert guarded.client.post("/login", data={"token": "wrong"}).status_code == 401


def test_the_token_opens_and_its_cookie_does_not_hold_it(guarded: Running) -> None:
    """By a header for programs, by a form for people."""
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    assert guarded.client.get("/progress", headers=bearer).status_code == 200
    with httpx.Client(base_url=guarded.url, trust_env=False) as client:
        answer = client.post("/login", data={"token": TOKEN})
        assert answer.status_code == 303
        cookie = answer.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert TOKEN not in cookie
        assert client.get("/progress").status_code == 200


def test_a_proxys_user_is_believed_from_the_proxy_alone(
    searched: Archive, kept: Path, tmp_path: Path
) -> None:
    """And is who the audit names."""
    service = open_service(searched, kept, tmp_path)
    header = {"X-Remote-User": "dr.a"}
    access = Access(hosts=HOSTS, user_header="X-Remote-User")
    with run_server(service, access, tmp_path) as running:
        assert running.client.get("/").status_code == 401
        asked = running.client.post("/search", data={"text": "Mild MR."}, headers=header)
        assert asked.status_code == 303
    assert '"user": "dr.a"' in (tmp_path / "audit.jsonl").read_text()
    access = Access(hosts=HOSTS, user_header="X-Remote-User", proxies=frozenset({"10.0.0.1"}))
    with run_server(service, access, tmp_path) as running:
        assert running.client.get("/", headers=header).status_code == 401


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"host": "0.0.0.0"}, "give --token FILE"),
        ({"host": "192.0.2.7"}, "or --user-header NAME"),
        ({"host": "::"}, "give --token FILE"),
        ({"proxies": ["10.0.0.1"]}, "--proxy is for --user-header"),
        ({"token_file": Path("t"), "user_header": "X"}, "not both"),
        ({"checkpoints": [Path("a")] * 3}, "3 models were given"),
    ],
)
def test_others_reach_it_only_with_a_lock(options: dict, said: str) -> None:
    """An address of the network needs a token or a login before it."""
    with pytest.raises(OptionError, match=said):
        ServeConfig(**{"checkpoints": [Path("run")], "shards": Path("shards"), **options})


def test_what_goes_over_the_wire_is_said(tmp_path: Path) -> None:
    """And the audit is kept without being asked for."""
    (tmp_path / "token").write_text(TOKEN + "\n")
    config = ServeConfig(
        checkpoints=[Path("run")], shards=tmp_path / "shards", host="0.0.0.0",
        token_file=tmp_path / "token", allow_hosts=["Echo.Hospital.test"],
    )  # fmt: skip
    assert "without encryption" in config.warnings()[0]
    assert config.audit_file() == tmp_path / "search" / "audit.jsonl"
    assert config.access().token == TOKEN
    assert "echo.hospital.test" in config.access().hosts
    (tmp_path / "token").write_text("short")
    with pytest.raises(OptionError, match="at least 16"):
        config.access()
    alone = ServeConfig(checkpoints=[Path("run")], shards=tmp_path / "shards")
    assert alone.warnings() == []
    assert alone.audit_file() is None


def test_a_file_that_is_too_large_is_refused_before_it_is_read(server: Running) -> None:
    """By what its header says, and by what comes."""
    head = "POST /search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99999999999\r\n\r\n"
    assert say(server.url, head).startswith("HTTP/1.1 413")

    def endless():
        yield b'--x\r\nContent-Disposition: form-data; name="clip"; filename="a.avi"\r\n\r\n'
        for _ in range(200):
            yield bytes(100_000)

    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    try:
        answer = server.client.post("/search", content=endless(), headers=kind)
        assert answer.status_code == 413
    except (httpx.WriteError, httpx.RemoteProtocolError):
        pass  # the server closed the connection while this side still sent
    assert server.client.get("/progress").json()["ready"]


def broken(name: str) -> bytes:
    """Files that are no clip, or one that would harm."""
    if name == "empty.avi":
        return b""
    if name == "text.mp4":
        return b"this is no video"
    if name == "cut.dcm":
        return REAL.read_bytes()[:5000]
    dataset = pydicom.dcmread(REAL)
    dataset.Rows = dataset.Columns = 65535
    dataset.NumberOfFrames = 100_000
    huge = io.BytesIO()
    pydicom.dcmwrite(huge, dataset)
    return huge.getvalue()


@pytest.mark.parametrize("name", ["empty.avi", "text.mp4", "cut.dcm", "huge.dcm"])
def test_a_harmful_file_is_refused_in_words(server: Running, name: str) -> None:
    """A picture of 4 gigapixels, half a file, no clip at all: and the server answers on."""
    content = broken(name)
    assert len(content) < 4 << 20
    found = server.ask(files={"clip": (name, content)})
    assert found["status"] == 422
    assert len(found["error"]) < 300
    assert server.ask(text="Mild MR.")["status"] == 200


def bomb(num_mb: int) -> bytes:
    """A DICOM file of a few KB whose pixels, once they are unpacked, are so many MB of zeros."""
    dataset = pydicom.dcmread(REAL)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    whole = io.BytesIO()
    pydicom.dcmwrite(whole, dataset, enforce_file_format=True)
    length = 132 + 12 + dataset.file_meta.FileMetaInformationGroupLength
    packer = zlib.compressobj(1, zlib.DEFLATED, -15)
    element = b"\xe0\x7f\x10\x00OB\x00\x00" + (num_mb << 20).to_bytes(4, "little")
    zeros = bytes(1 << 20)
    body = [packer.compress(element), *(packer.compress(zeros) for _ in range(num_mb))]
    return whole.getvalue()[:length] + b"".join(body) + packer.flush()


def test_a_bomb_bursts_in_a_process_of_its_own() -> None:
    """More than the process may have: it is refused, and the memory of this one is as before."""
    content = bomb(700)
    assert len(content) < 4 << 20
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    reader = UploadReader(max_memory=3 << 28)
    with pytest.raises(EchoclipError, match="memory"):
        reader.read("bomb.dcm", content, sizes=[64])
    reader.close()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10


def test_a_clip_whose_sector_is_not_sure_is_refused_and_shown(
    server: Running, tmp_path: Path, helpers
) -> None:
    """Names may be left in it."""
    import numpy as np

    noise = np.random.default_rng(0).integers(0, 255, (8, 64, 64, 3)).astype(np.uint8)
    helpers.write_video(tmp_path / "noise.avi", noise)
    page = server.client.post(
        "/search", files={"clip": ("noise.avi", (tmp_path / "noise.avi").read_bytes())}
    )
    assert page.status_code == 422
    assert "The clip is not used" in page.text
    assert "as it is in the file" in page.text


def test_two_large_files_are_received_at_a_time(server: Running, searched: Archive) -> None:
    """The others wait their turn, and small questions do not."""
    padded = searched.clip.read_bytes() + bytes(2 << 20)
    quick = []

    def bring(_: int) -> int:
        with httpx.Client(base_url=server.url, timeout=120, trust_env=False) as client:
            return client.post("/search", files={"clip": ("a.avi", padded)}).status_code

    with ThreadPoolExecutor(6) as pool:
        brought = pool.map(bring, range(6))
        quick.append(server.ask(text="Mild MR.")["status"])
        assert list(brought) == [303] * 6
    assert quick == [200]


def test_a_reader_that_takes_too_long_is_ended(searched: Archive) -> None:
    """And the next file is read by another one."""
    reader = UploadReader(max_seconds=0.001)
    with pytest.raises(EchoclipError, match="given up"):
        reader.read("a.avi", searched.clip.read_bytes(), sizes=[64])
    reader._max_seconds = 60.0
    assert reader.read("a.avi", searched.clip.read_bytes(), sizes=[64]).frames[64].shape[1] == 64
    reader.close()


def test_a_clip_that_is_brought_is_on_no_disk(
    server: Running, searched: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that is larger than what a form keeps in memory by itself."""
    monkeypatch.setattr("tempfile._get_default_tempdir", lambda: str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    padded = searched.clip.read_bytes() + bytes(2 << 20)
    found = server.ask(files={"clip": ("a.avi", padded)})
    assert found["status"] == 200, found
    assert not list(tmp_path.iterdir())


def test_two_hundred_at_a_time_are_all_answered(server: Running) -> None:
    """Each with its own answer."""

    def one(number: int) -> tuple[int, str]:
        text = f"The LVEF is {20 + number % 60}%."
        with httpx.Client(base_url=server.url, timeout=120, trust_env=False) as client:
            answer = client.post("/search", data={"text": text, "top": "5"})
            if number % 10:
                return answer.status_code, ""
            page = client.get(answer.headers["location"])
            shown = re.sub("<[^>]*>", "", page.text)
            return answer.status_code, "" if text in shown else text

    with ThreadPoolExecutor(200) as pool:
        found = list(pool.map(one, range(200)))
    assert {status for status, _ in found} == {303}
    assert not [text for _, text in found if text]


def test_clients_that_never_read_or_never_end_hold_up_nobody(server: Running) -> None:
    """Forty of them, and an answer still comes at once."""
    host, port = server.url.removeprefix("http://").split(":")
    name = server.ask(text="Mild mitral regurgitation.", top=50)["answer"]
    held = []
    for number in range(40):
        connection = socket.create_connection((host, int(port)))
        if number % 2:
            ask = f"GET /answer/{name} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 20
            connection.sendall(ask.encode())
        else:
            connection.sendall(
                b"POST /search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\nx"
            )
        held.append(connection)
    began = time.monotonic()
    assert server.ask(text="Mild MR.")["status"] == 200
    assert time.monotonic() - began < 20
    for connection in held:
        connection.close()


def test_a_failure_inside_is_logged_without_its_message(
    server: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The message could hold a report."""

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("wombat with severe mitral regurgitation")

    monkeypatch.setattr(server.service, "ask", fail)
    with caplog.at_level(logging.DEBUG):
        answer = server.client.post("/search", data={"text": "wombat"})
        for _ in range(100):  # it is logged after the answer is out
            if "RuntimeError" in caplog.text:
                break
            time.sleep(0.1)
    assert answer.status_code == 500
    assert "wombat" not in answer.text
    assert "RuntimeError" in caplog.text
    assert "wombat" not in caplog.text


def test_nothing_that_is_asked_is_logged(
    server: Running, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Neither a good question nor a wrong one."""
    with caplog.at_level(logging.DEBUG):
        server.ask(text="A wombat with mitral regurgitation.")
        server.ask(where="wombat >= 3")
        server.client.get("/answer/wombat")
    ours = [one for one in caplog.records if not one.name.startswith(("httpx", "httpcore"))]
    assert "wombat" not in "\n".join(one.getMessage() for one in ours)
    out = capfd.readouterr()
    assert "wombat" not in out.out + out.err


def test_a_slow_body_is_given_up(
    searched: Archive, kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A byte now and then keeps no place for ever."""
    monkeypatch.setattr("echoclip_r.serve.access._BODY_SECONDS", 0.3)
    service = open_service(searched, kept, tmp_path)
    with run_server(service, Access(hosts=HOSTS), tmp_path) as running:
        head = (
            "POST /search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99\r\n"
            "Content-Type: application/x-www-form-urlencoded\r\n\r\ntext="
        )
        assert say(running.url, head).startswith("HTTP/1.1 408")


def is_answered(connection: socket.socket) -> bool:
    """Whether the answer to `/progress` comes, which is read to its end."""
    got = b""
    while not got.endswith(b"}"):
        part = connection.recv(65536)
        if not part:
            return False
        got += part
    return got.startswith(b"HTTP/1.1 200")


def test_a_slow_head_is_given_up(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the first request of a connection, and of a later one; an answer may take longer."""
    monkeypatch.setattr("echoclip_r.serve.server._HEADER_SECONDS", 0.5)
    host, port = server.url.removeprefix("http://").split(":")
    whole = b"GET /progress HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    for begins in (b"", whole):
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(begins)
            if begins:
                assert is_answered(connection)
                time.sleep(0.8)  # between two requests nobody waits for a head
                connection.sendall(whole)
                assert is_answered(connection)
            began = time.monotonic()
            with pytest.raises(OSError):  # which one depends on the system
                for letter in whole:
                    connection.sendall(bytes([letter]))
                    time.sleep(0.1)
            assert time.monotonic() - began < 3
    ask = server.service.engines[0].ask

    def slow(*args: Any, **more: Any) -> Any:
        time.sleep(1.5)
        return ask(*args, **more)

    monkeypatch.setattr(server.service.engines[0], "ask", slow)
    assert server.ask(text="Mild MR.")["status"] == 200


def test_marks_of_many_readers_at_once_are_all_kept(server: Running) -> None:
    """SQLite takes one writer at a time; the others wait."""
    name = server.ask(text="Mild mitral regurgitation.", top=5)["answer"]
    done = []

    def mark(rank: int) -> None:
        fields = {"answer": name, "number": "0", "rank": str(rank), "relevant": "yes"}
        done.append(server.client.post("/mark", data=fields).status_code)

    threads = [threading.Thread(target=mark, args=(1 + n % 5,)) for n in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(done) == {303}
    assert len(server.service.marks.of(name, "")) == 5
