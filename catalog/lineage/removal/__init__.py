"""The removal of rows that people order to forget, from every table, and the list that keeps them from coming back."""
