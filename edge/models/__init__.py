"""The models, with their files, labels, calibration and measurements."""
