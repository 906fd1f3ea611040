"""Small data sets on disk in the layouts of the hub's: a card whose metadata lists the configurations, and parquet files per split."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

WRAPPED = (
    "Solve the following math problem step by step. The last line of your response should be of the form Answer: $Answer (without quotes) "
    'where $Answer is the answer to the problem.\n\n{}\n\nRemember to put your answer on its own line after "Answer:".'
)
MATH = [
    {"problem": "What is $1+1$?", "level": "Level 1", "type": "Algebra", "solution": "It is $\\boxed{2}$."},
    {"problem": "Half of $3$?\n\nA line more.", "level": "Level 5", "type": "Algebra", "solution": "So $\\boxed{\\frac{3}{2}}$."},
]
DAPO_TEXTS = [("In how many ways can 3 books stand?", "6"), ("Find $x$ with\n\n$x+1=35$.", "34")]
DAPO = [
    {
        "data_source": "math_dapo",
        "prompt": [{"content": WRAPPED.format(text), "role": "user"}],
        "ability": "MATH",
        "reward_model": {"ground_truth": answer, "style": "rule-lighteval/MATH_v2"},
        "extra_info": {"index": f"uuid-{i}"},
    }
    for i, (text, answer) in enumerate(DAPO_TEXTS)
]
DAPO_PROCESSED = [
    {
        "prompt": text,
        "solution": answer,
        "data_source": "math_dapo",
        "source_prompt": [{"content": WRAPPED.format(text), "role": "user"}],
        "ability": "MATH",
        "reward_model": {"ground_truth": answer, "style": "rule-lighteval/MATH_v2"},
        "extra_info": {"index": f"uuid-{i}"},
    }
    for i, (text, answer) in enumerate(DAPO_TEXTS)
]
CHINESE = [DAPO_PROCESSED[0] | {"prompt": "求所有正整数的和。", "solution": "7"}]
GSM8K = [{"question": "Ann has 3 apples and buys 4. How many?", "answer": "She has 3 + 4 = <<3+4=7>>7 apples.\n#### 7"}]
GSM8K_TEST = [{"question": "A pen costs $1,000. How much do 2 cost?", "answer": "2 * 1,000 = <<2*1000=2000>>2,000\n#### 2,000"}]
AIME24 = [
    {"id": 60, "problem": "Find $m+n$.", "solution": "... so \\boxed{204}", "answer": "204", "url": "https://example.org", "year": "2024"}
]
AIME25 = [{"problem": "Find the sum of all bases.", "answer": "70", "id": "0"}]
MATH_500 = [
    {
        "problem": "Convert $(0,3)$ to polar coordinates.",
        "solution": "... $\\boxed{\\left( 3, \\frac{\\pi}{2} \\right)}$",
        "answer": "\\left( 3, \\frac{\\pi}{2} \\right)",
        "subject": "Precalculus",
        "level": 2,
        "unique_id": "test/precalculus/807.json",
    }
]
OLYMPIAD = [
    {
        "id": number,
        "question": question,
        "solution": ["One way.", "Another way."],
        "final_answer": answers,
        "context": None,
        "image_1": None,
        "modality": "Text-only",
        "difficulty": "Competition",
        "is_multiple_answer": several,
        "unit": None,
        "answer_type": "Numerical",
        "error": None,
        "question_type": "Open-ended",
        "subfield": "Algebra",
        "subject": "Math",
        "language": "English",
    }
    for number, question, answers, several in ((1606, "Find $a$.", ["$2$"], False), (2231, "Find all $x$.", ["$-1, 7$"], True))
]

LAYOUTS = {  # hub id: configuration to split to rows; the first configuration is the default one where it is named `default`
    "DigitalLearningGmbH/MATH-lighteval": {"default": {"train": MATH, "test": MATH[:1]}},
    "BytedTsinghua-SIA/DAPO-Math-17k": {"default": {"train": DAPO * 3}},
    "open-r1/DAPO-Math-17k-Processed": {
        "all": {"train": DAPO_PROCESSED + CHINESE},
        "cn": {"train": CHINESE},
        "en": {"train": DAPO_PROCESSED},
    },
    "openai/gsm8k": {"main": {"train": GSM8K, "test": GSM8K_TEST}, "socratic": {"train": GSM8K, "test": GSM8K_TEST}},
    "HuggingFaceH4/aime_2024": {"default": {"train": AIME24}},
    "math-ai/aime25": {"default": {"test": AIME25}},
    "HuggingFaceH4/MATH-500": {"default": {"test": MATH_500}},
    "Hothan/OlympiadBench": {"OE_TO_maths_en_COMP": {"train": OLYMPIAD}, "OE_TO_maths_zh_CEE": {"train": OLYMPIAD[:1]}},
}


def write_layout(folder: Path, name: str) -> Path:
    """The data set `name` under `folder`; returns its directory, which stands for the id."""
    root = folder / name
    configs = []
    for config, splits in LAYOUTS[name].items():
        (root / config).mkdir(parents=True)
        for split, rows in splits.items():
            pq.write_table(pa.Table.from_pylist(rows), root / config / f"{split}-00000-of-00001.parquet")
        files = [{"split": split, "path": f"{config}/{split}-*"} for split in splits]
        configs.append({"config_name": config, "data_files": files})
    (root / "README.md").write_text(f"---\n{yaml.safe_dump({'license': 'mit', 'configs': configs})}---\n# Questions\n")
    return root
