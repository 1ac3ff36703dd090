"""The whole line on one machine, with simulated people and meters on real parts. Not for care.

`cli` the command; `run` one run of it; `line` starts and stops the parts; `population` makes people up and moves them in;
`meters` drives the simulated meters; `travel` follows a reading to the people; `show` prints; `air` is the line without D-Bus;
`household` what a kept folder remembers; `neighbourhood` a small line for tests and benchmarks.
"""
