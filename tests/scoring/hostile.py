r"""Responses made to hang, crash, flood or fool a verifier: at least 200, by family. Shared by the tests and by tools/bench_verifier.py."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ib_lpo.tree import Verdict

CORRECT, WRONG, NO_ANSWER, UNVERIFIABLE = Verdict.CORRECT, Verdict.WRONG, Verdict.NO_ANSWER, Verdict.UNVERIFIABLE
NOT_RIGHT = frozenset({WRONG, NO_ANSWER, UNVERIFIABLE})


class Hostile(NamedTuple):
    """An item, and the verdicts it may get."""

    name: str
    response: str
    gold: str
    allowed: frozenset[Verdict]


def corpus(canary: Path) -> list[Hostile]:
    """All items. Whatever an injection executes leaves the file `canary`."""
    families = {
        "towers": _towers(),
        "factorials": _factorials(),
        "operators": _operators(),
        "nesting": _nesting(),
        "latex": _latex(),
        "floods": _floods(),
        "braces": _braces(),
        "injections": _injections(canary),
        "look-alikes": _look_alikes(),
        "invisible": _invisible(),
        "regular expressions": _regular_expressions(),
        "empty": _empty(),
        "golds": _golds(),
    }
    return [Hostile(f"{family} {n}", *item) for family, items in families.items() for n, item in enumerate(items)]


def _boxed(expression: str, gold: str = "7", allowed: frozenset[Verdict] | Verdict = NOT_RIGHT) -> tuple[str, str, frozenset[Verdict]]:
    return f"so $\\boxed{{{expression}}}$.", gold, allowed if isinstance(allowed, frozenset) else frozenset({allowed})


def _towers() -> Iterator[tuple]:
    for base, top in ((10, 10), (9, 9), (2, 1000), (7, 77)):
        yield _boxed(f"{base}^{{{top}^{{{top}}}}}")
        yield _boxed(f"{base}^{{{top}^{{{top}^{{{top}}}}}}}")
        yield _boxed(f"{base}**{top}**{top}")
    for height in (5, 20, 100):
        yield _boxed("2^{" * height + "2" + "}" * height)
        yield _boxed("x^{" * height + "x" + "}" * height)
        yield _boxed("^".join(["9"] * height))
    yield from (_boxed(f"{n}^{{{e}}}") for n, e in ((10, 10**9), (10, 10**30), (3, 999_999), (2, -(10**12)), (1.0000001, 10**15)))
    yield _boxed("10^{10^{10}}", "10^{10^{10}}", CORRECT)
    yield _boxed("0^{0^{0^{0}}}")
    yield _boxed("((((9^{99})^{99})^{99})^{99})^{99}")
    yield _boxed("(10^{10})^{(10^{10})}")
    yield _boxed(r"10^{\frac{10^{10}}{1}}")
    yield _boxed("1e999999999")
    yield _boxed("0.1^{1000000000}")


def _factorials() -> Iterator[tuple]:
    yield from (_boxed(f"{n}!") for n in (10**5, 10**6, 10**9, 10**30))
    yield from (_boxed(f"({n})!") for n in (10**6, "10^{6}", "10^{9}"))
    yield _boxed("((((10!)!)!)!)!")
    yield _boxed("9" + "!" * 50)
    yield _boxed("3!!!!")
    yield _boxed(r"\binom{1000000}{500000}")
    yield _boxed(r"\binom{10^9}{10^8}")
    yield _boxed(r"\frac{100000!}{99999!}", "100000")
    yield _boxed(r"\frac{10000000!}{9999999!}")
    yield _boxed(r"\Gamma(10^{12})")
    yield _boxed("1000000!", "1000000!", CORRECT)


def _operators() -> Iterator[tuple]:
    for bound in (10**5, 10**7, 10**100):
        yield _boxed(rf"\sum_{{i=1}}^{{{bound}}} i^2")
        yield _boxed(rf"\prod_{{i=1}}^{{{bound}}} i")
        yield _boxed(rf"\sum_{{i=1}}^{{{bound}}} \frac{{1}}{{i!}}")
    yield _boxed(r"\sum_{i=1}^{999}\sum_{j=1}^{999}\sum_{k=1}^{999} ijk")
    yield _boxed(r"\prod_{p}\frac{1}{1-p^{-2}}")
    yield _boxed(r"\sum_{n=1}^{\infty} \sin(n^n)")
    yield _boxed(r"\int_0^1 e^{-x^2}\sin(x^3)\,dx")
    yield _boxed(r"\int_0^\infty \frac{\sin x^x}{x^{x}}\,dx")
    yield _boxed(r"\iiint e^{xyz}\,dx\,dy\,dz")
    yield _boxed(r"\int" * 30 + " x" + " dx" * 30)
    yield _boxed(r"\lim_{x\to0}\frac{\sin x^{x^x}}{x}")
    yield _boxed(r"\lim_{n\to\infty}(1+\frac1n)^{n^{n^n}}")
    yield _boxed(r"\frac{d^{1000}}{dx^{1000}} e^{x^{x}}")
    yield _boxed("(a+b+c+d+e)^{200}")
    yield _boxed("(a+b+c+d+e+f+g)^{9999}")
    yield _boxed("(x+1)^{50}(x+2)^{50}(x+3)^{50}(x+4)^{50}")
    yield _boxed(r"\sqrt[1000000]{2}^{99999999}")
    yield _boxed(r"\det\begin{pmatrix}" + r"\\".join("&".join(f"x_{{{i}{j}}}" for j in range(8)) for i in range(8)) + r"\end{pmatrix}")
    yield _boxed(r"\begin{pmatrix}1&2\\3&4\end{pmatrix}^{1000000}")
    yield _boxed(r"999999999999999999999999^{1000} \mod 7")
    yield _boxed(r"\gcd(10^{1000},10^{999}+1)")
    yield _boxed(r"\sin(10^{30})")
    yield _boxed(r"\sin(\cos(\tan(\sin(\cos(\tan(x))))))")


def _nesting() -> Iterator[tuple]:
    for levels in (13, 60, 300, 900):
        yield _boxed("(" * levels + "1" + ")" * levels)
        yield _boxed("{" * levels + "1" + "}" * levels)
        yield _boxed("[" * levels + "1" + "]" * levels)
    for levels in (10, 40, 300):
        yield _boxed(r"\frac{1}{" * levels + "2" + "}" * levels)
        yield _boxed(r"\sqrt{" * levels + "2" + "}" * levels)
        yield _boxed(r"\left(" * levels + "8" + r"\right)" * levels)
        yield _boxed(r"\sin(" * levels + "x" + ")" * levels)
    yield _boxed("|" * 40 + "x" + "|" * 40)
    yield _boxed("(" * 60 + "1+" * 60 + "1" + ")" * 60)
    yield _boxed(r"\{" * 50 + "1" + r"\}" * 50)
    yield _boxed("(1," * 200 + "1" + ")" * 200)
    yield _boxed(r"\text{" * 100 + "7" + "}" * 100, "7", CORRECT)
    yield _boxed(r"\boxed{" * 50 + "8" + "}" * 50, "7", WRONG)


def _latex() -> Iterator[tuple]:
    for text in (
        r"\frac{1}{0}",
        r"\frac{0}{0}",
        r"0^{-1}",
        r"\log_{1}{5}",
        r"\log_0 0",
        r"\sqrt[0]{5}",
        r"\infty-\infty",
        r"\frac{\infty}{\infty}",
        r"\begin{cases}1&x>0\\",
        r"\begin{pmatrix}1&2\\3\end{pmatrix}",
        r"\begin{pmatrix}\end{pmatrix}",
        r"\left(",
        r"\right)",
        r"\\\\\\\\\\\\",
        r"\def\x{\x\x}\x",
        r"\newcommand{\a}{\a\a}\a",
        r"\loop\iftrue\repeat",
        r"\csname x\endcsname",
        r"\expandafter\expandafter\expandafter",
        r"\href{javascript:alert(1)}{7}",
        r"\verb|7|",
        r"\unknowncommand{7}",
        r"\not= 7",
        r"7 \neq 7",
        r"\neg 7",
        r"\approx 7.4",
        r"7 \pm 7",
        r"7 \text{ or } 8",
        r"7, 8, 9, \ldots",
        r"\{7, \ldots\}",
        r"(-\infty, 7)",
        r"x \equiv 7 \pmod{0}",
        "-" * 200 + "8",
        "+" * 500 + "8",
        "7=8=9=10",
        "7<8>9<10>11",
        "1/2/3/4/5/6/7/8/9",
        "x_{x_{x_{x_{x_{x}}}}}",
        "&" * 50,
        "%" * 300,
        "~" * 300 + "8",
        "$" * 300 + "8",
    ):
        yield _boxed(text)


def _floods() -> Iterator[tuple]:
    yield "w" * 5_000_000 + r"\boxed{7}", "7", frozenset({CORRECT})
    yield r"\boxed{" + "9" * 10_000 + "}", "7", frozenset({UNVERIFIABLE})
    yield r"\boxed{" + "9" * 1_000_000 + "}", "7", NOT_RIGHT
    yield "\\" * 2_000_000, "7", frozenset({NO_ANSWER})
    yield "\U0001f642" * 1_000_000 + r"\boxed{7}", "7", frozenset({CORRECT})
    yield r"\boxed{1}" * 200_000 + r"\boxed{7}", "7", frozenset({CORRECT})
    yield r"\boxed{7}" + "\n" * 3_000_000, "7", NOT_RIGHT
    yield "####" * 500_000, "7", frozenset({NO_ANSWER})
    yield "x" * 9_000_000 + r"\boxed{7}", "7", frozenset({UNVERIFIABLE})
    for piece in ("1+", "x+", "1*", "x y ", "1,", "7 ", r"\pi ", r"\frac12+", "x^2+", r"\sin x+", "0.", "(", "a=", "<", r"\text{a}"):
        yield _boxed((piece * 2000)[:2000] + "1")
    yield _boxed("9" * 2000)
    yield _boxed("0." + "3" * 1900)
    yield _boxed("1" + "0" * 1500 + "/" + "3" * 500)
    yield _boxed(r"\{" + ",".join(map(str, range(500))) + r"\}", r"\{" + ",".join(map(str, range(1, 501))) + r"\}", WRONG)
    yield _boxed(",".join(["1"] * 900), ",".join(["1"] * 899), WRONG)


def _braces() -> Iterator[tuple]:
    yield r"\boxed{" * 300_000, "7", frozenset({NO_ANSWER})
    yield "}" * 300_000 + r"\boxed{7}", "7", frozenset({CORRECT})
    yield "{" * 300_000 + r"\boxed{7}", "7", frozenset({CORRECT})
    yield r"\boxed{7", "7", frozenset({NO_ANSWER})
    yield r"\boxed7", "7", frozenset({NO_ANSWER})
    yield r"\boxed{7\}", "7", frozenset({NO_ANSWER})
    yield r"\boxed{\{7}", "7", NOT_RIGHT
    yield r"\boxed{7}}}}", "7", frozenset({CORRECT})
    yield r"\boxed{8}\boxed{7", "7", frozenset({WRONG})
    yield r"\boxed{7}\boxed{", "7", frozenset({CORRECT})
    yield r"\boxed{7}\boxed{}", "7", frozenset({CORRECT})
    yield r"\boxed{\boxed{\boxed{7}}}", "7", frozenset({CORRECT})
    yield r"\\boxed{7}", "7", frozenset({CORRECT})
    yield r"boxed{7}", "7", frozenset({NO_ANSWER})
    yield r"\boxed{\frac{1}{2}", r"\frac{1}{2}", NOT_RIGHT
    yield r"\boxed" + " " * 100_000 + "{7}", "7", NOT_RIGHT | {CORRECT}
    for text in (")7(", "]7[", r"\}7\{", "(7", "7)", "[7)", "(7,8", "7,8)", "{7", r"\frac{7}", r"\frac{7}{", r"\sqrt{"):
        yield _boxed(text, "7", NOT_RIGHT | {CORRECT} if text == "{7" else NOT_RIGHT)


def _injections(canary: Path) -> Iterator[tuple]:
    touch = f"touch {canary}"
    opened = f"open('{canary}','w')"
    for spell in (
        f"__import__('os').system('{touch}')",
        f'exec("{opened}")',
        f'eval("{opened}")',
        f"(lambda: {opened})()",
        f"7); {opened}; (7",
        f"[x for x in [{opened}]]",
        f"().__class__.__base__.__subclasses__()[0]({opened})",
        f'sympify("{opened}")',
        f"parse_expr('{opened}')",
        f"lambdify([], '{opened}')()",
        f"Symbol('x', {opened})",
        f"Function('{opened}')(7)",
        f"getattr(__builtins__, 'open')('{canary}', 'w')",
        f"globals()['__builtins__']['open']('{canary}','w')",
        f"import os\nos.system('{touch}')",
        f"@{opened}",
        f"f'{{{opened}}}'",
        f"`{touch}`",
        f"$({touch})",
        f"; {touch};",
        f"| {touch}",
        f"\\input{{|{touch}}}",
        f"\\write18{{{touch}}}",
        f"\\immediate\\write18{{{touch}}}",
        f"\\openout15={canary}",
        f"\\text{{__import__('os').system('{touch}')}}",
        f"\\operatorname{{{opened}}}",
        f"\\mathrm{{eval}}({opened})",
        f"x_{{{opened}}}",
        f"7 if {opened} else 8",
        f"7 or {opened}",
        f"{{{{{opened}}}}}",
        f"%s % {opened}",
        "cos\nsystem\n(S'" + touch + "'\ntR.",
    ):
        yield _boxed(spell)
        yield spell, spell, frozenset(Verdict) - {CORRECT}


def _look_alikes() -> Iterator[tuple]:
    for text, gold in (
        ("\u0667", "7"),  # Arabic-Indic seven
        ("\u096d", "7"),  # Devanagari seven
        ("\uff17", "7"),  # full width
        ("\U0001d7d5", "7"),  # bold
        ("\u2077", "7"),  # superscript
        ("\u2466", "7"),  # circled
        ("\u0445", "x"),  # Cyrillic
        ("\u03c7", "x"),  # Greek
        ("\U0001d465", "x"),  # italic
        ("\u0430+b", "a+b"),
        ("\u0391", "A"),
        ("\u0392", "B"),
        ("\uff21", "A"),
        ("(\u0412)", "B"),
        ("1\u20442", "1/2"),  # fraction slash
        ("\u00bd", "2"),
        ("1\u066c234", "1234"),
        ("1\uff0c234", "12"),
        ("\u20137", "7"),  # en dash
        ("7\u00b2", "7"),
        ("\u4e03", "7"),
        ("VII", "7"),
        ("\u2166", "7"),
        ("O", "0"),
        ("l", "1"),
        ("Y\u0435s", "Yes"),
    ):
        yield _boxed(text, gold)


def _invisible() -> Iterator[tuple]:
    for text in ("7\u200b", "\ufeff7", "\u20607", "7\u200d", "\u200c7"):
        yield _boxed(text, "7", CORRECT)
    yield _boxed("1\u200b2", "12", CORRECT)
    yield _boxed("\u200b")
    for text in ("\u202e12\u202c", "\u202d12", "\u206712\u2069", "12\u200f", "\u061c12"):
        yield _boxed(text, "21")
    for text in (
        "\x007",
        "7\x00",
        "\x00",
        "7\x008",
        "\x1b[31m7",
        "7\x08" + "8",
        "\x7f",
        "\ud800",
        "7\udfff",
        "7\u0338",
        "\u03007",
        "7" + "\u0301" * 500,
    ):
        yield _boxed(text, "8")
    yield "\x00\\boxed{7}\ud800", "7", frozenset({CORRECT})
    yield "\ud800" * 1000, "7", frozenset({NO_ANSWER})


def _regular_expressions() -> Iterator[tuple]:
    for response in (
        "#### 5" + " " * 1_000_000 + "x",
        "####5<" * 200_000,
        "#### " + "1," * 500_000 + "x",
        "#### " + "1" * 60_000 + "x",
        "\\boxed" + " " * 1_000_000,
        "\\boxed \n" * 200_000,
        "$" * 100_000,
        "final answer is " * 50_000,
        "#" * 1_000_000,
    ):
        yield response, "7", frozenset({NO_ANSWER})
    for text in (
        "1," * 900 + "x",
        "1 " * 900 + "x",
        "0" * 1500 + "x",
        " " * 1500 + "x",
        "a b " * 400 + "!",
        "a " * 900 + "cm cm",
        "5 " + "square " * 200 + "cm^",
        r"\text{a}" * 250,
        r"\text{ and }" * 150 + "x",
        r"\left" * 300 + "x",
        "$\\$" * 400,
        "-" * 1500 + "x",
        "9.9" * 600,
        "=" * 1500,
        "x=" * 700 + "8",
        "(x)=" * 400 + "8",
        "^" * 1000,
        r"\frac" * 300,
        r"\frac1" * 300,
        "|" * 1000,
        r"\sum" * 300,
        "1!" * 700,
        "^{" * 500,
        "(A)" * 500,
        "A." * 700,
        r"{,}" * 500,
    ):
        yield _boxed(text)


def _empty() -> Iterator[tuple]:
    for response in (
        "",
        " ",
        "\n" * 1000,
        r"\boxed{}",
        r"\boxed{ }",
        r"\boxed{\,\;~}",
        r"\boxed{.}",
        r"\boxed{$$}",
        r"\boxed{\text{}}",
        "####",
        "#### ",
        "#### x",
    ):
        yield response, "7", frozenset({NO_ANSWER})


def _golds() -> Iterator[tuple]:
    for gold in (
        "",
        " ",
        r"\frac{",
        "?!",
        "10^{10^{10}}",
        "1000000!",
        r"\int_0^1 x^x dx",
        "9" * 5000,
        "(" * 500,
        "\x00",
        "\ud800",
        "}" * 100_000,
    ):
        yield _boxed("7", gold, UNVERIFIABLE)
    yield _boxed("7", "7" * 5_000_000, UNVERIFIABLE)
