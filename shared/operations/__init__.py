"""What people see: status, doctor, connect page."""
