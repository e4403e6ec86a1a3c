"""Public files of labelled responses: one module per file format, and what all of them are read into."""
