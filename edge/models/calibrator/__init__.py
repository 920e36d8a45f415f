"""Calibrates a model's confidence, and fits what it needs to recognise pictures that show none of its labels."""
