"""Programs of models in a locked-down process, and pass@k."""

from __future__ import annotations

import itertools
import os
import socket
import sys
import threading
from pathlib import Path

import pytest

from trainers.verifiers.code.extract import program_of
from trainers.verifiers.code.passes import mean_pass_at_k, pass_at_k
from trainers.verifiers.code.sandbox import Limits, protections, run_program
from trainers.verifiers.code.score import score_code

LIMITS = Limits(seconds=10)
SHORT = Limits(seconds=1)

REFUSED = {
    "a child": "import os\nos.fork()",
    "a fork bomb": "import os\nwhile True:\n    try: os.fork()\n    except OSError: raise",
    "another program": "import subprocess\nsubprocess.run([{python!r}, '-c', '1'])",
    "a socket": "import socket\nsocket.create_connection(('127.0.0.1', {port}), 1)",
    "a datagram": "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
    "a secret": "print(open({secret!r}).read())",
    "the user file": "print(open('/etc/passwd').read())",
    "the environment of the parent": "print(open('/proc/{pid}/environ', 'rb').read())",
    "a file outside": "open({outside!r}, 'w')",
    "a link to outside": "import os\nos.symlink({secret!r}, 'link')\nprint(open('link').read())",
    "the rights of a file": "import os\nos.chmod({secret!r}, 0o777)",
    "the parent": "import os\nos.kill({pid}, 9)",
    "every process": "import os\nos.kill(-1, 9)",
    "more memory by a limit": "import resource\nresource.setrlimit(resource.RLIMIT_AS, (-1, -1))",
    "memory without a limit": "import os\nos.memfd_create('x')",
    "a namespace": "import ctypes\nl = ctypes.CDLL(None, use_errno=True)\nassert l.unshare(0x10000000) == 0",
    "another user": "import os\nos.setuid(12345)",
    "a trace": "import ctypes\nassert ctypes.CDLL(None).ptrace(16, {pid}, 0, 0) == 0",
}


@pytest.fixture
def places(tmp_path: Path) -> dict[str, object]:
    """What a program may try to reach."""
    (tmp_path / "secret").write_text("secret")
    return {
        "secret": str(tmp_path / "secret"),
        "outside": str(tmp_path / "outside"),
        "pid": os.getpid(),
        "python": sys.executable,
    }


def test_this_machine_offers_every_lock() -> None:
    assert protections() == {"seccomp": True, "landlock": True}


@pytest.mark.parametrize("what", REFUSED)
def test_a_program_does_not_reach(what: str, places: dict[str, object], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        run = run_program(REFUSED[what].format(**places, port=server.getsockname()[1]), limits=LIMITS)
        with pytest.raises(BlockingIOError):
            server.accept()
    assert run.ending == "failed", run
    assert "secret" not in run.stdout
    assert not (tmp_path / "outside").exists()


@pytest.mark.parametrize(
    ("program", "ending"),
    [
        ("while True: pass", "time"),
        ("x = 9**9**9**9", "time"),
        ("import time; time.sleep(1000)", "time"),
        ("import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass", "time"),
        ("x = bytearray(10**11)", "memory"),
        ("while True: print('x' * 1000)", "output"),
        ("i = 0\nwhile True:\n    open(f'f{i}', 'w').write('x' * 10**6)\n    i += 1", "files"),
        ("f = open('big', 'wb')\nwhile True: f.write(b'0' * 10**6)", "failed"),
        (
            "import threading, time\n[threading.Thread(target=time.sleep, args=(99,)).start() for _ in range(40)]",
            "threads",
        ),
        ("exec('(' * 10000 + ')' * 10000)", "failed"),
        ("import ctypes; ctypes.string_at(0)", "failed"),
        ("\0", "failed"),
    ],
)
def test_a_program_beyond_a_limit_is_ended(program: str, ending: str) -> None:
    limits = SHORT if ending == "time" else Limits(seconds=10, memory=8 << 30 if ending == "threads" else 1 << 30)
    assert run_program(program, limits=limits).ending == ending


def test_a_program_writes_and_reads_its_own_folder_and_leaves_nothing(tmp_path: Path) -> None:
    program = "open('a', 'w').write('x'); assert open('a').read() == 'x'; import os; print(os.getcwd())"
    run = run_program(program, limits=LIMITS)
    assert run.ending == "passed"
    assert not Path(run.stdout.strip()).exists()


def test_numpy_runs() -> None:
    program = "import numpy as np\nassert (np.ones((50, 50)) @ np.ones((50, 50)))[0, 0] == 50"
    assert run_program(program, limits=LIMITS).ending == "passed"


@pytest.mark.parametrize("ending", ["import sys; sys.exit(0)", "import os; os._exit(0)", "raise SystemExit", "quit()"])
def test_a_program_that_ends_before_its_tests_does_not_pass(ending: str) -> None:
    assert run_program(ending, tests="assert False", limits=LIMITS).ending == "failed"


def test_the_environment_is_empty_and_the_reason_holds_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN_OF_A_SERVICE", "secret")
    run = run_program("import os\nassert 'TOKEN_OF_A_SERVICE' in os.environ, object()", limits=LIMITS)
    assert (run.ending, run.reason) == ("failed", "AssertionError: <object object at 0x…>")


def test_programs_run_side_by_side_in_threads() -> None:
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda n=n: found.append(run_program(f"print({n})", limits=LIMITS).stdout))
        for n in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [f"{n}\n" for n in range(6)]


def test_tests_of_humaneval_and_completions_of_a_prompt() -> None:
    prompt = "def double(x):\n"
    tests = "def check(candidate):\n    assert candidate(2) == 4\n"
    assert score_code("    return 2 * x\n", tests=tests, entry_point="double", prompt=prompt).score == 1.0
    assert score_code("    return x\n", tests=tests, entry_point="double", prompt=prompt).score == 0.0
    definition = "```python\ndef double(x):\n    return x + x\n```"
    fenced = f"Sure.\n{definition}\nUse it:\n```python\nprint(double(1))\nprint(double(2))\nprint(double(3))\n```"
    assert score_code(fenced, tests=tests, entry_point="double", prompt=prompt).score == 1.0


def test_cases_compare_what_is_printed_and_give_the_share_that_holds() -> None:
    cases = [{"stdin": "1 2\n", "stdout": "3"}, {"stdin": "5 5\n", "stdout": "11\n"}]
    verdict = score_code("a, b = map(int, input().split())\nprint(a + b)", cases=cases)
    assert (verdict.score, verdict.parts["held"], verdict.reason) == (0.5, 1, "case 2: it printed '10'")


def test_an_empty_reply_passes_no_tests() -> None:
    assert score_code("", tests="assert True").score == 0.0


@pytest.mark.parametrize(
    ("reply", "program"),
    [
        ("x = 1", "x = 1"),
        ("```\nx = 1\n```", "x = 1"),
        ("```py\nx = 1", "x = 1"),
        ("```bash\nls\n```\n```python\nx = 1\n```", "x = 1"),
        ("~~~python\nx = '''\n```\n'''\n~~~", "x = '''\n```\n'''"),
    ],
)
def test_the_program_in_a_reply(reply: str, program: str) -> None:
    assert program_of(reply) == program


def test_pass_at_k_is_the_share_of_all_draws_that_hold_a_right_sample() -> None:
    for n, c in itertools.product(range(1, 8), range(8)):
        for k in range(1, n + 1):
            if c > n:
                with pytest.raises(ValueError, match="not defined"):
                    pass_at_k(n, c, k)
                continue
            draws = list(itertools.combinations([True] * c + [False] * (n - c), k))
            assert pass_at_k(n, c, k) == pytest.approx(sum(map(any, draws)) / len(draws), abs=1e-12)
    assert mean_pass_at_k([(3, 1), (1, 1)], 2) is None
