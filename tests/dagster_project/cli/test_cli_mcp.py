"""`watershed mcp` as an agent uses it: the package's own client starts it and talks to it over standard input."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters
from mcp.types import TextContent

from catalog.lake import Lake
from catalog.settings import Settings
from catalog.tables import CONTRACTS
from tests.dagster_project.demo_project import environment
from tests.small_lake import write_lake

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A lake of three tables."""
    return write_lake(tmp_path_factory.mktemp("mcp"), ("dclm.pool", "dclm.documents", "router.domains"))


async def talk(settings: Settings) -> dict[str, Any]:
    """What a conversation with the server finds; one server answers all of it."""
    server = StdioServerParameters(
        command=sys.executable,
        args=["-m", "dagster_project", "mcp", "--rows", "3"],
        env=environment(settings.project, PYTHONPATH=str(ROOT)),
        cwd=str(settings.project),
    )
    found: dict[str, Any] = {}
    async with Client(server) as client:
        found["tools"] = (await client.list_tools()).tools

        async def call(name: str, **arguments: Any) -> Any:
            result = await client.call_tool(name, arguments)
            if result.is_error:
                return "".join(part.text for part in result.content if isinstance(part, TextContent))
            return result.structured_content

        found["search"] = await call("search", words="web documnets")
        found["describe"] = await call("describe", table="dclm.documents")
        found["sql"] = await call("sql", query="SELECT doc_id, url, text FROM dclm.documents")
        found["write"] = await call("sql", query="DELETE FROM dclm.documents")
        found["file"] = await call("sql", query="SELECT * FROM read_text('/etc/hostname')")
        found["doc"] = await call("trace", thing=found["sql"]["rows"][0][0])
        lake = Lake.of(settings)
        before = await call("search", words="glaciers")
        rows = lake.read("router.domains").to_pylist()
        contract = CONTRACTS["router.domains"]
        changed = [{**row, "domain": "glaciers"} for row in rows]
        import pyarrow as pa

        lake.replace(contract, pa.Table.from_pylist(changed, contract.schema), "f" * 16)
        found["before"], found["after"] = before, await call("search", words="glaciers")
        found["rows"] = await call("sql", query="SELECT domain FROM router.domains")
    return found


@pytest.fixture(scope="module")
def said(project: Settings) -> dict[str, Any]:
    """The conversation."""
    return asyncio.run(asyncio.wait_for(talk(project), 300))


def test_the_tools_only_read(said: dict[str, Any]) -> None:
    assert {tool.name for tool in said["tools"]} == {"search", "describe", "trace", "sql"}
    assert all(tool.annotations.read_only_hint for tool in said["tools"])
    assert all(tool.description for tool in said["tools"])


def test_an_agent_searches_describes_and_queries(said: dict[str, Any]) -> None:
    assert "dclm.documents" in [hit["name"] for hit in said["search"]["hits"]]
    assert said["describe"]["facts"]["primary key"] == "doc_id"
    assert len(said["sql"]["rows"]) == 3
    assert said["sql"]["more"] is True
    assert said["doc"]["document"]["doc_id"] == said["sql"]["rows"][0][0]


def test_personal_data_are_masked(said: dict[str, Any]) -> None:
    assert all(
        str(value).startswith("[personal data") or value is None for row in said["sql"]["rows"] for value in row[1:]
    )
    assert "https://" not in str((said["sql"], said["describe"]["rows"], said["doc"]))


def test_writing_and_files_are_refused_with_a_reason(said: dict[str, Any]) -> None:
    assert "refused" in said["write"]
    assert "read_text" in said["file"]


def test_a_commit_is_seen_by_the_next_call(said: dict[str, Any]) -> None:
    assert said["before"]["hits"] == []
    assert "glaciers" in [hit["name"] for hit in said["after"]["hits"]]
    assert ["glaciers"] in said["rows"]["rows"]
