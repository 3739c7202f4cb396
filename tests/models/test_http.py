"""The client against real loopback sockets: framing, reuse, limits, time-outs, back-pressure."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import subprocess

import pytest

from smallfirst.models import connection
from smallfirst.models.connection import HttpFault, find_header
from smallfirst.models.http import HttpClient
from smallfirst.models.loopback import ScriptedUpstream, Wire


def target(client, upstream, key="sk-test"):
    return client.target(f"{upstream.url}/chat/completions", key)


def ask(script, *, times=1, timeout_s=30.0):
    """Send `{}` so many times over one client; the answers, and what the upstream saw."""

    async def main(upstream):
        client = HttpClient()
        try:
            return [await client.post(target(client, upstream), b"{}", timeout_s) for _ in range(times)]
        finally:
            await client.close()

    with ScriptedUpstream(script) as upstream:
        answers = asyncio.run(main(upstream))
    return answers, upstream


def fault_of(script, *, timeout_s=30.0):
    with pytest.raises(HttpFault) as caught:
        ask(script, timeout_s=timeout_s)
    assert "\n" not in str(caught.value)
    return caught.value.kind


def raw_answer(data):
    return lambda request: Wire(steps=(data, "cut"), framing="raw")


def test_the_request_as_the_upstream_sees_it() -> None:
    _, upstream = ask(lambda request: Wire(steps=(b"ok",)))
    request = upstream.requests[0]
    assert (request.method, request.path, request.body) == ("POST", "/v1/chat/completions", b"{}")
    assert request.headers["authorization"] == "Bearer sk-test"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["host"] == upstream.url.split("/")[2]


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_every_framing_of_a_body(framing) -> None:
    steps = (b"one ", b"two ", b"x" * 300_000)
    answers, _ = ask(lambda request: Wire(steps=steps, framing=framing), times=2)
    assert [answer.body for answer in answers] == [b"".join(steps)] * 2


def test_a_connection_is_used_again_and_one_that_closes_is_not() -> None:
    assert ask(lambda request: Wire(steps=(b"ok",)), times=3)[1].connections == 1
    assert ask(lambda request: Wire(steps=(b"ok",), framing="chunked"), times=3)[1].connections == 1
    assert ask(lambda request: Wire(steps=(b"ok",), framing="close"), times=3)[1].connections == 3


def test_headers_are_kept_for_errors() -> None:
    wire = Wire(steps=(b"slow",), status=429, headers=(("Retry-After", "3"),))
    answers, _ = ask(lambda request: wire)
    assert answers[0].status == 429
    assert find_header(answers[0].headers, b"retry-after") == b"3"


def test_informational_answers_are_passed_over() -> None:
    data = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    answers, _ = ask(raw_answer(data))
    assert (answers[0].status, answers[0].body) == (200, b"ok")


def test_bytes_after_the_answer_close_the_connection_and_are_not_the_next_answer() -> None:
    one = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    forged = one.replace(b"ok", b"no")
    answers, upstream = ask(lambda request: Wire(steps=(one + forged,), framing="raw"), times=2)
    assert [answer.body for answer in answers] == [b"ok", b"ok"]
    assert upstream.connections == 2


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", "closed"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "cut"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", "cut"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n", "cut"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "malformed"),
        (b"SSH-2.0-OpenSSH_9.9\r\n", "malformed"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * (connection.MAX_HEAD + 1), "too_large"),
    ],
)
def test_faults_on_the_wire(data, kind) -> None:
    assert fault_of(raw_answer(data)) == kind


def test_an_answer_without_end_is_too_large(monkeypatch) -> None:
    monkeypatch.setattr(connection, "MAX_BODY", 100_000)
    assert fault_of(lambda request: Wire(steps=(b"x" * 400_000,))) == "too_large"


def test_nobody_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    async def main():
        client = HttpClient()
        await client.post(client.target(f"http://127.0.0.1:{port}/v1", None), b"{}", 5.0)

    with pytest.raises(HttpFault) as caught:
        asyncio.run(main())
    assert caught.value.kind == "connect"


@pytest.mark.parametrize("steps", [("stall",), (b"part", "stall")])
def test_a_stall_times_out_and_hangs_up(steps) -> None:
    def script(request):
        return Wire(steps=steps)

    async def main(upstream):
        client = HttpClient()
        with pytest.raises(HttpFault) as caught:
            await client.post(target(client, upstream), b"{}", 0.05)
        assert caught.value.kind == "timeout"
        await asyncio.to_thread(upstream.gone.acquire)
        await client.close()

    with ScriptedUpstream(script) as upstream:
        asyncio.run(main(upstream))


def test_a_kept_alive_connection_that_died_is_replaced_once() -> None:
    calls = []

    def script(request):
        calls.append(request.connection)
        good = Wire(steps=(b"ok",))
        return Wire(steps=("cut",), framing="raw") if len(calls) == 2 else good

    answers, upstream = ask(script, times=2)
    assert [answer.body for answer in answers] == [b"ok", b"ok"]
    assert calls == [0, 0, 1]
    assert upstream.connections == 2


def test_an_answer_that_was_cut_is_not_asked_for_again() -> None:
    calls = []

    def script(request):
        calls.append(request)
        return Wire(steps=(b"half", "cut")) if len(calls) == 2 else Wire(steps=(b"ok",))

    with pytest.raises(HttpFault):
        ask(script, times=2)
    assert len(calls) == 2


def test_cancelling_closes_the_connection() -> None:
    async def main(upstream, arrived):
        client = HttpClient()
        task = asyncio.create_task(client.post(target(client, upstream), b"{}", 30.0))
        await arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(upstream.gone.acquire)
        await client.close()

    async def outer():
        loop, arrived = asyncio.get_running_loop(), asyncio.Event()

        def script(request):
            loop.call_soon_threadsafe(arrived.set)
            return Wire(steps=("stall",))

        with ScriptedUpstream(script) as upstream:
            await main(upstream, arrived)

    asyncio.run(outer())


def test_close_ends_what_is_in_flight() -> None:
    async def main():
        loop, arrived = asyncio.get_running_loop(), asyncio.Event()

        def script(request):
            loop.call_soon_threadsafe(arrived.set)
            return Wire(steps=("stall",))

        with ScriptedUpstream(script) as upstream:
            client = HttpClient()
            task = asyncio.create_task(client.post(target(client, upstream), b"{}", 30.0))
            await arrived.wait()
            await client.close()
            with pytest.raises(HttpFault):
                await task
            with pytest.raises(HttpFault):
                await client.post(target(client, upstream), b"{}", 30.0)

    asyncio.run(main())


def test_a_slow_reader_stops_the_upstream() -> None:
    size, count = 64 * 1024, 400  # 25 MB: far more than the socket buffers hold
    written = []

    def script(request):
        return Wire(steps=Counting([b"z" * size] * count, written), framing="chunked")

    async def main(upstream):
        client = HttpClient()
        body = await client.open(target(client, upstream), b"{}", 30.0)
        got = len(await body.read())
        held = 0
        while held != len(written):  # until the upstream can write no more
            held = len(written)
            await asyncio.sleep(0.1)
        assert held < count
        while data := await body.read():
            got += len(data)
        await client.close()
        return got

    with ScriptedUpstream(script) as upstream:
        assert asyncio.run(main(upstream)) == size * count


class Counting(tuple):
    """Steps that note when each is taken."""

    def __new__(cls, steps, taken):
        made = super().__new__(cls, steps)
        made.taken = taken
        return made

    def __iter__(self):
        for step in super().__iter__():
            self.taken.append(1)
            yield step


@pytest.mark.parametrize(
    ("url", "key"),
    [
        ("ftp://host/v1", None),
        ("http:///v1", None),
        ("http://host/v1\r\nX: y", None),
        ("http://host/v1", "sk\r\nX-Evil: 1"),
        ("http://host/v1", "schlüssel"),
    ],
)
def test_what_can_not_be_sent(url, key) -> None:
    client = HttpClient()
    with pytest.raises(ValueError, match="url") as caught:
        client.target(url, key)
    assert key is None or key not in str(caught.value)


def test_a_key_with_a_line_end_from_a_file_still_works() -> None:
    assert b"Bearer sk-x\r\n" in HttpClient().target("http://host/v1", "sk-x\n").head


def test_default_ports_are_not_in_the_host_header_and_queries_are_kept() -> None:
    assert b"Host: host\r\n" in HttpClient().target("https://host/v1", None).head
    assert b"Host: [::1]:8000\r\n" in HttpClient().target("http://[::1]:8000/v1", None).head
    assert HttpClient().target("https://host/v1?api-version=2", None).head.startswith(b"POST /v1?api-version=2 ")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for `localhost` that signs itself: (file, key file)."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs the openssl command, to make a certificate")
    folder = tmp_path_factory.mktemp("tls")
    files = folder / "cert.pem", folder / "key.pem"
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost", "-out", str(files[0]), "-keyout", str(files[1])]
    subprocess.run(command, check=True, capture_output=True)
    return files


@pytest.mark.parametrize(("trusted", "host"), [(True, "localhost"), (True, "127.0.0.1"), (False, "localhost")])
def test_tls_and_only_for_a_trusted_certificate_of_that_host(certificate, trusted, host) -> None:
    served = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    served.load_cert_chain(*certificate)
    context = ssl.create_default_context(cafile=certificate[0]) if trusted else None

    async def main(upstream):
        client = HttpClient(context)
        port = upstream.url.split(":")[2].split("/")[0]
        endpoint = client.target(f"https://{host}:{port}/v1/chat/completions", "sk-test")
        try:
            return [(await client.post(endpoint, b"{}", 30.0)).body for _ in range(2)]
        finally:
            await client.close()

    with ScriptedUpstream(lambda request: Wire(steps=(b"ok",)), tls=served) as upstream:
        if trusted and host == "localhost":
            assert asyncio.run(main(upstream)) == [b"ok", b"ok"]
            assert upstream.connections == 1
            return
        with pytest.raises(HttpFault, match="certificate not accepted") as caught:
            asyncio.run(main(upstream))
    assert caught.value.kind == "connect"
    assert upstream.requests == []


def test_certificates_are_checked_by_default() -> None:
    context = HttpClient()._context()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
