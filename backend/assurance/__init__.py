"""What people vouch for about models: validations, findings, exceptions, the inventory's own facts."""
