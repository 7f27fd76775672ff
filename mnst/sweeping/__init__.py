"""Many pictures: a sweep over photos, recipes and gammas, on one machine or on many."""
