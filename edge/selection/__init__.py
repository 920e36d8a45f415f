"""Selection of the model that runs on this machine."""
