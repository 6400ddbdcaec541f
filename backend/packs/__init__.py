"""Evidence packs: what the record shows of a model, a version, a change or a period, as a ZIP that anybody verifies."""
