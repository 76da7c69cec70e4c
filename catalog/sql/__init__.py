"""DuckDB SQL over every table of the lake: connection, queries, views and time travel."""
