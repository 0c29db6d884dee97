"""Model cards and data cards: what the records say of a model or a data set, as Markdown."""
