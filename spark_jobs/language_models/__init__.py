"""Language models as a source of rows: requests in, replies out, every attempt in the table `models.requests`.

    from catalog import Lake, load_settings
    from spark_jobs.language_models.client import ask
    from spark_jobs.language_models.endpoint import endpoint_of
    from spark_jobs.language_models.request import Request

    settings = load_settings()
    rows = ask(Lake.of(settings), endpoint_of(settings, "smollm2"), [Request.chat("Name a river.")], purpose="rivers")

- `client`: `ask`, a list of requests to a list of replies, and `Client`, for requests that depend on replies
- `structured`: `ask_structured`, replies as objects of a pydantic model
- `judge`: scores of texts by a rubric
- `batch`: the batch mode of providers
- `preview`: what a run would ask, and the most that it can cost
- `endpoint`, `request`, `keys`: what is asked, how, and with which key
- `attempt`, `requests`, `journal`: the ledger, and how it survives a kill
- `wire`, `replies`, `limits`: the HTTP exchange and its bounds, and the pace of requests

The package knows no family. docs/language_models.md says what it promises.
"""
