"""The labels that a person has muted, kept on disk, and the words by which a person may name them."""

import contextlib
import difflib
import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from edge.announce.english import plain
from edge.announce.mutes import read_mutes, write_mutes

_log = logging.getLogger(__name__)


class Refused(Exception):  # noqa: N818 - it is an answer
    """A request that cannot be met; the text gives the reason."""


def by_word(names: Iterable[tuple[str, Iterable[str]]]) -> dict[str, str]:
    """Return the stored name of each thing that can be muted, by each plain word for it.

    `names` has the stored name of each thing, and all plain words for it.
    """
    labels: dict[str, str] = {}
    words: dict[str, str] = {}
    for kept, ways in names:
        labels[plain(kept)] = kept
        for way in ways:
            words.setdefault(way, kept)
    return words | labels  # a label takes precedence over the spoken words of another


def no_such_label(label: str, labels: Mapping[str, str]) -> str:
    """Return the message that the model has no such label, with the nearest one; `labels` is from `by_word`."""
    near = difflib.get_close_matches(plain(label), labels, n=1)
    hint = f"; did you mean {labels[near[0]]}?" if near else ""
    return f"the model has no label {label!r}{hint}"


class MuteList:
    """The muted labels. Any thread may use it. A change is on disk before its method returns."""

    def __init__(self, file: Path | None) -> None:
        """Read the file. A damaged one is renamed. None: nothing is kept."""
        self._file = file
        self._lock = threading.Lock()
        self._mutes = self._read()
        self._names: Callable[[], Iterable[tuple[str, Iterable[str]]]] = tuple
        self._labels: dict[str, str] = {}
        """Stored name of each thing that can be muted, by each plain word for it; empty until it is needed."""

    def know(self, names: Callable[[], Iterable[tuple[str, Iterable[str]]]]) -> None:
        """Set what can be muted from now on: `names` returns the stored name of each thing and all plain words for it.

        It is called when a client mutes something, not before.
        """
        with self._lock:
            self._names, self._labels = names, {}

    @property
    def labels(self) -> list[str]:
        """The muted labels by their stored names."""
        return list(self._mutes)  # replaced as a whole

    @property
    def plain(self) -> frozenset[str]:
        """The muted labels, in the form of english.plain."""
        return frozenset(map(plain, self._mutes))

    @property
    def known(self) -> list[str]:
        """The stored names of everything that can be muted, sorted; empty while they are unknown."""
        with self._lock:
            return sorted(set(self._known().values()))

    def mute(self, label: str) -> tuple[str, bool]:
        """Mute a label; return its stored name, and True if that will survive a restart.

        Raises Refused if the model has no such label.
        """
        with self._lock:
            labels = self._known()
            known = labels.get(plain(label))
            if known is None and labels:
                raise Refused(no_such_label(label, labels))
            self._mutes = sorted({*self._without(label), known or label})
            return known or label, self._write()

    def unmute(self, label: str) -> bool:
        """Undo a mute; return True if that will survive a restart. Raises Refused if the label is not muted."""
        with self._lock:
            left = self._without(label)
            if left == self._mutes:
                raise Refused(f"{label!r} is not muted (labels that the settings mute can only be unmuted there)")
            self._mutes = left
            return self._write()

    def _known(self) -> dict[str, str]:
        if not self._labels:
            self._labels = by_word(self._names())
        return self._labels

    def _without(self, label: str) -> list[str]:
        same = {plain(label), plain(self._known().get(plain(label), label))}
        return [mute for mute in self._mutes if plain(mute) not in same]

    def _read(self) -> list[str]:
        if self._file is None:
            return []
        try:
            return read_mutes(self._file)
        except OSError as error:
            _log.info(f"{self._file}: {error.strerror}: the muted labels are unknown.")
            return []
        except ValueError as error:
            aside = self._file.with_name(f"{self._file.name}.damaged")
            with contextlib.suppress(OSError):
                self._file.replace(aside)
            _log.info(f"{self._file} is damaged ({error}) and was renamed to {aside.name}: nothing is muted.")
            return []

    def _write(self) -> bool:
        """Write the mutes to disk; return True if they will survive a restart."""
        if self._file is None:
            return False
        try:
            write_mutes(self._file, self._mutes)
        except OSError:
            return False
        return True
