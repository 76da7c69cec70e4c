"""Side by side with peers: the same documents, one core, in turns."""
