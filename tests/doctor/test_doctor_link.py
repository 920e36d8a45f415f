"""`edge link --check`, and what `edge doctor` says of the link's service."""

import dataclasses
import json
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from rigs.broker import USER, Broker, free_port, judging
from rigs.certificates import Authority
from rigs.daemon import daemon, socket_of
from rigs.processes import wait_until

from edge.cli import main
from edge.doctor import link
from edge.doctor.finding import Finding, Grade
from edge.doctor.link import check_link, check_link_service, judge_link_service
from edge.errors import EX_CONFIG, EX_FAULT
from edge.link.metrics import MetricsPart
from edge.link.settings import LinkSettings, MetricsSettings, MqttSettings

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Broker]:
    broker = Broker(tmp_path_factory.mktemp("broker"), authority)
    broker.start()
    yield broker
    broker.kill()


@pytest.fixture
def mqtt(broker: Broker, authority: Authority) -> MqttSettings:
    return MqttSettings(
        host="127.0.0.1",
        port=broker.port,
        ca_file=str(authority.file),
        user=USER,
        password_file=str(broker.password_file),
        node="door",
    )


def of(check: str, findings: Sequence[Finding], grade: Grade) -> list[str]:
    """The texts of the findings of a check with a grade, each with its advice."""
    return [f"{one.text} -> {one.advice}" for one in findings if one.check == check and one.grade is grade]


def checked(folder: Path, mqtt: MqttSettings | None = None, listen: str = "") -> list[Finding]:
    settings = LinkSettings(mqtt or MqttSettings(), MetricsSettings(listen))
    return list(check_link(settings, [folder / "no.sock"]))


# ---- the daemon


def test_without_a_daemon_it_says_how_to_start_one(tmp_path: Path) -> None:
    found = checked(tmp_path)
    assert of("edge", found, Grade.FAULT) == [
        "it is not running here -> start it with edge run, or sudo systemctl start edge"
    ]
    assert "nothing is switched on" in of("settings", found, Grade.WARNING)[0]
    assert of("mqtt", found, Grade.GOOD) == ["off ([mqtt] host) -> "]


def test_with_a_daemon_and_good_settings_all_is_well(
    tmp_path: Path, broker: Broker, mqtt: MqttSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "link.toml"
    lines = [f"{key} = {json.dumps(value)}" for key, value in dataclasses.asdict(mqtt).items()]
    port = free_port()
    file.write_text("\n".join(["[mqtt]", *lines, "[metrics]", f'listen = "127.0.0.1:{port}"']) + "\n")
    with daemon(tmp_path, "--speech", "log"):
        wait_until(socket_of(tmp_path).exists)
        code = main(["link", "--check", "--config", str(file), "--socket", str(socket_of(tmp_path))])
    told = capsys.readouterr().out
    assert code == 0, told
    words = " ".join(told.split())
    assert "answers at" in words
    assert f"lets it in as {USER}, encrypted" in words
    assert "it may write and read edge/door/..." in words
    assert f"port {port} of 127.0.0.1 is free; this machine alone can read them" in words
    assert "no faults, 1 warning" in words  # nothing is published yet


# ---- the broker


def test_a_refused_password(tmp_path: Path, mqtt: MqttSettings) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("not this one\n")
    found = checked(tmp_path, dataclasses.replace(mqtt, password_file=str(wrong)))
    (fault,) = of("mqtt", found, Grade.FAULT)
    assert "password" in fault
    assert "see user and password_file in [mqtt]" in fault


def test_a_password_file_that_is_missing(tmp_path: Path, mqtt: MqttSettings) -> None:
    found = checked(tmp_path, dataclasses.replace(mqtt, password_file=str(tmp_path / "none")))
    (fault,) = of("mqtt", found, Grade.FAULT)
    assert "password_file" in fault
    assert "No such file" in fault


def test_nobody_listens(tmp_path: Path, mqtt: MqttSettings) -> None:
    found = checked(tmp_path, dataclasses.replace(mqtt, port=free_port()))
    (fault,) = of("mqtt", found, Grade.FAULT)
    assert "nothing listens there -> is the broker running" in fault


def test_an_unknown_authority(tmp_path: Path, mqtt: MqttSettings) -> None:
    found = checked(tmp_path, dataclasses.replace(mqtt, ca_file=str(Authority(tmp_path, "other").file)))
    (fault,) = of("mqtt", found, Grade.FAULT)
    assert "certificate" in fault
    assert "ca_file" in fault


def test_an_expired_certificate(tmp_path: Path, authority: Authority, mqtt: MqttSettings) -> None:
    broker = Broker(tmp_path / "broker", authority)
    broker.certificate(authority.certificate("old", days=-1))
    broker.start()
    try:
        settings = dataclasses.replace(mqtt, port=broker.port, password_file=str(broker.password_file))
        (fault,) = of("mqtt", checked(tmp_path, settings), Grade.FAULT)
    finally:
        broker.kill()
    assert "its certificate has expired" in fault
    assert "clock says" in fault


def test_another_edge_has_the_node(tmp_path: Path, broker: Broker, mqtt: MqttSettings) -> None:
    with judging(broker) as judge:
        judge.publish("edge/door/state", b'{"id": "abcdef012345"}', retain=True)
        judge.publish("edge/door/availability", b"online", retain=True)
        found = checked(tmp_path, mqtt)
        judge.publish("edge/door/availability", b"", retain=True)
        judge.publish("edge/door/state", b"", retain=True)
    (fault,) = of("mqtt", found, Grade.FAULT)
    assert "another edge (abcdef012345) is online as 'door'" in fault
    assert "another node in [mqtt]" in fault


def test_what_is_not_there_for_home_assistant(tmp_path: Path, mqtt: MqttSettings) -> None:
    (warning,) = of("discovery", checked(tmp_path, mqtt), Grade.WARNING)
    assert "no description of this edge" in warning
    assert of("discovery", checked(tmp_path, dataclasses.replace(mqtt, discovery="")), Grade.GOOD)


# ---- the metrics


def test_a_port_that_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "ANSWER_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        (fault,) = of("metrics", checked(tmp_path, listen=f"127.0.0.1:{port}"), Grade.FAULT)
    assert "another program has this port" in fault


def test_a_port_that_the_link_itself_has(tmp_path: Path) -> None:
    part = MetricsPart("127.0.0.1:0")
    part.start(lambda _request: {})
    assert part.server
    try:
        found = checked(tmp_path, listen=f"127.0.0.1:{part.server.port}")
    finally:
        part.stop()
    assert of("metrics", found, Grade.FAULT) == []
    assert "the running link serves them at" in of("metrics", found, Grade.GOOD)[0]


def test_a_fault_is_an_exit_code_and_json_is_for_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "link.toml").write_text('[metrics]\nlisten = "192.0.2.1:9417"\n')
    command = ["link", "--check", "--config", str(tmp_path / "link.toml"), "--socket", str(tmp_path / "no.sock")]
    assert main([*command, "--json"]) == EX_FAULT
    found = json.loads(capsys.readouterr().out)
    assert [(one["check"], one["grade"]) for one in found] == [
        ("edge", "fault"),
        ("mqtt", "good"),
        ("metrics", "fault"),
        ("page", "good"),
    ]
    (tmp_path / "link.toml").write_text("[metrics]\nlisten = 1\n")
    assert main(command) == EX_CONFIG
    assert "[metrics] listen = 1 must be a text in quotes" in capsys.readouterr().err


# ---- the service

RUNNING = {"LoadState": "loaded", "ActiveState": "active", "UnitFileState": "enabled", "StatusText": "edge is reached"}


@pytest.mark.parametrize(
    ("told", "is_set_up", "grade", "words"),
    [
        (RUNNING, True, Grade.GOOD, "edge is reached"),
        (RUNNING | {"ActiveState": "inactive"}, True, Grade.WARNING, "set up, but not running"),
        (RUNNING | {"ActiveState": "inactive"}, False, Grade.GOOD, "off"),
        (RUNNING | {"ActiveState": "failed", "StatusText": "a fault"}, True, Grade.FAULT, "failed: a fault"),
        (RUNNING | {"ActiveState": "activating"}, True, Grade.WARNING, "activating"),
        (RUNNING | {"UnitFileState": "disabled"}, True, Grade.WARNING, "does not start at boot"),
        ({"LoadState": "not-found"}, True, Grade.WARNING, "is not installed"),
    ],
)
def test_the_service(told: dict[str, str], is_set_up: bool, grade: Grade, words: str) -> None:
    finding = list(judge_link_service(told, is_set_up=is_set_up))[-1]
    assert finding.grade is grade
    assert words in finding.text


def test_without_the_link_nothing_is_said_of_it(tmp_path: Path) -> None:
    assert list(judge_link_service({"LoadState": "not-found"}, is_set_up=False)) == []
    assert list(check_link_service(tmp_path / "link.toml")) == []
