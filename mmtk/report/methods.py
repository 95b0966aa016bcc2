"""Sentences of a report on its statistics."""

from __future__ import annotations

from mmtk.report.headlines import where_folded, worded
from mmtk.study.results import Study

FOLDS = (
    "Replicates are folds: the patients are divided into folds, evenly by class, and every image is tested once "
    "in a repeat; another repeat is another division. Validation is a share of the folds that train; nothing is "
    "chosen on the fold that is tested. Runs of one fold share splits, labelled images, batch order and initial "
    "weights, so systems are paired by fold."
)
CORRECTED = (
    "intervals and tests are the corrected resampled t over the J folds of all repeats of K: est ± "
    "t(J − 1) · √((1/J + 1/(K − 1)) · S²) with S² the variance over folds (Nadeau and Bengio 2003; Bouckaert and "
    "Frank 2004). Training sets of folds overlap, and repeats test the same patients again, so Student's t over "
    "folds would find too much; this finds rather too little."
)
ELSEWHERE = " Test sets that every run scores have the two-way interval, with folds in the place of seeds."
FOREIGN = (
    "The numbers were made by other programs. Systems are paired by the name of the seed and of the case; where "
    "runs of one seed share nothing, pairing costs power and is not wrong."
)
FOREIGN_FOLDS = (
    "The numbers were made by other programs. Replicates are folds: every case is tested in one of them. Systems "
    "are paired by fold and by the name of the case."
)
METHODS = (
    "Runs of one seed share splits, labelled images, batch order and initial weights, so systems are paired by "
    "seed.",
    "Mean ± sd: the mean over seeds and its standard deviation with divisor n − 1. Intervals are 95 %.",
    "The two-way interval and test speak of new trainings on new patients, and lead wherever a score follows "
    "from values per image. Seeds and patients are two crossed sources of chance, as readers and cases are in "
    "radiology (Dorfman, Berbaum and Metz 1992; Obuchowski and Rockette 1995; Hillis 2007): est ± t(df) · "
    "√(V_S + V_P), with V_S the squared error of the mean over seeds, V_P what patients add, from the score "
    "without each patient in turn (jackknife), and df after Satterthwaite (1946); never narrower than Student's t "
    "over seeds. All images of a patient are left out together. With one seed it speaks of new patients for these "
    "networks alone.",
    "Over seeds alone, for new trainings on these patients: mean ± t(n − 1) · sd / √n; Student's t-test, as in "
    "the paper (MultiMix, MELBA 2021), with Hedges' g; the paired t-test over the seeds that both have, with "
    "Hedges' g of the differences.",
    "Verdicts: helps or harms (of two systems: which one is better) where p is at most 0.05 after Holm's "
    "adjustment; no difference that matters where "
    "two one-sided tests at 5 % put the change within the margin (Schuirmann 1987), which Holm's adjustment does "
    "not touch; else open, as with one seed, and near the ceiling where equivalence is not claimed. The "
    "probability that the order is the other way round is half the two-sided p of the two-way test.",
    "Holm's adjustment (1979) keeps the chance of any false finding in a family below 5 %. A family of tests "
    "is all comparisons by their leading tests on the same metric; a family of effects is all effects on the "
    "same metric; both over all systems, budgets and domains.",
    "Effect of a component: mean of the systems with it minus mean of those without it, in each seed. "
    "Interaction: 1/2^(k−1) · Σ ± score over all 2^k systems (Yates 1937).",
    "Shapley share of a component: Σ |S|! (k − |S| − 1)! / k! · (score with it − score without it) over the "
    "sets S of the other components (Shapley 1953).",
    "Accuracy per image is 1 or 0. The average Hausdorff distance is the mean distance "
    "between the boundaries, HD95 the 95th percentile of it in the worse direction; in pixels (px) at run size, "
    "in mm where the spacing of every image is known; an empty mask counts with the image diagonal.",
)


def methods(study: Study) -> tuple[str, ...]:
    """Sentences on the statistics of a study."""
    texts = (FOREIGN, *METHODS[1:6]) if study.origin else METHODS
    if not study.folds:
        return texts
    where = where_folded(study)
    corrected = f"{where}{CORRECTED}"
    corrected = f"{corrected[0].upper()}{corrected[1:]}{ELSEWHERE * bool(where)}"
    first = FOREIGN_FOLDS if study.origin else FOLDS
    return (first, corrected, *(worded(text, study) for text in texts[1:]))
