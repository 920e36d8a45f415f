"""Checks of a frame before inference: dark, covered, frozen, blurred or unchanged."""
