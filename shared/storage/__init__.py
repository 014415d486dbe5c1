"""Tables and secrets: protocols, and their Azure adapters."""
