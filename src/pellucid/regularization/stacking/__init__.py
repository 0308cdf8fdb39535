"""Many small networks trained at once: side by side in one process."""
