"""The parts of the daemon around the loop: devices, requests, health, events and signals."""
