"""Questions, scoring, calibration, reports and the demo world. Knows nothing of the web framework or of `service`."""
