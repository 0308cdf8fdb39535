"""Dead filters and neurons removed for good."""
