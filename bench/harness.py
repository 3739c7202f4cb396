"""What the gateway's benchmarks share: building and starting the parts, loading them, reading what they used.

Loopback only. The gateway gets core 0, the fake upstream and the load generator core 1, where there are two. CPU time
is user + system time of a process and its children, from /proc; it survives a busy machine better than requests per
second do.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).parent
BIN, OUT = HERE / "bin", HERE / "out"
BURST, PACED, PORT, NGINX_PORT = 19001, 19002, 18080, 18081
GAP_US = 5000
CLIENT_KEY, UPSTREAM_KEY = "sk-client-0123456789", "sk-upstream-0123456789"
BODIES = {
    "c": "body.json",
    "s": "body_stream.json",
    "p": "body_stream.json",
    "b": "body_8k.json",
    "k": "body_keyed.json",
}


def build() -> None:
    """Compile the fake upstream and the load generator into bench/bin."""
    BIN.mkdir(exist_ok=True)
    for name in ("upstream", "loadgen"):
        source, binary = HERE / f"{name}.c", BIN / name
        if binary.exists() and binary.stat().st_mtime > source.stat().st_mtime:
            continue
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            sys.exit("bench: no C compiler found; install gcc (apt-get install gcc)")
        subprocess.run([compiler, "-O2", "-w", "-o", str(binary), str(source)], check=True)


def need_nginx() -> str:
    """Where nginx is; says how to get it when it is not there."""
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if nginx is None:
        sys.exit("bench: no nginx found, and every figure is a ratio to it; install it (apt-get install nginx-light)")
    return nginx


def on_core(core: int, command: list[str]) -> list[str]:
    """`command`, bound to a core where there are at least two."""
    if (os.cpu_count() or 1) < 2 or shutil.which("taskset") is None:
        return command
    return ["taskset", "-c", str(core), *command]


def environment() -> dict[str, str]:
    """Ours, with compiled modules kept in bench/out: only the first start compiles, as for a user."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPYCACHEPREFIX": str(OUT / "pycache")}


@contextlib.contextmanager
def process(core: int, command: list[str], env: dict[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a group of its own, ended with the block; its output is shown when it ends by itself."""
    with tempfile.TemporaryFile() as output:
        child = subprocess.Popen(
            on_core(core, command),
            env={**environment(), **(env or {})},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield child
        finally:
            if child.poll() is not None:
                output.seek(0)
                print(f"bench: {command[0]} ended by itself:\n{output.read().decode(errors='replace')[-2000:]}")
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGTERM)
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()


@contextlib.contextmanager
def upstream() -> Iterator[None]:
    """The fake OpenAI upstream: whole streams in one write on BURST, an event each 5 ms on PACED."""
    with process(1, [str(BIN / "upstream"), str(BURST), str(PACED), str(GAP_US)]) as child:
        wait_for(f"http://127.0.0.1:{BURST}/stats", child)
        yield


@contextlib.contextmanager
def nginx(port: int, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """nginx as a plain proxy to the upstream at `port`: the yardstick."""
    text = (HERE / "nginx.conf").read_text()
    words = {
        "UPSTREAM": str(port),
        "PORT": str(NGINX_PORT),
        "BUFFERING": "off" if port == PACED else "on",
        "DIR": str(folder),
    }
    for word, value in words.items():
        text = text.replace(word, value)
    config = folder / "nginx.conf"
    config.write_text(text)
    with process(0, [need_nginx(), "-p", str(folder), "-e", str(folder / "nginx.err"), "-c", str(config)]) as child:
        wait_for(f"http://127.0.0.1:{NGINX_PORT}/stats", child)
        yield child


@contextlib.contextmanager
def gateway(config: str, folder: Path, port: int = PORT) -> Iterator[tuple[subprocess.Popen[bytes], float]]:
    """`smallfirst serve` with `config`; (process, seconds until it was ready)."""
    path = folder / "bench.yaml"
    path.write_text(config)
    env = {
        "SMALLFIRST_HOME": str(folder / "home"),
        "BENCH_CLIENT_KEY": CLIENT_KEY,
        "BENCH_UPSTREAM_KEY": UPSTREAM_KEY,
        "BENCH_MASTER_KEY": "5f" * 32,
    }
    command = [sys.executable, "-m", "smallfirst.cli.main", "serve", "--config", str(path)]
    began = time.perf_counter()
    with process(0, [*command, "--listen", f"127.0.0.1:{port}"], env) as child:
        wait_for(f"http://127.0.0.1:{port}/ready", child)
        yield child, time.perf_counter() - began


def wait_for(url: str, child: subprocess.Popen[bytes], seconds: float = 60.0) -> None:
    """Until `url` answers 200."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and child.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5) as answer:
            if answer.status == 200:
                return
        time.sleep(0.005)
    raise RuntimeError(f"nothing answers at {url}")


def stats() -> dict[str, int]:
    """What the upstream has counted: `all` requests, and `good` ones (rewritten model and key)."""
    with urllib.request.urlopen(f"http://127.0.0.1:{BURST}/stats", timeout=10) as answer:
        counted: dict[str, int] = json.load(answer)
        return counted


def load(port: int, case: str, seconds: float) -> dict[str, float]:
    """Drive what listens on `port`; the load generator's figures."""
    body = HERE / BODIES[case[0]]
    command = [str(BIN / "loadgen"), str(port), case[1:], str(seconds), str(body), "/v1/chat/completions", "0"]
    ran = subprocess.run(on_core(1, command), capture_output=True, text=True, timeout=seconds + 60, check=False)
    if not ran.stdout:
        raise RuntimeError(f"loadgen said nothing (status {ran.returncode}): {ran.stderr[:300]}")
    if ran.stderr:
        print(f"  {case}: {ran.stderr.strip()[:400]}")
    figures: dict[str, float] = json.loads(ran.stdout)
    return figures


def tree(pid: int) -> list[int]:
    """A process and its descendants."""
    found = [pid]
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += [k for child in (task / "children").read_text().split() for k in tree(int(child))]
    return found


def cpu_s(pid: int) -> float:
    """Seconds on a core of all threads of a process and its descendants (schedstat: nanoseconds, not clock ticks)."""
    spent = 0
    for one in tree(pid):
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{one}/task").iterdir():
                spent += int((task / "schedstat").read_text().split()[0])
    return spent / 1e9


def pss_mb(pid: int) -> float:
    """Proportional memory of one process, without its children."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def record(name: str, *, seed: int | None = None, **results: object) -> Path:
    """Write results to bench/out with what is needed to repeat them."""
    git = shutil.which("git") or "git"
    commit = subprocess.run([git, "-C", str(HERE), "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    changed = subprocess.run(
        [git, "-C", str(HERE), "status", "--porcelain"], capture_output=True, text=True, check=False
    )
    document = {
        "bench": name,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit.stdout.strip(),
        "uncommitted_changes": bool(changed.stdout.strip()),
        "command": " ".join([str(Path(sys.argv[0]).resolve().relative_to(HERE.parent)), *sys.argv[1:]]),
        "seed": seed,  # None: nothing is drawn at random
        "machine": {"cores": os.cpu_count(), "cpu": cpu_name(), "system": platform.platform()},
        "python": platform.python_version(),
        "load_average": os.getloadavg(),
        **results,
    }
    OUT.mkdir(exist_ok=True)
    path = OUT / f"{name}.json"
    path.write_text(json.dumps(document, indent=1) + "\n")
    return path


def cpu_name() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()
