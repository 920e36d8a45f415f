"""scripts/structure.py: what docs/structure.md says of the code is what the code is."""

import grimp
import pytest
import structure
from structure import ROOT, document, import_graph, needed, purpose, wings

FOLDERS = sorted(path.parent for path in (ROOT / "edge").rglob("__init__.py"))


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return import_graph()


def test_the_document_is_up_to_date(graph: grimp.ImportGraph) -> None:
    assert structure.DOCUMENT.read_text(encoding="utf-8") == structure.renewed(graph), (
        "renew it: scripts/structure.py --write"
    )


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.relative_to(ROOT)))
def test_a_folder_says_in_one_sentence_what_it_is_for(folder: object) -> None:
    text = purpose(ROOT / str(folder) / "__init__.py")
    assert 20 < len(text) <= 110
    assert text.endswith(".")
    assert ". " not in text


def test_what_is_printed_has_each_wing_and_its_numbers(
    graph: grimp.ImportGraph, capsys: pytest.CaptureFixture[str]
) -> None:
    assert structure.main([]) == 0
    text = capsys.readouterr().out
    for name, wing in wings(graph).items():
        assert wing.files > 0 < wing.lines
        assert f"{name}{'/' if wing.is_folder else '.py'}" in text
        assert wing.purpose in text
    assert "installer | quantizer" in text
    assert "No module imports another that imports it." in text


def test_the_children_are_those_that_the_daemon_starts(graph: grimp.ImportGraph) -> None:
    children = structure.children(graph)
    assert children["edge.cameras.child"] == ["edge.cameras.process"]
    assert children["edge.engines.trial"] == ["edge.engines.measure"]
    assert children["edge.installer.install"] == ["edge.daemon.upgrade"]
    assert children["edge.speech.pyttsx3"] == ["edge.speech"]


def test_an_import_that_a_longer_way_implies_is_not_drawn() -> None:
    imports = {"a": {"b", "c", "d"}, "b": {"c"}, "c": {"d"}, "d": set()}
    assert needed(imports) == {"a": {"b"}, "b": {"c"}, "c": {"d"}, "d": set()}


def test_a_part_goes_between_its_markers() -> None:
    begin, end = "<!-- x: written by scripts/structure.py --write -->", "<!-- end of x -->"
    text = document(f"before\n{begin}\nold\n{end}\nafter\n", {"x": "new"})
    assert text == f"before\n{begin}\nnew\n{end}\nafter\n"
    assert document(text, {"x": "new"}) == text
    for bad in ("nothing", begin, f"{text}{text}"):
        with pytest.raises(ValueError, match="markers of x"):
            document(bad, {"x": "new"})
