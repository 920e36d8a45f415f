"""edge: a Raspberry Pi says what it sees."""

__version__ = "0.2.0"
