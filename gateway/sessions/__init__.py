"""One conversation with one meter, as generators: commands come out, what happened goes in. No I/O, no clock, no library.

What a session yields as `Keep` must be durable before the driver resumes it: a session never goes on from a reading that
could still be lost.
"""
