"""Sales orders: read, posted once, answered."""
