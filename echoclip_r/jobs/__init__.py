"""Work that is spread over processes, and its progress."""
