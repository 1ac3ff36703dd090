"""Measurements, each a command that prints a table and one JSON line. None of them is a test."""
