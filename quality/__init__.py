"""What must be true of a table, and the gate that says so."""
