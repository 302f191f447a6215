"""Generated messages and stubs of spandrel.v1."""
