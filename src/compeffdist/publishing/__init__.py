"""A finished run in formats that others read: a data set, a model, a bill of materials, lineage events."""
