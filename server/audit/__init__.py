"""The audit trail that can be shown untampered: sealing, anchors outside, the verifier, and evidence for a court."""
