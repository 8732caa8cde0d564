"""SavedModel export, its signatures, and a model server that speaks TF Serving's protocol."""
