"""Access tokens from Microsoft Entra, and the state of the login."""
