"""Chooses which model runs here."""
