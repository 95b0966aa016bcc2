"""Guesses of a class from attributes alone, by a logistic regression of scikit-learn."""

from __future__ import annotations

import numpy as np

FOLDS = 5

Folds = list[tuple[np.ndarray, np.ndarray]]  # rows to learn from, rows to guess


def patient_folds(positive: np.ndarray, patients: np.ndarray) -> Folds | None:
    """Folds of all images, each patient in one; None where a class has fewer patients than there are folds.

    positive: [images], whether an image is of the class
    patients: [images], numbers
    """
    smaller = min(len(np.unique(patients[positive == side])) for side in (True, False))
    if smaller < FOLDS:
        return None
    from sklearn.model_selection import StratifiedGroupKFold

    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    return [*folds.split(positive, positive, groups=patients)]


def guess(features: np.ndarray, positive: np.ndarray, folds: Folds) -> np.ndarray:
    """Score [images] of the positive class, of every image by a model that saw other patients alone.

    features: [images, columns]; NaN counts as the mean of its column
    positive: [images], whether an image is of the class
    folds: of the patients
    """
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression(max_iter=1000))
    scores = cross_val_predict(model, features, positive, cv=folds, method="decision_function", n_jobs=1)
    return np.asarray(scores, float)
