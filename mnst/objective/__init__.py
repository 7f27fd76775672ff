"""What a picture is measured against: statistics, losses, targets, and how styles are mixed."""
