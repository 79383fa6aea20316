"""The ultrasound sector of a clip, and the mask that keeps it alone."""
