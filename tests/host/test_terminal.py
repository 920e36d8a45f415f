"""What a terminal cannot show, or would act on, on its way out."""

import io
import json
import logging

import pytest

from edge.host.terminal import LineFormatter, expect_json, printable, tolerate

NAME = "gut-\udce9 \x1b[31mé\n\u202efdp.png"


def stream(encoding: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict", newline="")


def written(text: io.TextIOWrapper) -> bytes:
    text.flush()
    assert isinstance(text.buffer, io.BytesIO)
    return text.buffer.getvalue()


def test_what_a_terminal_would_act_on_is_escaped() -> None:
    assert printable(NAME) == "gut-\\xe9 \\x1b[31mé\\n\\u202efdp.png"
    assert printable("a\tb\rc\x9bd\ud800 crème 🎸") == "a\\tb\\rc\\x9bd\\ud800 crème 🎸"


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [
        ("utf-8", "crème 🎸 \\xe9".encode()),
        ("latin-1", b"cr\xe8me \\U0001f3b8 \\xe9"),
        ("ascii", b"cr\\xe8me \\U0001f3b8 \\xe9"),
    ],
)
def test_what_an_encoding_lacks_is_escaped(encoding: str, shown: bytes) -> None:
    out = stream(encoding)
    tolerate(out)
    out.write("crème 🎸 \udce9")
    assert written(out) == shown


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "ascii"])
def test_json_is_utf_8_in_every_locale(encoding: str) -> None:
    out = stream(encoding)
    expect_json(out)
    out.write(json.dumps([NAME, "crème"], ensure_ascii=False))
    assert "crème" in written(out).decode("utf-8")
    assert json.loads(written(out)) == [NAME, "crème"]


def test_a_log_record_is_one_line_and_its_traceback_is_more() -> None:
    record = logging.makeLogRecord({"msg": "no %s", "args": (NAME,), "levelno": logging.WARNING})
    assert LineFormatter("edge: %(message)s").format(record) == f"edge: no {printable(NAME)}"
    try:
        int("odd")
    except ValueError as error:
        record.exc_info = (ValueError, error, error.__traceback__)
    assert LineFormatter().format(record).count("\n") >= 3
