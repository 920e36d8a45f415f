"""What a frame tells before any network looks at it."""
