"""`edge models`, `edge compare` and `edge bench` as a person or a program uses them."""

import json
from pathlib import Path

import pytest
from rigs.boards import BOARDS, write_board
from rigs.stores import DEMO, store_of
from rigs.terminal import Terminal

from edge.engines import ENGINES
from edge.host.machine import Machine

pytestmark = pytest.mark.integration
KNOWN = DEMO.parent / "known.png"


@pytest.fixture
def terminal(capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(capsys)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Where conftest.py has put this user's."""
    return tmp_path / "xdg-data" / "edge" / "models"


def test_a_network_from_add_to_remove(terminal: Terminal, store: Path) -> None:
    assert terminal.run("models", "list") == 0
    assert "No model is installed" in terminal.out
    assert "inception-v3" in terminal.out
    assert terminal.fits()

    assert terminal.run("models", "add", DEMO, "--name", "mine") == 0
    assert terminal.out.splitlines()[0] == f"Installed mine in {store / 'mine'}."
    first = terminal.out.splitlines().index("edge says the first of its 52 labels like this:")
    assert terminal.out.splitlines()[first + 2] == "guitar    I see a guitar"
    assert len(terminal.out.splitlines()) == first + 13
    (mine, *_) = terminal.json("models", "list")
    assert (mine["name"], mine["installed"], mine["parameters"], mine["problem"]) == ("mine", True, 401413, "")
    assert terminal.run("models", "list") == 0
    assert terminal.fits()

    assert terminal.run("models", "verify") == 0
    assert terminal.out == "mine: good\n"
    # it was measured when it was added
    found = terminal.json("models", "choose")
    assert (found["chosen"], found["models"][0]["estimated"], found["budget"]["mib"]) == ("mine", False, 640)
    assert terminal.run("models", "measure", "mine") == 0
    assert terminal.out.splitlines()[1].startswith("mine   mxnet   ")
    assert terminal.fits()
    assert terminal.run("classify", "--model", "mine", KNOWN) == 0
    assert "guitar" in terminal.out

    assert terminal.run("models", "remove", "mine") == 0
    assert terminal.run("models", "remove", "mine") == 78
    assert "there is no model mine" in terminal.err
    assert terminal.json("models", "list")[0]["installed"] is False


def test_the_flags_go_into_its_model_toml(terminal: Terminal, tmp_path: Path, store: Path) -> None:
    for name in ("net-symbol.json", "net-0000.params"):
        (tmp_path / name).write_bytes((DEMO / name.replace("net", "demo")).read_bytes())
    assert terminal.run("models", "add", tmp_path / "net") == 78
    assert "no input size" in terminal.err
    flags = ("--size", 64, "--mean", "127.5", "--std", "127.5", "--channels", "bgr", "--synset", DEMO / "synset.txt")
    assert terminal.run("models", "add", tmp_path / "net", *flags) == 0
    text = (store / "net" / "model.toml").read_text()
    assert 'channels = "bgr"' in text
    assert "mean = [127.5, 127.5, 127.5]" in text


def lines_about_ranking(terminal: Terminal) -> list[str]:
    """Return what is printed between the measurement and the labels."""
    lines = terminal.out.splitlines()
    measured = next(index for index, line in enumerate(lines) if line.startswith("It takes "))
    return lines[
        measured + 1 : next(index for index, line in enumerate(lines) if line.startswith("edge says the first"))
    ]


def test_add_says_which_one_runs_and_how_to_use_this_one(terminal: Terminal, tmp_path: Path, store: Path) -> None:
    assert terminal.run("models", "add", DEMO, "--name", "first") == 0
    assert lines_about_ranking(terminal) == ["edge run uses it from now on."]
    toml = store / "first" / "model.toml"
    toml.write_text(toml.read_text().replace("[about]", "[about]\ntop1 = 0.62"))

    assert terminal.run("models", "add", DEMO, "--name", "second") == 0
    assert lines_about_ranking(terminal) == [
        "edge run uses first (top-1 62.0%). The model.toml of second states no top1, so",
        "it ranks last.",
        "To use this one:",
        "  edge run --model second",
        'or in the settings: [model] name = "second"',
        "Or state its accuracy, if you have measured it, in [about] top1 of",
        f"  {store / 'second' / 'model.toml'}",
    ]
    assert terminal.json("models", "choose")["chosen"] == "first"

    # in a folder that edge does not search
    assert terminal.run("models", "add", DEMO, "--name", "far", "--store", tmp_path / "elsewhere") == 0
    assert f"  edge run --model {tmp_path / 'elsewhere' / 'far'}" in terminal.out.splitlines()
    assert terminal.run("classify", "--model", tmp_path / "elsewhere" / "far", KNOWN) == 0


def test_a_copied_top1_is_doubted(terminal: Terminal, shared: Path, tmp_path: Path, store: Path) -> None:
    """Of 1.3 million parameters, with the top1 of Inception v3 that a README once stated."""
    store_of(tmp_path / "xdg-data", Machine(), good=1500)
    folder = tmp_path / "net"
    folder.mkdir()
    for path in (shared / "checkpoints" / "mobilenet0.5").iterdir():
        (folder / path.name).symlink_to(path)
    (folder / "synset.txt").symlink_to(shared / "checkpoints" / "synset.txt")
    (folder / "model.toml").write_text("[input]\nsize = 224\n[about]\ntop1 = 0.7755\n")
    assert terminal.run("models", "add", folder) == 0
    said = lines_about_ranking(terminal)
    warning = " ".join(said)
    assert warning.startswith(
        "Warning: top1 = 0.7755 is doubtful. The best published models with 1.3 million parameters reach 0.72. "
        "edge chooses by it: mobilenet0.5 ranks before good (75.0%)."
    ), warning
    assert said[-2:] == [
        f"  {store / 'mobilenet0.5' / 'model.toml'}",
        "edge run uses it from now on (top-1 77.5%).",
    ]
    (folder / "model.toml").write_text("[input]\nsize = 224\n[about]\ntop1 = 0.6307\n")
    assert terminal.run("models", "add", folder) == 0
    assert "doubtful" not in terminal.out


def test_fetch_from_a_folder_with_a_checkpoint_says_how_to_add_it(terminal: Terminal, tmp_path: Path) -> None:
    folder = tmp_path / "net"
    folder.mkdir()
    assert terminal.run("models", "fetch", "inception-v3", "--from", folder) == 69
    assert "models add" not in terminal.err
    for name in ("net-symbol.json", "net-0126.params"):
        (folder / name).write_text("")
    advice = f"that folder has a checkpoint; install it with edge models add {folder / 'net-0126.params'}"
    assert terminal.run("models", "fetch", "inception-v3", "--from", folder) == 69
    assert terminal.err.splitlines()[-1].endswith(advice)
    assert terminal.run("models", "fetch", "net", "--from", folder) == 78
    assert terminal.err == f"edge: model net is not in the catalogue; {advice}\n"
    (folder / "net-0000.params").write_text("")
    (folder / "other-symbol.json").write_text("")
    (folder / "other-0000.params").write_text("")
    assert terminal.run("models", "fetch", "net", "--from", folder) == 78
    assert terminal.err.endswith(f"edge models add {folder / 'net'} (and 1 more)\n")


def test_what_is_wrong_with_one_is_told_whole(terminal: Terminal, store: Path) -> None:
    assert terminal.run("models", "add", DEMO, "--name", "mine") == 0
    toml = store / "mine" / "model.toml"
    toml.write_text(toml.read_text().replace("size = 64", "size = 72"))
    assert terminal.run("models", "list") == 0
    assert f"model {store / 'mine'}: short_side = 64 is less than size = 72.\n" in terminal.out


def test_verify_names_the_file(terminal: Terminal, store: Path) -> None:
    assert terminal.run("models", "add", DEMO, "--name", "mine") == 0
    (store / "mine" / "synset.txt").write_text("n0 nothing\n")
    assert terminal.run("models", "verify", "mine") == 78
    assert str(store / "mine" / "synset.txt") in terminal.err
    assert terminal.run("models", "verify", "other") == 78
    assert "is not installed" in terminal.err


@pytest.mark.parametrize("board", list(BOARDS))
def test_what_a_board_would_choose_of_the_catalogue(terminal: Terminal, tmp_path: Path, board: str) -> None:
    root = write_board(tmp_path / "root", BOARDS[board])
    found = terminal.json("models", "choose", "--catalogue", "--machine", root)
    assert found["chosen"] == ("mobilenet0.5" if board == "zero-2" else "inception-v3")
    assert terminal.run("models", "choose", "--catalogue", "--machine", root) == 0
    assert terminal.fits()


def test_a_budget_that_nothing_fits_says_what_each_needs(terminal: Terminal, tmp_path: Path) -> None:
    store_of(tmp_path / "xdg-data", Machine(), large=400, small=100)
    for arguments in (("models", "choose"), ("run", "--camera", "demo", "--speech", "log")):
        assert terminal.run(*arguments, "--budget-mib", 60) == 78
        lines = terminal.err.splitlines()
        assert lines[0] == "edge: no model fits into 60 MiB (memory_budget_mib):"
        assert [line.split()[1] for line in lines[1:3]] == ["large:", "small:"]
        assert all("too much" in line for line in lines[1:3])
    assert terminal.run("models", "choose", "--budget-mib", 60, "--json") == 78
    assert json.loads(terminal.out)["chosen"] is None


@pytest.mark.parametrize(
    "arguments",
    [
        ("models",),
        ("models", "nothing"),
        ("models", "choose", "--budget-mib", "0"),
        ("models", "choose", "--budget-mib", "many"),
        ("models", "choose", "--max-latency-ms", "-1"),
        ("bench", "--against", "nothing"),
        ("bench", "--frames", "0"),
        ("compare",),
    ],
)
def test_what_cannot_be_understood_is_one_line(terminal: Terminal, arguments: tuple[str, ...]) -> None:
    assert terminal.run(*arguments) == 2
    assert (terminal.out, terminal.err.count("\n")) == ("", 1)


@pytest.mark.parametrize(
    "arguments",
    [
        ("models", "add", "/no/such"),
        ("models", "add", "/no/such", "--name", "../x"),
        ("models", "fetch", "nothing"),
        ("models", "measure", "nothing"),
        ("compare", "--models", "nothing", str(KNOWN)),
        ("bench", "--models", "nothing"),
        ("bench", "--models", ","),
        ("models", "remove", "../.."),
    ],
)
def test_what_does_not_exist_is_one_line(terminal: Terminal, arguments: tuple[str, ...]) -> None:
    assert terminal.run(*arguments) == 78
    assert terminal.err.count("\n") == 1


def test_compare_puts_them_side_by_side(terminal: Terminal, tmp_path: Path) -> None:
    names = ("one", "two", "three", "four")
    store_of(tmp_path / "xdg-data", Machine(), **dict.fromkeys(names, 100.0))
    assert terminal.run("compare", KNOWN) == 0
    assert terminal.fits()
    assert "agreement: 4 of 4 put guitar first" in terminal.out
    assert terminal.out.count("guitar") == 5
    assert terminal.run("compare", "--models", "one,two", KNOWN, "/no/such.jpg") == 69
    assert "/no/such.jpg" in terminal.err
    assert "2 of 2" in terminal.out
    (result,) = terminal.json("compare", "--models", "one,two", KNOWN)
    assert list(result["models"]) == ["one", "two"]
    assert result["agreement"] == {"id": "n03467517", "models": 2, "of": 2}
    assert len(result["models"]["one"]["predictions"]) == 5
    assert result["models"]["one"]["ms"] > 0


def test_bench_weighs_and_times(terminal: Terminal) -> None:
    assert terminal.run("bench", "--frames", 3, "--against", "module") == 0
    assert terminal.fits()
    assert "It only queues the work" in terminal.out
    assert "of the memory of module" in terminal.out
    found = terminal.json("bench", "--frames", 3, "--engines", "mxnet,nothing")
    ours, missing = found["rows"]
    assert {"load_s", "peak_mib", "first_ms", "median_ms", "p95_ms", "enqueue_ms", "file_mib"} <= set(ours)
    assert (ours["parameters"], ours["problem"]) == (401413, "")
    assert "there is no engine nothing" in missing["problem"]
    assert terminal.run("bench", "--frames", 3, "--engines", "nothing") == 0
    assert "there is no engine nothing" in terminal.out


def test_bench_and_compare_take_the_engine_of_the_settings(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_MODEL_ENGINE", "onnx")
    assert terminal.run("bench", "--frames", 1) == 0
    assert "onnx" in terminal.out
    assert "only queues" not in terminal.out
    (result,) = terminal.json("compare", KNOWN)
    assert result["models"]["demo"]["engine"] == "onnx"
    (one,) = terminal.json("classify", "--model", "demo", KNOWN, "--engine", "openvino")
    assert (one["engine"], one["predictions"][0]["label"]) == ("openvino", "guitar")
    monkeypatch.setenv("EDGE_MODEL_ENGINE", "auto")
    rows = terminal.json("bench", "--frames", 1)["rows"]
    assert [row["engine"] for row in rows] == list(ENGINES)
    monkeypatch.delenv("EDGE_MODEL_ENGINE")
    rows = terminal.json("bench", "--frames", 1, "--engines", "auto")["rows"]
    assert [row["engine"] for row in rows] == list(ENGINES)


def test_models_are_added_and_chosen_with_another_engine(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_MODEL_ENGINE", "openvino")
    assert terminal.run("models", "add", DEMO / "demo", "--name", "mine") == 0
    (model,) = terminal.json("models", "choose")["models"]
    assert (model["name"], model["engine"], model["estimated"]) == ("mine", "openvino", False)


def test_random_weights_are_said_everywhere(terminal: Terminal, tmp_path: Path) -> None:
    store = store_of(tmp_path / "xdg-data", Machine(), net=100)
    toml = (store / "net" / "model.toml").read_text()
    (store / "net" / "model.toml").write_text(f"{toml}random_weights = true\n")
    for arguments in (("models", "list"), ("compare", KNOWN), ("run", "--camera", "demo", "--frames", 1)):
        assert terminal.run(*arguments) == 0
        assert "andom weights" in terminal.out
    assert terminal.run("bench", "--frames", 1) == 0
    assert "* random weights" in terminal.out
    assert terminal.run("models", "add", store / "net", "--name", "again") == 0
    assert "random" in terminal.out
