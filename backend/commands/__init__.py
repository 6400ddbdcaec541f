"""What the commands of `backend.cli` do; each module is imported only when its command runs."""
