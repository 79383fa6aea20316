"""EchoCLIP-R: contrastive training and retrieval for echo studies."""
