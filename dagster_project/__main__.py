"""`python -m dagster_project` is `watershed`."""

from dagster_project.cli import main

if __name__ == "__main__":
    main(prog_name="watershed")
