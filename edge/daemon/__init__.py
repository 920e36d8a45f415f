"""What runs beside the loop: devices, requests, health, events and signals."""
