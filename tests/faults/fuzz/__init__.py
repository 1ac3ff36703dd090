"""Decoders under coverage-guided fuzzing: `python -m faults.fuzz TARGET --seed S --runs N`."""
