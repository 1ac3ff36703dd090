"""Tells people: what is said to whom (`texts`), the queue's worker (`dispatch`) and the ways out (`inbox`, `webhook`)."""
