"""What is wrong on this machine, and what to do about it.

`cli` the command; `checks` judges what was found; `world` goes and looks.
"""
