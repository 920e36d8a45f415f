"""What is worth saying now, and in which words."""
