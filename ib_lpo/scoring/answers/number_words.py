"""Words that may not be dropped after a number: they change it, deny it, or are mathematics themselves."""

import re

_ORDINAL = (
    r"(?:[a-z]+-)?(?:four|fif|six|seven|eigh|nin|ten|eleven|twelf|[a-z]+teen|(?:twen|thir|for|fif|six|seven|eigh|nine)tie|hundred|thousand"
    r"|[a-z]*llion)ths?"
)
_CHANGING = (
    "or and if when where mod modulo more less than least most remainder for not to between such from base is are was be as the so has have"
    " out but except instead yes no none never true false impossible undefined maybe probably hence therefore answer wrong correct off of"
    " below above under over after before beyond up down zero missing short away then else unless without"
    " squared cubed factorial half halves third thirds quarter quarters tens dozens score scores hundreds thousands millions billions"
    " couple googol gross kilo mega giga plus minus times choose divided power root roots prime st nd rd th pair pairs double twice"
    " triple negative positive inverse conjugate percent percentage infinity infinite inf"
    " sin cos tan cot csc arcsin arccos arctan sinh cosh tanh log ln lg exp sqrt cbrt abs max gcd lcm det lim mod floor ceil"
    " alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma tau upsilon phi chi psi"
)
NO_UNIT = re.compile(rf"(?<![A-Za-z'])(?:{_CHANGING.replace(' ', '|')}|{_ORDINAL})(?![A-Za-z'])", re.IGNORECASE)
_DOZENS = {"dozen": 12, "gross": 144}
_TENS = {
    "hundred": 2,
    "thousand": 3,
    "lakh": 5,
    "million": 6,
    "crore": 7,
    "billion": 9,
    "trillion": 12,
    "quadrillion": 15,
    "quintillion": 18,
}
_PARTS = {
    **{"tenth": -1, "hundredth": -2, "thousandth": -3, "ten-thousandth": -4, "hundred-thousandth": -5},
    **{"millionth": -6, "billionth": -9, "trillionth": -12},
}
SCALES = {
    **{word: f"\\cdot{times}" for word, times in _DOZENS.items()},
    **{word: f"\\cdot10^{{{power}}}" for word, power in (_TENS | _PARTS | {f"{word}s": power for word, power in _PARTS.items()}).items()},
}
