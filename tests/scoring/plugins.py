"""Rewards as a user would write them, good and bad; named in tests by their dotted path."""

import multiprocessing
import os
import time
from pathlib import Path

from ib_lpo.scoring.grades import CORRECT, NO_ANSWER, WRONG, Grade

HERE = "tests.scoring.plugins"


def ends_with(response: str, answer: str) -> float:
    return float(response.endswith(answer))


def partial(response: str, answer: str) -> float:
    """The share of the answer's words that the response has."""
    words = answer.split()
    return sum(word in response.split() for word in words) / len(words)


def last_line(response: str, answer: str) -> Grade:
    """Grades the last line, and says that it is the answer."""
    said = response.splitlines()[-1]
    return (CORRECT if said == answer else WRONG)._replace(answer=said)


def mixed(response: str, answer: str):
    """Does what the response says."""
    if response == "raise":
        raise RuntimeError("as asked")
    if response == "exit":
        os._exit(3)
    if response == "swallow":
        return _swallowing()
    if response == "hog":
        return len([bytearray(1 << 20) for _ in range(4096)])
    while response == "hang":
        time.sleep(0.01)
    print("to stdout, which is not shown")
    return {"none": None, "nan": float("nan"), "two": 2.0, "silent": NO_ANSWER, "third": 1 / 3}.get(response, 1.0)


def forking(response: str, answer: str) -> float:
    """The share that the response names; a child comes back from here as well, and says something else."""
    how, share, *path = response.split()
    if how == "multiprocessing":
        child = multiprocessing.get_context("fork").Process(target=print)
        child.start()
        child.join()
        return float(share)
    pid = os.fork()
    if pid == 0:
        while how == "fork_and_stay":
            time.sleep(0.05)
        return 1.0 - float(share) / 2
    if how == "fork_and_wait":
        os.waitpid(pid, 0)
    if path:
        Path(path[0]).write_text(str(pid))
    return float(share)


def _swallowing() -> bool:
    held = []
    try:
        while len(held) < 1000:
            held.append(bytearray(1 << 20))
    except MemoryError:
        return False
    return True


class Digits:
    """A reward with an opinion about gold answers."""

    def __call__(self, response: str, answer: str) -> float:
        return float(response.strip() == answer)

    def accepts(self, answer: str) -> bool:
        if answer == "raise":
            raise ValueError(answer)
        while answer == "hang":
            time.sleep(0.01)
        return answer.isdecimal()


digits = Digits()
NUMBER = 7
