"""Which of the models runs here."""
