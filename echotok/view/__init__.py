"""A report with its tokens marked: tree, terminal, page."""
