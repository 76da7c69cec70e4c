"""Croissant 1.1 (MLCommons): any version of a table as a data set that other tools load, and such data sets as rows."""
