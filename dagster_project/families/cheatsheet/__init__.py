"""Assets of the Foundation Model Development Cheatsheet."""
