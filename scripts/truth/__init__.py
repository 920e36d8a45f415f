"""Measures if edge says the truth: films with known truth, and how sentences are scored (scripts/score_truth.py)."""
