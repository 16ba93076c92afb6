"""Who calls: names, secrets, and what stops guessing."""
