"""Pairs of mathematical answers: (right answer, final answer of a reply, whether they are equal)."""

from __future__ import annotations

EQUAL = r"""
0.5 | \frac{1}{2}
\frac{1}{2} | \dfrac12
\frac{1}{2} | 0.50
\frac{1}{2} | 1/2
-\frac{3}{4} | -0.75
-\frac{3}{4} | \frac{-3}{4}
\frac{2}{4} | \frac{1}{2}
3 | 3.0
3 | \boxed{3}
1000 | 1,000
1000000 | 1,000,000
12 | \$12
12 | 12\text{ cm}
45 | 45^\circ
45 | 45^{\circ}
50 | 50\%
2x+1 | 1+2x
x^2-1 | (x-1)(x+1)
(x+1)^2 | x^2+2x+1
2\sqrt{3} | \sqrt{12}
\sqrt{8} | 2\sqrt{2}
\frac{\sqrt{2}}{2} | \frac{1}{\sqrt{2}}
\sqrt{2} | \sqrt2
\pi | \pi
2\pi | \pi \cdot 2
\frac{\pi}{2} | \frac12\pi
2^{10} | 1024
10^3 | 1000
3! | 6
\binom{5}{2} | 10
(1,2) | (1, 2)
(1,2,3) | (1,2,3)
(-1,\frac{1}{2}) | (-1, 0.5)
\{1,2\} | \{2,1\}
[0,1] | [0, 1]
(0,1] | (0,1]
(-\infty,2) | (-\infty, 2)
x=5 | 5
5 | x=5
x=5 | x = 5
y=2x | y = 2x
x \le 3 | x \leq 3
x<3 | 3>x
\text{A} | A
\text{even} | \text{even}
i | i
3+4i | 4i+3
2-3i | -3i+2
\log 2 | \log 2
\ln 2 | \ln 2
e^2 | e^{2}
\frac{x}{y} | x/y
\frac{a+b}{2} | \frac{1}{2}(a+b)
a^2b | b a^2
\begin{pmatrix}1&2\\3&4\end{pmatrix} | \begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}
0.333333 | 0.333333
\frac{22}{7} | \frac{44}{14}
7.25 | \frac{29}{4}
-7 | -7
0 | 0.0
1 | \frac{5}{5}
\sin x | \sin(x)
\frac{1}{x} | x^{-1}
3\frac{1}{2} | 3.5
1{,}234 | 1234
2 \times 3 | 6
\tfrac{3}{5} | 0.6
\left(1,2\right) | (1,2)
\frac{9}{3} | 3
4x-8 | 4(x-2)
"""

UNEQUAL = r"""
0.5 | \frac{1}{3}
\frac{1}{2} | 2
\frac{1}{2} | -\frac{1}{2}
-\frac{3}{4} | 0.75
3 | 3.1
3 | 33
1000 | 100
12 | 13
45 | 54
2x+1 | 2x-1
x^2-1 | x^2+1
(x+1)^2 | x^2+1
2\sqrt{3} | 3\sqrt{2}
\sqrt{8} | \sqrt{2}
\frac{\sqrt{2}}{2} | \sqrt{2}
\pi | 3.14
2\pi | \pi
\pi | 3
2^{10} | 2048
3! | 3
\binom{5}{2} | 5
(1,2) | (2,1)
(1,2,3) | (1,2)
(1,2) | (1,2,3)
\{1,2\} | \{1,3\}
[0,1] | (0,1)
(0,1] | [0,1)
(-\infty,2) | (-\infty,3)
x=5 | x=6
x=5 | 6
y=2x | y=3x
x \le 3 | x < 3
x<3 | x>3
\text{A} | B
\text{even} | \text{odd}
i | -i
3+4i | 3-4i
2-3i | 2+3i
\log 2 | \log 3
\ln 2 | 2
e^2 | e^3
\frac{x}{y} | \frac{y}{x}
\frac{a+b}{2} | a+b
a^2b | ab^2
\begin{pmatrix}1&2\\3&4\end{pmatrix} | \begin{pmatrix}1&2\\4&3\end{pmatrix}
\frac{22}{7} | 3.14
7.25 | 7.5
-7 | 7
0 | 1
1 | -1
\sin x | \cos x
\frac{1}{x} | x
3\frac{1}{2} | \frac{3}{2}
1{,}234 | 1235
2 \times 3 | 5
\tfrac{3}{5} | \frac{5}{3}
\frac{9}{3} | 9
4x-8 | 4x-2
5 | \text{none}
5 | no solution
17 | 1.7
17 | 71
100 | 1000
\frac{2}{3} | 0.66
\frac{2}{3} | 0.7
x+y | x-y
xy | x+y
a | b
2 | 2x
2x | 2
n^2 | 2n
\sqrt{x} | x
|x| | x
3:2 | 2:3
12 | 1, 2
1, 2 | 12
-2 | 2
6 | 9
0.1 | 0.01
99 | 100
"""


def pairs() -> list[tuple[str, str, bool]]:
    """Every pair."""
    found = []
    for block, equal in ((EQUAL, True), (UNEQUAL, False)):
        for line in block.strip().splitlines():
            gold, reply = line.split(" | ")
            found.append((gold.strip(), reply.strip(), equal))
    return found
