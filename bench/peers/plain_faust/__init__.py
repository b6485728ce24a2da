"""What one writes after reading Faust's documentation."""
