"""A run, while it goes on, in other people's tools as well."""
