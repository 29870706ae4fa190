"""Real clients that ask for an upgrade, and nginx in front, through which nobody gets another's."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from bge_micro import SentenceTransformer
from bge_micro.server.access import Admission

from .servers import PATIENCE, Running, running
from .test_framing import BODY, HEAD, INNER, UPGRADES
from .test_hostile_clients import wait_until

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/opt/homebrew/bin")

JAVA = """
import java.net.URI;
import java.net.http.*;
public class Ask {
    public static void main(String[] arguments) throws Exception {
        HttpClient client = HttpClient.newHttpClient();
        for (int i = 0; i < 3; i++) {
            HttpRequest request = HttpRequest.newBuilder(URI.create(arguments[0] + "/embed"))
                .header("Content-Type", "application/json")
                .POST(HttpRequest.BodyPublishers.ofString("{\\"inputs\\":\\"the cat\\"}")).build();
            System.out.println(client.send(request, HttpResponse.BodyHandlers.ofString()).body());
        }
    }
}
"""


def run(*argv: str | Path) -> str:
    result = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=2 * PATIENCE)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.skipif(not shutil.which("java"), reason="java (a JDK) is missing")
def test_java(server: Running, client: httpx.Client, tmp_path: Path) -> None:
    (tmp_path / "Ask.java").write_text(JAVA)
    lines = run("java", tmp_path / "Ask.java", server.url).splitlines()
    assert lines == [client.post("/embed", json={"inputs": "the cat"}).text] * 3


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is missing")
@pytest.mark.parametrize("option", ["--http2", "--http1.1", "--http1.0"])
def test_curl(server: Running, client: httpx.Client, tmp_path: Path, option: str) -> None:
    body = tmp_path / "body"
    body.write_bytes(BODY)
    large = tmp_path / "large"  # which curl announces by Expect: 100-continue
    large.write_text(
        json.dumps({"inputs": ["the cat"] * 2000 + ["x" * 1_100_000], "truncate": True})
    )
    expected = client.post("/embed", json={"inputs": "the cat"}).json()[0]
    for file, extra in ((body, []), (body, ["-H", "Transfer-Encoding: chunked"]), (large, [])):
        if extra and option == "--http1.0":
            continue
        header = ["-H", "Content-Type: application/json"]
        url = f"{server.url}/embed"
        out = run("curl", "-sS", option, *header, *extra, "--data-binary", f"@{file}", url, url)
        answers = out.replace("]][[", "]]\n[[").splitlines()
        assert [json.loads(answer)[0] for answer in answers] == [expected] * 2


CONFIGURATION = """
{user} daemon off; pid {folder}/pid; error_log stderr crit; worker_processes 1;
events {{ worker_connections 64; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  upstream server {{ server 127.0.0.1:{upstream}; keepalive 4; }}
  map $http_upgrade $connection_upgrade {{ default upgrade; "" ""; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://server; proxy_http_version 1.1; proxy_request_buffering {buffering};
      proxy_set_header Host $host;
      proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade;
    }}
    location = /metrics {{ return 403; }}
  }}
}}
"""


@contextmanager
def nginx(folder: Path, server: Running, buffering: str) -> Iterator[int]:
    assert NGINX
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    upstream = server.url.rpartition(":")[2]
    text = CONFIGURATION.format(
        # Its worker has to be able to write to the folder.
        user="user root;" if os.geteuid() == 0 else "",
        folder=folder,
        upstream=upstream,
        port=port,
        buffering=buffering,
    )
    (folder / "nginx.conf").write_text(text)
    with subprocess.Popen([NGINX, "-p", folder, "-c", folder / "nginx.conf"]) as process:
        try:
            wait_until(lambda: listens(port))
            yield port
        finally:
            process.terminate()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def attacks() -> Iterator[bytes]:
    """Requests with a request in the body, whole or as a start that would take the next one in."""
    inner = HEAD + b"Content-Length: 22\r\n\r\n" + b'{"inputs":"attackers"}'
    swallow = b"POST /embed HTTP/1.1\r\nHost: a\r\nX-Swallow: "
    # Large enough for nginx to send it apart from the head, and nothing where a request may begin.
    later = b"\r\n" * 20_000
    for upgrade in [*UPGRADES, b""]:
        for body in (later + inner, inner + inner, later + INNER, swallow, later + swallow):
            yield HEAD + upgrade + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
            chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
            yield HEAD + upgrade + b"Transfer-Encoding: chunked\r\n\r\n" + chunks
            yield (
                HEAD
                + upgrade
                + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n%b"
                % (
                    len(body),
                    body,
                )
            )


@pytest.mark.skipif(NGINX is None, reason="nginx is missing")
@pytest.mark.parametrize("rounds", [90, pytest.param(1000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("buffering", ["on", "off"])
def test_behind_nginx_nobody_gets_what_is_anothers(
    model: SentenceTransformer, tmp_path: Path, buffering: str, rounds: int
) -> None:
    texts = [f"the victim's text {number}" for number in range(10)]
    expected = model.encode(texts, normalize_embeddings=True).tolist()
    with (
        running(model, admission=Admission("k")) as server,
        nginx(tmp_path, server, buffering) as port,
        httpx.Client(
            base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE, trust_env=False
        ) as victim,
    ):
        victim.headers["Authorization"] = "Bearer k"
        for number, attack in zip(range(rounds), itertools.cycle(attacks()), strict=False):
            with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as attacker:
                if number % 2:
                    attacker.sendall(attack)
                else:
                    head, _, body = attack.partition(b"\r\n\r\n")
                    attacker.sendall(head + b"\r\n\r\n")
                    time.sleep(0.002)
                    attacker.sendall(body)
                answer = victim.post("/embed", json={"inputs": texts[number % 10]})
                assert answer.status_code == 200, answer.text
                assert answer.json()[0] == pytest.approx(expected[number % 10], abs=1e-6)
                attacker.settimeout(1)
                try:
                    seen = attacker.recv(1 << 16)
                except TimeoutError:
                    seen = b""
                # Without the key there is nothing but refusals, one for each request.
                assert b"HTTP/1.1 200" not in seen
                assert b"bge_micro_" not in seen
        print(f"{rounds} rounds without a mix-up, proxy_request_buffering {buffering}")
