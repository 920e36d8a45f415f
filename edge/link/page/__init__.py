"""The page: the part of the link that shows in a browser what edge sees, and takes requests."""
