"""Access to this machine: its memory, files, libraries, processes and systemd."""
