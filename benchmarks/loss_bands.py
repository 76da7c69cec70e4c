"""Errors and coverage of loss forecasts from five noisy runs, on made ladders of the five published laws.

    python -m benchmarks.loss_bands [--draws 40]

Prints, for each law and set of runs, the mean error of the forecast at 40 times the largest size, its bias, and the
share of 90% bands that hold the law's loss; then the factor of the posterior's interval that would hold 90% of all.
"""

from __future__ import annotations

import argparse

import numpy as np

from trainers.ladder.loss_holdout import WIDTH, fit_losses

REDPAJAMA = (1.84, 212 * 6**-0.136, 367 * 6**-0.136, 0.272, 0.272)
LAWS = {
    "chinchilla": (1.69, 406.4, 410.7, 0.34, 0.28),
    "chinchilla refit": (1.82, 482.0, 2085.4, 0.348, 0.366),
    "C4": (1.51, 141 * 6**-0.121, 190 * 6**-0.121, 0.242, 0.242),
    "RedPajama": REDPAJAMA,
    "RefinedWeb": (1.73, 157 * 6**-0.127, 246 * 6**-0.127, 0.254, 0.254),
}
"""E, A, B, alpha, beta: arXiv 2203.15556, 2404.10102, and three of 2403.08540."""
RUNS = {
    "11M to 411M": ((11e6, 20), (79e6, 20), (154e6, 20), (411e6, 20), (11e6, 320)),
    "20M to 160M": ((20e6, 20), (40e6, 20), (80e6, 20), (160e6, 20), (40e6, 320)),
    "50M to 400M": ((50e6, 20), (100e6, 20), (200e6, 20), (400e6, 20), (100e6, 320)),
    "10M to 250M": ((10e6, 20), (30e6, 20), (100e6, 20), (250e6, 20), (250e6, 320)),
}
AHEAD, NOISE, MULTIPLES = 40.0, 0.01, (20, 320)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=40)
    draws = parser.parse_args().draws
    ratios, random = [], np.random.default_rng(0)
    for law, (floor, size, data, alpha, beta) in LAWS.items():
        for name, runs in RUNS.items():
            n, d = np.array([n for n, _ in runs]), np.array([n * multiple for n, multiple in runs])
            fits = []
            for _ in range(draws):
                truth_R = floor + size / n**alpha + data / d**beta
                fits.append(fit_losses(n, d, truth_R * np.exp(NOISE * random.standard_normal(len(n)))))
            for multiple in MULTIPLES:
                far = AHEAD * n.max()
                truth = floor + size / far**alpha + data / (multiple * far) ** beta
                found = [fit.forecast(far, multiple * far) for fit in fits]
                errors = np.log([each.loss / truth for each in found])
                halves = np.log(
                    [
                        each.loss / each.low if e > 0 else each.high / each.loss
                        for each, e in zip(found, errors, strict=True)
                    ]
                )
                ratios.append(np.abs(errors) / halves)
                print(
                    f"{law:<17}{name}, {multiple:>3} tokens a parameter: mean error {np.abs(errors).mean():.1%}, "
                    f"bias {errors.mean():+.1%}, {np.mean(ratios[-1] <= 1):.0%} in their bands"
                )
    every = np.concatenate(ratios)
    print(
        f"{np.mean(every <= 1):.0%} of all in their bands; a factor of {WIDTH * np.quantile(every, 0.9):.2f} holds 90%"
    )


if __name__ == "__main__":
    main()
