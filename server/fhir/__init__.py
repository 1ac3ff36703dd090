"""What the clinic knows as FHIR R4 resources: plain dictionaries, built and never read back. No I/O, no clock."""
