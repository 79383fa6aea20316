"""Work that is spread over processes, and how far it is."""
