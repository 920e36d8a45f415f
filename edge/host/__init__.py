"""What edge knows of this machine: its memory, files, libraries, processes and systemd."""
