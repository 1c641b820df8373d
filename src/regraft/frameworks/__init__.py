"""Other frameworks' objects from regraft's, and back; import the module you need."""
