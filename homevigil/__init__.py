"""The front door: one command, `homevigil`, that mounts the rooms' commands lazily, and the demo that composes the rooms.

The only package that may import every room. It decides nothing clinical and stores nothing.
"""
