"""Which models there are, and what belongs to each: files, labels, calibration, measurements."""
