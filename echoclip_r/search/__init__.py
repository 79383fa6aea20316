"""Search: the reports that fit a clip, the clips that fit a report."""
