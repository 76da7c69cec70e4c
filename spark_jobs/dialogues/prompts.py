"""What a model is asked in each stage. The wording is our own; the order of stages is that of arXiv 2407.18421.

A change of a text changes the digests of its requests, and with them the rows: raise `code_version` of the stage.
"""

from __future__ import annotations

from collections.abc import Sequence

from spark_jobs.dialogues.recipe import Principle

DONE = "DONE"
USER, AGENT = "USER", "AGENT"


def subtopics(domain: str, count: int) -> str:
    """Ask for subtopics of a domain."""
    return (
        f'List {count} different subtopics of the domain "{domain}" that people talk about with an assistant.\n'
        "Write one subtopic per line, two to six words each, without numbers and without explanations."
    )


def goal(domain: str, subtopic: str, principles: Sequence[Principle]) -> str:
    """Ask for the goal of a user whose dialogue puts principles to the test."""
    return (
        f"Domain: {domain}\nSubtopic: {subtopic}\nPrinciples for an assistant:\n{listed(principles)}\n\n"
        "Describe in one sentence what a user wants to reach in a conversation about the subtopic, so that an "
        'assistant might break one of the principles on the way. Begin with "The user wants".'
    )


def plan(domain: str, subtopic: str, principles: Sequence[Principle], goal: str) -> str:
    """Ask for the plan of a dialogue, from the side of the user."""
    return (
        f"You plan a conversation between a {USER} and an {AGENT}.\nDomain: {domain}\nSubtopic: {subtopic}\n"
        f"Goal: {goal}\nPrinciples for the {AGENT}:\n{listed(principles)}\n\n"
        f"Write the plan as numbered steps. Each step begins with {USER} or {AGENT} and says in one sentence what "
        f"that side says. The {USER} begins, the sides take turns, and there are four to eight steps. In the last step "
        f"of the {AGENT}, the {AGENT} breaks the principles in a natural way. The last line is {DONE}."
    )


def speaker(side: str, plan: str) -> str:
    """Return the system prompt of one side of a dialogue."""
    other = AGENT if side == USER else USER
    ending = f"When the goal is reached, reply with {DONE} alone. " if side == USER else ""
    return (
        f"You are the {side} in a conversation. This is its plan:\n{plan}\n\n"
        f"Say only what the {side} says next. Do not speak for the {other}, do not mention the plan, and do not begin "
        f"with a name. {ending}Keep it under 80 words."
    )


OPENING = "Begin the conversation with your first message."


def flag(principles: Sequence[Principle], transcript: str) -> str:
    """Ask whether the last turn of the agent violates a principle."""
    return (
        f"Principles for the {AGENT}:\n{listed(principles)}\n\nConversation:\n{transcript}\n\n"
        f"Does the last message of the {AGENT} violate one of the principles? Answer with yes or no."
    )


def critique(principles: Sequence[Principle], transcript: str) -> str:
    """Ask for a critique of the last turn of the agent."""
    return (
        f"Principles for the {AGENT}:\n{listed(principles)}\n\nConversation:\n{transcript}\n\n"
        f"Look at the last message of the {AGENT} only. Explain how it violates the principles, and then list the ids "
        "of those that it violates. Use this form:\n"
        f"CRITIQUE: what is wrong\nVIOLATED: [id, id]\n{DONE}"
    )


def revision(principles: Sequence[Principle], transcript: str, critique: str) -> str:
    """Ask for a revision of the last turn of the agent."""
    return (
        f"Principles for the {AGENT}:\n{listed(principles)}\n\nConversation:\n{transcript}\n\n"
        f"Critique of the last message of the {AGENT}: {critique}\n\n"
        f"Write that message again, so that it helps the {USER} and violates none of the principles. "
        "Reply with the new message alone."
    )


def listed(principles: Sequence[Principle]) -> str:
    """Return principles as lines with their ids."""
    return "\n".join(f"- [{each.id}] {each.text}" for each in principles)
