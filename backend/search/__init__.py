"""One field for everything that has a name or a number: models, versions, changes, incidents, findings, people,
predictions. `service.search` asks each kind of `kinds.KINDS`."""
