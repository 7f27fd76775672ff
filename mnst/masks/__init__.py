"""What is kept of a photo: DeepLab, labels, masks."""
