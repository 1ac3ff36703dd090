"""The rules once more, in plain Python and by other means: slow, without arrays, sharing nothing with the engine it checks."""
