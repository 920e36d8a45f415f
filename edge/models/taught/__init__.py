"""Things that a user has taught: their features, the files they are kept in, and how they are recognised."""
