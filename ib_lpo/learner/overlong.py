"""Soft overlong punishment (DAPO, arXiv 2503.14476): a response that nears the length limit is worth less than a shorter one.

It changes the reward that advantages are made of, never Trajectory.reward, which stays what the verifier found.
"""


def overlong_reward(length: int, *, max_response_tokens: int, buffer: int, penalty: float) -> float:
    """What is added to the reward of a response of `length` tokens: 0 up to max_response_tokens - buffer, then linearly down to -penalty.

    Lengths in tokens; `buffer` 0 turns it off.
    """
    over = length - (max_response_tokens - buffer)
    return -penalty * min(over / buffer, 1.0) if buffer > 0 and over > 0 else 0.0
