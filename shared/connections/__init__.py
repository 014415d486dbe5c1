"""What one connection knows: settings, client, companies, secrets, clock and ids."""
