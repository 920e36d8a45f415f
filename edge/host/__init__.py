"""This machine: its memory, files, libraries, processes and its systemd."""
