"""Legal holds: what retention and erasure must leave alone, and why."""
