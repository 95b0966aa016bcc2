"""Sources, image stores, splits and batches."""
