"""Reports as the model reads them."""
