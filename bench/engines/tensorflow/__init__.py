"""TensorFlow on given hosts."""
