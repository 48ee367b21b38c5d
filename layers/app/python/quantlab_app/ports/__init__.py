"""What the use cases need from the world, one file a noun, and the container that carries them."""
