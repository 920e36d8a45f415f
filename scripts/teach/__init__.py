"""Things to teach, their views, and views of none of them: all drawn, for scripts/benchmark_teach.py."""
