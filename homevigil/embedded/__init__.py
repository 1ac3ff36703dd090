"""The parts that a machine with nothing installed lacks, started by us: PostgreSQL, an MQTT broker, a private D-Bus.

For the demo and the tests, never for real patients: no TLS, no backups, one machine. Each is a real program in a process of its
own that follows us when we are killed.
"""
