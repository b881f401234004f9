"""What all rooms of the package need: arrays, axes, threads, warnings, and `BaseDenoiser`."""
