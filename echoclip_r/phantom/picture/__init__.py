"""The simulated clip: anatomy, motion, tissue, the ultrasound machine and its screen."""
