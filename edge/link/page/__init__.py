"""The page: shows in a browser what edge sees, and takes requests. A part of the link."""
