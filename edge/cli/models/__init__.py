"""`edge models ...`: one module for each group of commands."""
