"""What Business Central makes of it: master data, documents, posting, the demo company, what people do."""
