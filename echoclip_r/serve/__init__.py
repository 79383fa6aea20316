"""A server that searches an archive in a browser."""
