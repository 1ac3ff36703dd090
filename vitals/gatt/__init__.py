"""Bluetooth SIG characteristics as values that code and decode themselves; and the ports to a radio (`link`)."""
