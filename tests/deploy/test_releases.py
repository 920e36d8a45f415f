"""What uses a release, and what puts it back: files and links below a folder, systemd by a double.

tests/deploy/test_deploy.py does the same with a real systemd in a booted machine.
"""

import dataclasses
import errno
import fcntl
import json
import stat
import subprocess
from pathlib import Path

import edge_releases
import pytest
from edge_releases import Change, File, Machine, ReleaseError, Releases, diff_of, faults_of

SETTINGS = "/etc/edge/edge.toml"
OFFERED = '[camera]\n# source = "auto"\n'


class OneMachine(Machine):
    """A machine whose service runs or not by what the current release's unit says."""

    systemd = 252

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.starts: list[str] = []
        self.link_starts: list[str] = []
        """What systemd was asked about the link."""
        self.checked: list[str] = []
        self.refuse_settings = self.refuse_link = ""
        self.unknown: dict[str, str] = {}
        """A text that a release does not accept in its settings."""

    def read(self, path: str) -> File:
        return dataclasses.replace(super().read(path), group="root")

    def own(self, place: Path, group: str) -> None:
        """Nothing: whoever runs the tests owns it."""

    def _unit(self) -> str:
        return self.read("/etc/systemd/system/edge.service").text or ""

    def run(self, *command: str, timeout_s: float = 300.0) -> subprocess.CompletedProcess[str]:
        code, out, err = 0, "", ""
        if command == ("systemctl", "--version"):
            out = f"systemd {self.systemd} ({self.systemd}.1)\n"
        elif command[0] == "systemctl" and command[-1] == "edge-link.service":
            self.link_starts.append(" ".join(command[1:-1]))
        elif command[:2] == ("systemctl", "start"):
            self.starts.append(self._unit())
        elif command[0] == "journalctl":
            out = "I'm ready.\nRuntimeError: boom\n"
        elif "config" in command:
            self.checked.append(self.read(command[-1]).text or "")
            told = self.refuse_link if "link" in command[-1] else self.refuse_settings
            for release, text in self.unknown.items():
                if f"/releases/{release}/" in command[0] and text in self.checked[-1]:
                    told = f"unknown {text}"
            code, err = (1, f"edge: {command[-1]}: {told}\n") if told else (0, "")
        return subprocess.CompletedProcess(command, code, out, err)

    def show(self, unit: str = "edge.service") -> dict[str, str]:
        if unit == "edge-link.service":
            return {"ActiveState": "active" if self.link_starts else "inactive"}
        runs = bool(self.starts) and "crashes" not in self._unit()
        state = "active" if runs else "activating" if self.starts else "inactive"
        return {"ActiveState": state, "NRestarts": "0" if runs else "2", "StatusText": "", "Result": "exit-code",
                "ExecMainStatus": "70", "UnitFileState": "enabled"}  # fmt: skip


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge_releases, "SETTLE_S", 0.0)
    monkeypatch.setattr(edge_releases, "_POLL_S", 0.0)


@pytest.fixture
def machine(tmp_path: Path) -> OneMachine:
    return OneMachine(tmp_path)


def release(machine: Machine, name: str, unit: str = "runs", *, link: bool = False) -> str:
    folder = machine.place(f"/opt/edge/releases/{name}")
    (folder / "share/edge").mkdir(parents=True)
    (folder / "share/edge/edge.service").write_text(f"# {name} {unit}\n")
    (folder / "share/edge/newer-systemd.conf").write_text("# newer\n")
    if link:
        (folder / "share/edge/edge-link.service").write_text(f"# link {name}\n")
        (folder / "share/edge/features").write_text("link\nopenvino\n")
    (folder / "complete").touch()
    return name


def use(
    machine: Machine,
    name: str,
    settings: str | None = OFFERED,
    drop_ins: dict[str, str | None] | None = None,
    *,
    link: str | None = None,
    ports: list[int] | None = None,
) -> None:
    releases = Releases(machine)
    plan = releases.plan(name, settings, drop_ins or {}, link, ports)
    releases.check(plan)
    releases.use(plan, 5)
    releases.prune()


def files(machine: Machine) -> dict[str, str]:
    """Every file and link but the releases themselves."""
    return {
        str(path.relative_to(machine.root)): str(path.readlink()) if path.is_symlink() else path.read_text()
        for path in sorted(machine.root.rglob("*"))
        if (path.is_symlink() or path.is_file()) and "releases" not in path.relative_to(machine.root).parts[:3]
    }


def test_the_first_release_is_put_in_place_and_then_nothing_is_to_be_changed(machine: OneMachine) -> None:
    use(machine, release(machine, "1"), drop_ins={"stream": "[Service]\n", "reboot": None})
    assert files(machine) == {
        "etc/edge/edge.toml": OFFERED,
        "etc/systemd/system/edge.service": "# 1 runs\n",
        "etc/systemd/system/edge.service.d/stream.conf": "[Service]\n",
        "opt/edge/current": "releases/1",
        "opt/edge/offered.toml": OFFERED,
        "usr/local/bin/edge": "/opt/edge/current/bin/edge",
    }
    releases = Releases(machine)
    assert releases.plan("1", OFFERED, {"stream": "[Service]\n", "reboot": None}).changes == []
    assert releases.running()
    assert [change.path for change in releases.plan("1", OFFERED, {"stream": None}).changes] == [
        "/etc/systemd/system/edge.service.d/stream.conf"
    ]


def test_a_newer_systemd_gets_more(machine: OneMachine) -> None:
    machine.systemd = 257
    use(machine, release(machine, "1"))
    assert files(machine)["etc/systemd/system/edge.service.d/newer-systemd.conf"] == "# newer\n"


def test_two_releases_are_kept_and_one_can_go_back_and_forth(machine: OneMachine) -> None:
    for name in ("1", "2", "3"):
        use(machine, release(machine, name))
    releases = Releases(machine)
    assert (releases.used(), releases.used("previous")) == ("3", "2")
    assert sorted(folder.name for folder in machine.place("/opt/edge/releases").iterdir()) == ["2", "3"]
    use(machine, releases.used("previous"), settings=None)
    assert (releases.used(), releases.used("previous")) == ("2", "3")
    use(machine, releases.used("previous"), settings=None)
    assert (releases.used(), releases.used("previous")) == ("3", "2")


def test_a_release_that_does_not_run_is_taken_back_with_all_that_came_with_it(machine: OneMachine) -> None:
    use(machine, release(machine, "1"))
    before = files(machine)
    with pytest.raises(ReleaseError) as told:
        use(machine, release(machine, "2", "crashes"), '[camera]\nsource = "usb"\n', {"stream": "[Service]\n"})
    assert "RuntimeError: boom" in str(told.value)
    assert str(told.value).endswith("Rolled back to 1, which is running again.")
    assert files(machine) == before
    assert machine.starts[-2:] == ["# 2 crashes\n", "# 1 runs\n"]
    assert not machine.place("/opt/edge/releases/2").exists()


def test_the_first_release_stays_even_when_it_does_not_run(machine: OneMachine) -> None:
    with pytest.raises(ReleaseError, match="It is the first release here, so it stays"):
        use(machine, release(machine, "1", "crashes"))
    assert Releases(machine).used() == "1"
    # the next one is not compared with it: there is still nothing to go back to, but it runs
    use(machine, release(machine, "2"))
    assert Releases(machine).used() == "2"
    assert Releases(machine).running()


def test_a_trial_that_was_cut_off_is_known_to_the_next(machine: OneMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    use(machine, release(machine, "1"))
    before = files(machine)

    def cut(*_arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Releases, "_start", cut)
        with pytest.raises(KeyboardInterrupt):
            use(machine, release(machine, "2", "crashes"), '[camera]\nsource = "usb"\n')
    releases = Releases(machine)
    assert releases.used() == "2"
    assert not releases.running()
    # another that does not run either goes back to the last that did
    with pytest.raises(ReleaseError, match="Rolled back to 1"):
        use(machine, release(machine, "3", "crashes"))
    assert files(machine) == before


def test_one_that_ends_soon_after_it_was_ready_is_not_said_to_be_a_success(
    machine: OneMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(machine, release(machine, "1"))
    show = machine.show
    monkeypatch.setattr(machine, "show", lambda: {**show(), "Result": "success", "ExecMainStatus": "0"})
    with pytest.raises(ReleaseError, match=r"does not run: it ended 2 times soon after its start; its last line"):
        use(machine, release(machine, "2", "crashes"))


def test_one_that_never_becomes_active_is_not_said_to_be_a_success(
    machine: OneMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    show = machine.show
    never = {"ActiveState": "activating", "NRestarts": "0", "Result": "success", "ExecMainStatus": "0"}
    monkeypatch.setattr(machine, "show", lambda: {**show(), **never})
    with pytest.raises(ReleaseError, match="not active after 0 s: it is activating and has reported no status"):
        Releases(machine).use(Releases(machine).plan(release(machine, "1"), OFFERED, {}), 0.0)


def test_a_disk_that_becomes_full_in_the_middle_of_the_switch_puts_everything_back(
    machine: OneMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(machine, release(machine, "1"))
    before = files(machine)
    write = machine.write

    def full(path: str, what: File) -> None:
        if what.link == "releases/2":
            raise OSError(errno.ENOSPC, "No space left on device", path)
        write(path, what)

    monkeypatch.setattr(machine, "write", full)
    with pytest.raises(ReleaseError, match=r"No space left on device.*\nRolled back to 1"):
        use(machine, release(machine, "2"))
    assert files(machine) == before


def test_one_that_becomes_active_in_the_last_moment_has_its_time_to_stay_so(
    machine: OneMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge_releases, "SETTLE_S", 0.05)
    releases = Releases(machine)
    plan = releases.plan(release(machine, "1"), OFFERED, {})
    releases.use(plan, 0.0)
    assert releases.running()


def test_a_release_that_another_deploy_has_cleared_away_is_not_used(machine: OneMachine) -> None:
    use(machine, release(machine, "1"))
    before = files(machine)
    with pytest.raises(ReleaseError, match="release 2 is gone"):
        use(machine, "2")
    assert files(machine) == before


def test_two_deploys_wait_for_each_other(machine: OneMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    use(machine, release(machine, "1"))
    monkeypatch.setattr(edge_releases, "LOCK_S", 0.0)
    # as make-release takes it
    with machine.place("/opt/edge/.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ReleaseError, match="another deploy is running"), Releases(machine).alone():
            raise AssertionError
    with Releases(machine).alone():
        pass


def test_where_there_is_no_edge_there_is_nothing_to_go_back_to(machine: OneMachine) -> None:
    with pytest.raises(ReleaseError, match="edge is not installed here"), Releases(machine).alone():
        raise AssertionError


# ---- the settings


def test_settings_in_another_encoding_come_back_byte_for_byte(machine: OneMachine) -> None:
    use(machine, release(machine, "1"))
    machine.place(SETTINGS).write_bytes('[announce]\nnot_sure_text = "weiß nicht"\n'.encode("latin-1"))
    before = machine.place(SETTINGS).read_bytes()
    read = machine.read(SETTINGS)
    machine.write(SETTINGS, File("x"))
    machine.write(SETTINGS, read)
    assert machine.place(SETTINGS).read_bytes() == before
    json.dumps(diff_of(Change(SETTINGS, read, File())), ensure_ascii=False).encode()


def test_untouched_settings_follow_what_is_offered(machine: OneMachine) -> None:
    use(machine, release(machine, "1"))
    use(machine, "1", OFFERED + "# more\n")
    assert files(machine)["etc/edge/edge.toml"] == OFFERED + "# more\n"
    assert machine.checked[-1] == OFFERED + "# more\n"


def test_changed_settings_are_never_written_over(machine: OneMachine) -> None:
    use(machine, release(machine, "1"))
    machine.place(SETTINGS).write_text('[camera]\nsource = "csi"\n')
    releases = Releases(machine)
    # the same is offered: nothing to say
    assert releases.plan("1", OFFERED, {}).changes == []
    plan = releases.plan("1", OFFERED + "# more\n", {})
    assert plan.notes == [
        "/etc/edge/edge.toml was changed by hand and stays as it is; what this deploy would write is in "
        "/etc/edge/edge.toml.new"
    ]
    releases.use(plan, 5)
    assert files(machine)["etc/edge/edge.toml"] == '[camera]\nsource = "csi"\n'
    assert files(machine)["etc/edge/edge.toml.new"] == OFFERED + "# more\n"
    # it is offered once
    machine.place(f"{SETTINGS}.new").unlink()
    assert releases.plan("1", OFFERED + "# more\n", {}).changes == []
    # who takes what is offered is untouched again
    machine.place(SETTINGS).write_text(OFFERED + "# more\n")
    releases.use(releases.plan("1", OFFERED, {}), 5)
    assert files(machine)["etc/edge/edge.toml"] == OFFERED


def test_for_what_the_service_does_not_read_it_is_not_started_again(machine: OneMachine) -> None:
    use(machine, release(machine, "1"))
    machine.place(SETTINGS).write_text('[camera]\nsource = "csi"\n')
    use(machine, "1", OFFERED + "# more\n")
    assert files(machine)["etc/edge/edge.toml.new"] == OFFERED + "# more\n"
    assert files(machine)["opt/edge/offered.toml"] == OFFERED + "# more\n"
    assert len(machine.starts) == 1
    assert Releases(machine).running()


def test_a_masked_unit_is_named_and_left_alone(machine: OneMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "show", lambda: {"UnitFileState": "masked"})
    with pytest.raises(ReleaseError, match="systemctl unmask edge"):
        use(machine, release(machine, "1"))
    assert files(machine) == {}


def test_a_command_that_does_not_answer_has_failed(tmp_path: Path) -> None:
    done = Machine(tmp_path).run("sleep", "5", timeout_s=0.1)
    assert done.returncode != 0
    assert "no answer" in done.stderr


def test_settings_that_the_new_release_does_not_know_stop_it_before_anything_is_changed(machine: OneMachine) -> None:
    use(machine, release(machine, "1"))
    machine.place(SETTINGS).write_text("[announce]\nper_minute = 20\n")
    before = files(machine)
    machine.refuse_settings = "unknown key per_minute"
    with pytest.raises(ReleaseError) as told:
        use(machine, release(machine, "2"))
    assert "edge: /etc/edge/edge.toml: unknown key per_minute\n" in str(told.value)
    assert files(machine) == before
    assert machine.checked[-1] == "[announce]\nper_minute = 20\n"


# ---- a newer release's settings, and the way back

NEWER = '[input]\ndevices = ["auto"]\n'


def go_back(machine: OneMachine) -> list[str]:
    """What deploy/rollback does; return the notes."""
    releases = Releases(machine)
    plan = releases.plan(releases.used("previous"), None, {})
    releases.fit_settings(plan)
    releases.check(plan)
    releases.use(plan, 5)
    releases.prune()
    return plan.notes


@pytest.fixture
def newer(machine: OneMachine) -> OneMachine:
    """Release 1 was replaced by 2, which knows a new table."""
    machine.unknown["1"] = "[input]"
    use(machine, release(machine, "1"))
    use(machine, release(machine, "2"))
    return machine


def test_the_way_back_brings_settings_that_the_older_release_knows_and_the_way_forward_the_others(
    newer: OneMachine,
) -> None:
    mine = OFFERED + NEWER
    newer.place(SETTINGS).write_text(mine)
    before = files(newer)
    (note,) = go_back(newer)
    assert "release 1 cannot use the present settings" in note
    assert "kept in /etc/edge/edge.toml.2" in note
    assert Releases(newer).running()
    there = files(newer)
    assert (there["opt/edge/current"], there["etc/edge/edge.toml"]) == ("releases/1", OFFERED)
    assert there["etc/edge/edge.toml.2"] == mine
    (note,) = go_back(newer)
    assert note == "/etc/edge/edge.toml is again what it was when release 2 was used last"
    assert files(newer) == before


def test_settings_that_the_deploy_wrote_go_back_with_their_release_too(newer: OneMachine) -> None:
    use(newer, "2", OFFERED + NEWER)
    go_back(newer)
    assert files(newer)["etc/edge/edge.toml"] == files(newer)["opt/edge/offered.toml"] == OFFERED
    # to the next deploy they are untouched
    use(newer, "2", OFFERED + NEWER)
    assert files(newer)["etc/edge/edge.toml"] == OFFERED + NEWER


def test_settings_that_both_releases_know_stay(newer: OneMachine) -> None:
    newer.place(SETTINGS).write_text("# mine\n")
    assert go_back(newer) == []
    assert go_back(newer) == []
    assert files(newer)["etc/edge/edge.toml"] == "# mine\n"


def test_settings_changed_after_the_way_back_are_not_replaced_on_the_way_forward(newer: OneMachine) -> None:
    newer.place(SETTINGS).write_text(NEWER)
    go_back(newer)
    newer.place(SETTINGS).write_text("# mine\n")
    assert go_back(newer) == []
    assert files(newer)["etc/edge/edge.toml"] == "# mine\n"
    assert files(newer)["etc/edge/edge.toml.2"] == NEWER


def test_without_settings_that_the_older_release_knows_the_fault_is_named(newer: OneMachine) -> None:
    newer.unknown["1"] = "["
    newer.place(SETTINGS).write_text(NEWER)
    before = files(newer)
    with pytest.raises(ReleaseError, match=r"release 1 cannot use the settings:\nedge: /etc/edge/edge.toml: unknown"):
        go_back(newer)
    assert files(newer) == before


def test_a_way_back_that_fails_puts_the_settings_back_too(newer: OneMachine) -> None:
    newer.place(SETTINGS).write_text(NEWER)
    newer.place("/opt/edge/releases/1/share/edge/edge.service").write_text("# 1 crashes\n")
    before = files(newer)
    with pytest.raises(ReleaseError, match="Rolled back to 2"):
        go_back(newer)
    assert files(newer) == before


def test_after_a_trial_that_was_cut_off_the_settings_before_it_are_kept(
    newer: OneMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(*_arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Releases, "_start", cut)
        with pytest.raises(KeyboardInterrupt):
            use(newer, release(newer, "3"), NEWER)
    use(newer, release(newer, "4"), NEWER)
    newer.unknown["2"] = "[input]"
    go_back(newer)
    assert files(newer)["opt/edge/current"] == "releases/2"
    assert files(newer)["etc/edge/edge.toml"] == OFFERED


def test_a_password_is_kept_from_others_on_the_way_back(newer: OneMachine) -> None:
    secret = '[camera]\nsource = "rtsp://me:secret@camera/stream"\n'
    use(newer, "1", secret)
    use(newer, "2", OFFERED + NEWER)
    left = newer.place("/opt/edge/releases/1/left/edge.toml")
    assert stat.S_IMODE(left.stat().st_mode) == 0o600
    go_back(newer)
    assert newer.place(SETTINGS).read_text() == secret
    assert stat.S_IMODE(newer.place(SETTINGS).stat().st_mode) == 0o640


@pytest.mark.parametrize(
    ("url", "shown_as"),
    [
        ("rtsp://me:secret@camera/stream", "rtsp://***@camera/stream"),
        ('rtsp://me:se/c\\"re@secret@camera/stream', "rtsp://***@camera/stream"),
        ("http://camera/video?pwd=secret", "http://camera/video?***"),
    ],
)
def test_a_password_is_kept_from_others_and_not_shown(machine: OneMachine, url: str, shown_as: str) -> None:
    text = f'[camera]\nsource = "{url}"\n'
    plan = Releases(machine).plan(release(machine, "1"), text, {})
    (written,) = [change.after for change in plan.changes if change.path == SETTINGS]
    assert (written.mode, written.group) == (0o640, "edge")
    shown = [json.dumps(diff_of(change)) for change in plan.changes]
    assert not any("secret" in one for one in shown)
    assert any(shown_as in one for one in shown)


def test_what_changes_is_shown() -> None:
    told = diff_of(Change("/a", File(), File(link="b")))
    assert told == {"before_header": "/a", "after_header": "/a", "before": "", "after": "link to b\n"}


def test_the_doctor_s_faults_are_told_with_their_advice() -> None:
    found = [
        {"check": "camera", "grade": "fault", "text": "none", "advice": "plug one in"},
        {"check": "sound", "grade": "good", "text": "x", "advice": ""},
        {"check": "model", "grade": "fault", "text": "broken", "advice": ""},
    ]
    assert faults_of(json.dumps(found)) == ["camera: none -> plug one in", "model: broken"]
    assert faults_of("no JSON") == []


# ---- the link

LINK = '[metrics]\nlisten = "127.0.0.1:9417"\n'
LINK_UNIT = "etc/systemd/system/edge-link.service"
RESTART = ["reset-failed", "enable", "restart"]


def test_a_release_with_the_link_brings_its_unit_and_its_settings(machine: OneMachine) -> None:
    use(machine, release(machine, "1", link=True), link=LINK, ports=[9500, 8500])
    found = files(machine)
    assert found[LINK_UNIT] == "# link 1\n"
    assert found[f"{LINK_UNIT}.d/deploy-port.conf"].endswith(
        "[Service]\nSocketBindAllow=tcp:9500\nSocketBindAllow=tcp:8500\n"
    )
    assert found["etc/edge/link.toml"] == found["opt/edge/offered-link.toml"] == LINK
    assert (machine.link_starts, len(machine.starts)) == (RESTART, 1)
    assert machine.checked == [OFFERED, LINK]
    releases = Releases(machine)
    assert releases.plan("1", OFFERED, {}, LINK, [9500, 8500]).changes == []
    assert releases.link_runs()


def test_a_change_of_the_link_leaves_edge_alone(machine: OneMachine) -> None:
    use(machine, release(machine, "1", link=True), link=LINK)
    use(machine, "1", link=LINK + "# more\n", ports=[])
    assert (machine.link_starts, len(machine.starts)) == (2 * RESTART, 1)


def test_a_release_that_is_only_planned_leaves_the_unit_of_the_link(machine: OneMachine) -> None:
    use(machine, release(machine, "1", link=True), link=LINK)
    changed = [change.path for change in Releases(machine).plan("2", OFFERED, {}, LINK, []).changes]
    assert not [path for path in changed if path.startswith("/etc/") and "link" in path]


def test_a_release_that_does_not_say_its_features_has_no_link(machine: OneMachine) -> None:
    use(machine, release(machine, "2", link=True), link=LINK)
    older = release(machine, "1", link=True)
    (machine.place(f"/opt/edge/releases/{older}") / "share/edge/features").unlink()
    use(machine, older)
    assert machine.read("/etc/systemd/system/edge-link.service").text is None


def test_a_link_that_does_not_run_is_started_again(machine: OneMachine) -> None:
    use(machine, release(machine, "1", link=True), link=LINK)
    machine.link_starts.clear()
    assert not Releases(machine).link_runs()
    use(machine, "1", link=LINK)
    assert (machine.link_starts, len(machine.starts)) == (RESTART, 1)


def test_without_the_feature_there_is_no_unit_and_settings_stay(machine: OneMachine) -> None:
    use(machine, release(machine, "1", link=True), link=LINK)
    machine.link_starts.clear()
    use(machine, release(machine, "0"))  # a release that knows no link
    assert LINK_UNIT not in files(machine)
    assert files(machine)["etc/edge/link.toml"] == LINK
    assert machine.link_starts == ["disable --now"]
    machine.link_starts.clear()
    use(machine, Releases(machine).used("previous"), settings=None)
    assert files(machine)[LINK_UNIT] == "# link 1\n"
    assert machine.link_starts == RESTART


def test_settings_of_the_link_that_nobody_wants_any_more_go(machine: OneMachine) -> None:
    use(machine, release(machine, "1", link=True), link=LINK)
    use(machine, "1", link="")
    assert "etc/edge/link.toml" not in files(machine)
    assert "opt/edge/offered-link.toml" not in files(machine)
    machine.link_starts.clear()
    assert Releases(machine).plan("1", OFFERED, {}, "", []).changes == []
    assert Releases(machine).link_runs()  # nothing is to run


@pytest.mark.parametrize("offered", ["", "[mqtt]\n"])
def test_settings_of_the_link_that_a_user_has_written_stay(machine: OneMachine, offered: str) -> None:
    machine.place("/etc/edge").mkdir(parents=True)
    machine.place("/etc/edge/link.toml").write_text("# mine\n")
    use(machine, release(machine, "1", link=True), link=offered)
    assert files(machine)["etc/edge/link.toml"] == "# mine\n"
    assert files(machine).get("etc/edge/link.toml.new", "") == offered
    assert machine.checked == [OFFERED, "# mine\n"]


def test_edited_settings_of_the_link_are_not_removed(machine: OneMachine) -> None:
    use(machine, release(machine, "1", link=True), link=LINK)
    machine.place("/etc/edge/link.toml").write_text("# mine\n")
    plan = Releases(machine).plan("1", OFFERED, {}, "")
    assert plan.notes == ["/etc/edge/link.toml was changed by hand and stays as it is; this deploy would remove it"]
    use(machine, "1", link="")
    assert files(machine)["etc/edge/link.toml"] == "# mine\n"
    assert Releases(machine).plan("1", OFFERED, {}, "").notes == []


def test_bad_settings_of_the_link_change_nothing(machine: OneMachine) -> None:
    use(machine, release(machine, "1", link=True), link=LINK)
    before = files(machine)
    machine.refuse_link = "[metrics] listen = 'x' is no address"
    with pytest.raises(ReleaseError, match=r"settings of the link:\n.*/etc/edge/link\.toml: \[metrics\] listen"):
        use(machine, release(machine, "2", link=True), link="[metrics]\nlisten = 'x'\n")
    assert files(machine) == before


def test_where_the_next_release_fails_the_link_is_put_back_too(machine: OneMachine) -> None:
    use(machine, release(machine, "1", link=True), link=LINK)
    before = files(machine)
    with pytest.raises(ReleaseError, match="Rolled back to 1"):
        use(machine, release(machine, "2", "crashes", link=True), link="[mqtt]\n")
    assert files(machine) == before
    assert machine.link_starts == 2 * RESTART


def test_settings_of_the_link_that_an_older_release_does_not_know_come_back_with_the_newer(machine: OneMachine) -> None:
    newer = LINK + "[page]\n"
    machine.unknown["1"] = "[page]"
    use(machine, release(machine, "1", link=True), link=LINK)
    use(machine, release(machine, "2", link=True), link=newer)
    for name, text in (("1", LINK), ("2", newer)):
        releases = Releases(machine)
        plan = releases.plan(name, None, {})
        releases.fit_settings(plan)
        assert len(plan.notes) == 1
        releases.check(plan)
        releases.use(plan, 5)
        assert files(machine)["etc/edge/link.toml"] == text
        assert files(machine)["etc/edge/edge.toml"] == OFFERED
