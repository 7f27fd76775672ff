"""How a picture is painted: gradients, whole or in tiles; the loop; devices; planning."""
