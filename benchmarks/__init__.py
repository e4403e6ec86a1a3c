"""Commands that measure prefmill against a named baseline in the same run; see README.md."""
