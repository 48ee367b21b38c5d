"""The pages on rules: each variant with a worked example and a picture, made from the vectors."""
