from __future__ import annotations

import asyncio
import gc
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from starlette.requests import Request
from starlette.testclient import TestClient

from benchmarks.hostile_uploads import NAMES, draw_uploads, make_body, make_bomb, sound_pictures
from pellucid.data.pictures import PictureError
from pellucid.web.application import LocalPage
from tests.web.coroutines import run

PORT = 8000
URL = f"http://127.0.0.1:{PORT}"
MEGABYTE = 2**20


def serve(model, **options) -> TestClient:
    page = LocalPage(model, **{"max_file_bytes": MEGABYTE, **options})
    return TestClient(page.application(port=PORT), base_url=URL)


@pytest.fixture(scope="module")
def client(model) -> TestClient:
    return serve(model)


def send(client: TestClient, content: bytes, **options: str):
    kind, body = make_body(content, **options)
    return client.post("/explain", content=body, headers={"content-type": kind})


def test_explain_answers_a_picture(client, model, photo):
    response = send(client, photo, name="dog.png")
    assert response.status_code == 200
    assert response.json() == model.answer(photo, "dog.png")


@pytest.mark.parametrize("ending", sorted(sound_pictures()))
def test_explain_takes_every_format(client, ending):
    assert send(client, sound_pictures()[ending]).status_code == 200


def test_page_is_shown_and_kept_nowhere(client, model):
    response = client.get("/")
    assert response.status_code == 200
    assert response.text == model.page
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["content-type"] == "text/html; charset=utf-8"


@pytest.mark.parametrize("path", ["/", "/healthz", "/nothing", "/favicon.ico"])
def test_every_answer_has_the_strict_headers(client, path):
    headers = client.get(path).headers
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
    assert re.fullmatch(r"'sha256-[\w+/=]+'", policy["script-src"])
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize(
    ("content", "status", "message"),
    [
        (b"no picture", 415, "Send a PNG, JPEG"),
        (b"", 400, "the file is empty"),
        (make_bomb(), 413, "more than 50 megapixels are refused. Send a smaller"),
        (sound_pictures()["png"][:200], 422, "ends before the picture does"),
        (sound_pictures()["png"][:20], 422, "header is damaged|ends before"),
        (bytes(MEGABYTE + 1), 413, "at most 1 MB"),
    ],
    ids=["text", "empty", "bomb", "cut", "stump", "too long"],
)
def test_explain_what_cannot_be_read_is_refused_in_a_sentence(client, content, status, message):
    response = send(client, content, name="x.png")
    assert response.status_code == status
    assert list(response.json()) == ["error"]
    assert re.search(message, response.json()["error"])
    assert response.json()["error"].endswith(".")


def test_explain_several_files_are_refused(client, photo):
    files = [("image", ("a.png", photo)), ("image", ("b.png", photo))]
    response = client.post("/explain", files=files)
    assert response.status_code == 400
    assert "more than one part" in response.json()["error"]


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_explain_name_is_shown_and_opens_nothing(client, photo, name, monkeypatch):
    opened = []
    monkeypatch.setattr("pathlib.Path.open", lambda path, *_: opened.append(path))
    response = send(client, photo, name=name)
    assert response.status_code == 200
    assert response.json()["name"].isprintable()
    assert opened == []


def test_explain_error_of_work_that_nobody_waits_for_is_not_printed(stand_in, photo):
    begun, released = threading.Event(), threading.Event()

    def fail(content: bytes, name: str):
        begun.set()
        released.wait(20)
        raise PictureError(name, "truncated", "it is cut off")

    page = LocalPage(stand_in(fail), max_file_bytes=MEGABYTE)
    kind, body = make_body(photo)
    complaints = []

    async def ask_and_leave():
        asyncio.get_running_loop().set_exception_handler(lambda _, said: complaints.append(said))
        told = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive():
            if told:
                return told.pop()
            await asyncio.to_thread(begun.wait, 20)
            return {"type": "http.disconnect"}

        headers = [(b"content-type", kind.encode()), (b"content-length", b"%d" % len(body))]
        request = Request({"type": "http", "method": "POST", "headers": headers}, receive)
        answer = await page.explain(request)
        released.set()
        await asyncio.to_thread(page._worker.shutdown)
        await asyncio.sleep(0)
        gc.collect()
        return answer.status_code

    assert run(ask_and_leave()) == 400
    assert complaints == []


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1", "127.0.0.1:80"])
@pytest.mark.parametrize("path", ["/", "/explain", "/nothing"])
def test_request_for_another_host_is_refused(client, host, path):
    response = client.get(path, headers={"host": host})
    assert response.status_code == 421
    assert response.json()["error"].startswith("this page is only served as http://127.0.0.1:8000")


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost:8000", "LOCALHOST:8000"])
def test_request_for_this_host_is_answered(client, host):
    assert client.get("/", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9000"},
        {"origin": "http://127.0.0.1:8000.evil.example"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_explain_from_another_site_is_refused(client, photo, headers):
    kind, body = make_body(photo)
    response = client.post("/explain", content=body, headers={"content-type": kind, **headers})
    assert response.status_code == 403


@pytest.mark.parametrize(
    "headers",
    [{"origin": URL, "sec-fetch-site": "same-origin"}, {"origin": "http://localhost:8000"}],
)
def test_explain_from_the_page_itself_is_answered(client, photo, headers):
    kind, body = make_body(photo)
    response = client.post("/explain", content=body, headers={"content-type": kind, **headers})
    assert response.status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/explain", 405),
        ("POST", "/", 405),
        ("OPTIONS", "/explain", 405),
        ("DELETE", "/explain", 405),
        ("GET", "/explain/", 404),
        ("GET", "/../../etc/passwd", 404),
        ("GET", "/%2e%2e/%2e%2e/etc/passwd", 404),
        ("GET", "/static/x.js", 404),
    ],
)
def test_other_paths_and_methods_are_refused_in_a_sentence(client, method, path, status):
    response = client.request(method, path)
    assert response.status_code == status
    assert list(response.json()) == ["error"]
    if status == 405:
        assert response.headers["allow"]


def test_healthz_says_that_nothing_is_left_over(client, model, photo):
    send(client, photo)
    assert client.get("/healthz").json() == {"status": "ok", "run": model.name, "requests": 0}


def test_explain_bug_is_told_without_its_trace(stand_in, capsys):
    def fail(content, name):
        raise RuntimeError("secret")

    response = send(serve(stand_in(fail)), b"x")
    assert response.status_code == 500
    assert "secret" not in response.text
    assert "RuntimeError: secret" in capsys.readouterr().err


def test_explain_beyond_what_can_wait_is_put_off(stand_in):
    begun, go_on = threading.Event(), threading.Event()

    def wait(content, name):
        begun.set()
        go_on.wait(20)
        return {"name": name}

    client = serve(stand_in(wait), max_requests=1)
    with client, ThreadPoolExecutor(1) as pool:
        first = pool.submit(send, client, b"x")
        assert begun.wait(20)
        second = send(client, b"x")
        go_on.set()
        assert first.result().status_code == 200
    assert second.status_code == 503
    assert second.headers["retry-after"] == "1"


def test_explain_many_at_a_time_are_all_answered(model, photo):
    expected = model.answer(photo, "photo.png")
    with serve(model) as client, ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: send(client, photo), range(50)))
    assert {answer.status_code for answer in answers} == {200}
    assert all(answer.json() == expected for answer in answers)


def test_explain_150_hostile_uploads_get_a_right_status(client, capsys):
    wrong = []
    for upload in draw_uploads(seed=0, count=150):
        headers = {"content-type": upload.content_type} if upload.content_type else {}
        response = client.post("/explain", content=upload.body, headers=headers)
        if response.status_code not in upload.expected:
            wrong.append((upload.kind, response.status_code, response.text[:100]))
        elif response.status_code != 200:
            assert list(response.json()) == ["error"]
    assert wrong == []
    assert capsys.readouterr().err == ""
