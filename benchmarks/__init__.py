"""Benchmarks: ``python -m benchmarks.NAME [--data DIR] [--full]`` prints one table each."""
