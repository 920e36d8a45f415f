"""A real Prometheus and its promtool: what the link says, and the files for them."""

import contextlib
import json
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from rigs.broker import free_port
from rigs.daemon import daemon
from rigs.debian import program
from rigs.link import ask, link, settings
from rigs.processes import wait_until

pytestmark = pytest.mark.integration

_SETTINGS = """
global: {{scrape_interval: 1s}}
scrape_configs:
  - job_name: edge
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


@contextmanager
def prometheus(folder: Path, metrics: int) -> Iterator[int]:
    """A Prometheus that scrapes a port of the loopback each second; yields its own port."""
    port = free_port()
    (folder / "prometheus.yml").write_text(_SETTINGS.format(port=metrics))
    command = ["setpriv", "--pdeathsig", "KILL", *program("prometheus", "prometheus")]
    command += [f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'tsdb'}"]
    command += [f"--web.listen-address=127.0.0.1:{port}"]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder)
    try:
        yield port
    finally:
        process.kill()
        process.wait()


def asked(port: int, query: str) -> list[dict[str, Any]]:
    """The result of a query; none while it has not begun."""
    url = f"http://127.0.0.1:{port}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
    with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=30) as answer:
        found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        return found
    return []


def value(port: int, query: str) -> float:
    """The only value of a query; NaN while there is none."""
    found = asked(port, query)
    return float(found[0]["value"][1]) if len(found) == 1 else float("nan")


def test_it_is_scraped_and_promtool_has_nothing_to_say(tmp_path: Path) -> None:
    metrics = free_port()
    with daemon(tmp_path, "--speech", "log"), link(tmp_path, settings(tmp_path, metrics=metrics)):
        with prometheus(tmp_path, metrics) as port:
            wait_until(lambda: value(port, 'up{job="edge"}') == 1)
            wait_until(lambda: value(port, "edge_frames_total") > 20)
            wait_until(lambda: value(port, "edge_inference_duration_seconds_count") > 10)
            wait_until(
                lambda: value(port, "histogram_quantile(0.9, rate(edge_inference_duration_seconds_bucket[1m]))") > 0
            )
            wait_until(lambda: value(port, "sum(edge_announcements_total)") >= 1)
            assert value(port, "edge_camera_up") == 1
            assert value(port, "edge_paused") == 0
            ask(tmp_path, {"command": "pause"})
            wait_until(lambda: value(port, "edge_paused") == 1)
            labels = {name for one in asked(port, '{job="edge"}') for name in one["metric"]}
        with urllib.request.urlopen(f"http://127.0.0.1:{metrics}/metrics", timeout=30) as answer:
            text = answer.read()
    # what was seen is nobody's business
    assert labels <= {
        *("__name__", "job", "instance", "le", "model", "engine", "precision", "form", "heard", "reason", "problem"),
        *("version",),
    }
    done = subprocess.run(
        [*program("prometheus", "promtool"), "check", "metrics"],
        input=text,
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
