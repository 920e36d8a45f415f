"""Which models there are, and what belongs to each."""
