"""Subscriptions and what becomes of changes: the sender's job, the runtime API, tricks of the network."""
