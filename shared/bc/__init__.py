"""The Business Central side: login, transport and a small typed client."""
