"""Install a model: fetch or convert it, check it, and put it into the store."""
