"""What a frame shows before any network looks at it: dark, covered, frozen, blurred or unchanged."""
