"""A month of many homes and one clinic on one simulated clock: the product's own code, everything around it played by dice.

No thread, no event loop, no sleeping, no clock of the machine: a heap of things to happen, in order. The same seed and the same
commit make the same month, event by event.
"""
