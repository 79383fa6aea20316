"""The command line `echoclip-r`."""
