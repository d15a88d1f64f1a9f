"""What the camera sees: ray casting, sensors, surroundings."""
