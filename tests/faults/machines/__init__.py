"""State machines for hypothesis: what may come in any order, against a plain model of what must hold after each step."""
