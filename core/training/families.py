"""Families of recipes: what the lecture's figures compare. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Family:
    """Recipes that differ in one thing."""

    title: str
    question: str  # what the comparison asks
    source: str  # the paper behind it
    digits: tuple[str, ...]
    cifar: tuple[str, ...] = ()

    @property
    def recipes(self) -> tuple[str, ...]:
        return self.digits + self.cifar


FAMILIES = {
    "optimisers": Family(
        "Optimisers",
        "Does neural collapse depend on the algorithm?",
        "Zhu et al. 2021",
        ("digits-ce", "digits-adam", "digits-lbfgs"),
        ("cifar-ce", "cifar-adam"),
    ),
    "losses": Family(
        "Losses",
        "Are all losses created equal?",
        "Zhou et al. 2022",
        ("digits-ce", "digits-focal", "digits-ls", "digits-mse"),
        ("cifar-ce", "cifar-focal", "cifar-ls", "cifar-mse"),
    ),
    "labels": Family(
        "Labels and inputs",
        "Does it need labels or images that mean something?",
        "Zhang et al. 2017; Zhu et al. 2021",
        (
            "digits-ce",
            "digits-labels-50",
            "digits-labels-100",
            "digits-labels-100-w64",
            "digits-labels-100-w256",
            "digits-labels-100-w512",
            "digits-pixels",
        ),
        ("cifar-ce", "cifar-labels-100"),
    ),
    "classifiers": Family(
        "Classifiers",
        "Must the classifier be learned?",
        "Zhu et al. 2021; Jiang et al. 2023",
        ("digits-ce", "digits-d10", "digits-etf", "digits-etf-d10", "digits-cmf"),
        ("cifar-ce", "cifar-etf", "cifar-etf-d10", "cifar-cmf"),
    ),
    "fine-tuning": Family(
        "Fine-tuning",
        "Which classifier carries over to shifted images?",
        "Kumar et al. 2022; Jiang et al. 2023",
        ("digits-tuned-linear", "digits-tuned-cmf", "digits-tuned-lp"),
        ("cifar-tuned-linear", "cifar-tuned-cmf", "cifar-tuned-lp"),
    ),
    "regularisation": Family(
        "Regularisation",
        "What do weight decay and batch norm do?",
        "Zhu et al. 2021; Rangamani and Banburski-Fahey 2022",
        ("digits-ce", "digits-no-decay", "digits-no-bn", "digits-no-bn-no-decay"),
        ("cifar-ce", "cifar-no-decay"),
    ),
    "imbalance": Family(
        "Imbalance",
        "What if some classes have few images?",
        "Fang et al. 2021",
        ("digits-ce", "digits-imbalanced-5", "digits-imbalanced-20", "digits-imbalanced-70"),
        ("cifar-ce", "cifar-imbalanced-20"),
    ),
}
