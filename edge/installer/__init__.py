"""How a model gets here: converted from other formats, checked, and put into the store."""
