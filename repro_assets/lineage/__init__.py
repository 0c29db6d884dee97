"""Which artifact came from which: graph, validation, rendering."""
