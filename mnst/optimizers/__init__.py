"""What changes the picture in a step: Adam, L-BFGS."""
