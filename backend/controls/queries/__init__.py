"""What can be asked of the record: one small function each, registered by name (`registry`), by what it looks at."""
