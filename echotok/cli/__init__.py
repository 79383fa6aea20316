"""The command line `echotok`."""
