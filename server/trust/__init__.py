"""Whom the clinic knows by certificate: its own authority, the claims by which a new gateway gets one, and the door for them."""
