"""The measure of what edge says: films with known truth, and the score of the sentences (scripts/score_truth.py)."""
