"""What is published of every message: JSON Schemas and the AsyncAPI document, made of entity rows and `$metadata`."""
