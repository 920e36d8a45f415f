"""Plain tables for a terminal of 80 columns."""

import textwrap
from collections.abc import Sequence

from edge.host.terminal import printable

WIDTH = 80


def table(
    header: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int] = (), *, paths: bool = False
) -> str:
    """Return lines of aligned columns; those in `numbers` (from 0) are aligned to the right.

    Columns are two spaces apart, or one if the header of the last column would not fit into WIDTH otherwise. The last
    column is cut if it is too long: at its end, or with `paths` at its beginning, so that the name at the end stays.
    """
    lines = [header, *([printable(cell) for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    gap = "  " if sum(widths[:-1]) + 2 * (len(widths) - 1) + len(header[-1]) <= WIDTH else " "
    text = []
    for line in lines:
        cells = [
            cell.rjust(width) if column in numbers else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        whole = gap.join(cells).rstrip()
        over = len(whole) - WIDTH
        if over > 0 and paths and len(line[-1]) > over + 3:
            whole = f"{whole[: -len(line[-1])]}...{line[-1][over + 3 :]}"
        text.append(whole if len(whole) <= WIDTH else whole[: WIDTH - 3] + "...")
    return "\n".join(text)


def mib(size: float) -> str:
    """Return '91 MiB' for a number of MiB; one digit more below 10."""
    return f"{size:.1f} MiB" if size < 9.95 else f"{size:.0f} MiB"


def milliseconds(value: float) -> str:
    """Return '55 ms' for a number of milliseconds; one digit more below 10."""
    return f"{value:.1f} ms" if value < 9.95 else f"{value:.0f} ms"


def wrapped(text: str, indent: int = 0) -> str:
    """Return a text in lines of at most WIDTH characters; all but the first are indented."""
    return textwrap.fill(text, WIDTH, subsequent_indent=" " * indent, break_on_hyphens=False)
