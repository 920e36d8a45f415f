"""Which networks there are, and what belongs to each."""
