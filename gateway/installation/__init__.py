"""Putting a release of the gateway on a machine, and taking it back.

The standard library alone, since it runs before anything is there.
"""
