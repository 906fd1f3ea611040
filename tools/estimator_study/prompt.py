"""The prompt of the sampled trajectories: three worked examples as turns of the model's own chat format (ChatML), then the question.

With the project's plain prompt SmolLM2-135M-Instruct hardly ever writes a `\\boxed{}`, so nothing it says could be graded.
"""

SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
ASK = "{q}\nPlease reason step by step, and put your final answer within \\boxed{{}}."
EXAMPLES = (
    (
        "A baker makes 12 rolls in the morning and twice as many in the afternoon. How many rolls does the baker make in all?",
        "In the afternoon the baker makes 2 * 12 = 24 rolls. In all the baker makes 12 + 24 = 36 rolls. The answer is \\boxed{36}.",
    ),
    (
        "Tom has 50 dollars. He buys 3 books at 8 dollars each. How many dollars does Tom have left?",
        "The books cost 3 * 8 = 24 dollars. Tom has 50 - 24 = 26 dollars left. The answer is \\boxed{26}.",
    ),
    (
        "A train has 80 seats, and 25% of them are empty. How many seats are taken?",
        "25% of 80 is 80 / 4 = 20 seats. The number of taken seats is 80 - 20 = 60. The answer is \\boxed{60}.",
    ),
)


def _turn(role: str, text: str) -> str:
    return f"<|im_start|>{role}\n{text}<|im_end|>\n"


def _literal(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def worked_template() -> str:
    """A value of `data.template`, for `data.chat: false`."""
    shown = "".join(_turn("user", ASK.replace("{q}", question)) + _turn("assistant", _literal(answer)) for question, answer in EXAMPLES)
    return _turn("system", SYSTEM) + shown + _turn("user", ASK) + "<|im_start|>assistant\n"
