"""Builds what is installed in a home: for each type of machine one tar and one file that runs by itself.

Built anywhere with the network, for machines that are not this one; installed without. The same tree gives the same bytes.
"""
