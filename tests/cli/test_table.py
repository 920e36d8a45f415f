"""Tables fit a terminal of 80 columns."""

from edge.cli.table import WIDTH, table


def test_columns_line_up() -> None:
    assert table(["name", "MiB"], [["a", "7"], ["long name", "123"]], numbers=[1]).splitlines() == [
        "name       MiB",
        "a            7",
        "long name  123",
    ]


def test_where_it_is_tight_the_columns_move_together() -> None:
    header, row = table(["a", "b", "queued"], [["x" * 36, "y" * 36, "z"]]).splitlines()
    assert header == "a" + 36 * " " + "b" + 36 * " " + "queued"
    assert row == "x" * 36 + " " + "y" * 36 + " z"


def test_the_last_column_is_cut() -> None:
    line = table(["a", "b"], [["x", "y" * 100]]).splitlines()[1]
    assert len(line) == WIDTH
    assert line.endswith("yyy...")


def test_of_a_path_the_beginning_is_cut() -> None:
    lines = table(["a", "where"], [["x", f"/{'y' * 100}/models/name"], ["x", "/short"]], paths=True).splitlines()
    assert len(lines[1]) == WIDTH
    assert lines[1].startswith("x  ...yyy")
    assert lines[1].endswith("yyy/models/name")
    assert lines[2] == "x  /short"
