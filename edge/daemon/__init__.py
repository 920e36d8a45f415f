"""What runs beside the loop."""
