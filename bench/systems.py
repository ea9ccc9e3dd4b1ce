"""The systems of the course material, and the functions that measure their figures again."""

from collections.abc import Callable, Sized
from functools import partial

import numpy as np
import pyarrow as pa

from bench.material import Rows, known_split, raw, trained_score
from contracts.spec import Spec
from pipeline.tables import IS_TEST, TARGET

SEEDS = (1, 2, 3, 4, 5)
INITIALIZERS = (
    "zero", "uniform", "normal", "lecun_uniform", "glorot_normal", "glorot_uniform", "he_normal", "he_uniform",
)  # fmt: skip


def _spec(**hyperparameters) -> Spec:  # type: ignore[no-untyped-def]
    return Spec(activation="relu", dropout=0.0, **hyperparameters)


IRIS = _spec(depth=2, width=(4, 128), numeric="none", optimizer="adam", learning_rate=1e-3, batch_size=32)
FASHION = _spec(depth=2, width=(300, 100), optimizer="sgd", momentum=0.0, learning_rate=1e-2, batch_size=32)
# The material's decay counts steps: 0.1 / 60 in each of the 2,143 steps of an epoch.
MNIST_SGD = _spec(
    depth=2, width=64, optimizer="sgd", momentum=0.8, learning_rate=0.1, batch_size=28,
    schedule="time", decay=0.1 / 60 * 2143,
)  # fmt: skip
MNIST_RMSPROP = _spec(depth=2, width=64, optimizer="rmsprop", learning_rate=1e-3, batch_size=32)
MNIST_DEFAULT = _spec(depth=2, width=64, optimizer="sgd", momentum=0.0, learning_rate=1e-2, batch_size=32)
HOUSING = _spec(depth=3, width=50, optimizer="adam", learning_rate=1e-3, batch_size=32)


def perceptron() -> list[float]:
    """Error of scikit-learn's Perceptron for setosa or not, from petal length and width."""
    from sklearn.linear_model import Perceptron

    table = raw("iris")
    x = table.select(["petal length (cm)", "petal width (cm)"]).to_pandas()
    y = table[TARGET].to_numpy() == "setosa"
    return [1 - Perceptron(random_state=seed).fit(x, y).score(x, y) for seed in SEEDS]


def iris(epochs: int) -> list[float]:
    """Test accuracy of the material's network for iris; each seed divides the rows anew."""
    return [trained_score("iris", partial(iris_split, seed), IRIS, epochs, seed) for seed in SEEDS]


def iris_split(seed: int, table: pa.Table) -> Rows:
    from sklearn.model_selection import train_test_split

    y = table[TARGET].to_numpy()
    rest, test = train_test_split(np.arange(len(y)), test_size=0.2, stratify=y, random_state=seed)
    n_validation = round(0.1 * len(rest))  # the last tenth, like Keras' validation_split
    return {"train": rest[:-n_validation], "validation": rest[-n_validation:], "test": test}


def images(dataset: str, spec: Spec, epochs: int, kept_back: int, part: str) -> list[float]:
    """Accuracy on `part` after training on all but the last `kept_back` of the source's training images."""
    divide = partial(images_split, kept_back)
    return [trained_score(dataset, divide, spec, epochs, seed, part) for seed in SEEDS]


def images_split(kept_back: int, table: pa.Table) -> Rows:
    is_test = table[IS_TEST].to_numpy()
    rest = np.flatnonzero(~is_test)
    n_train = len(rest) - kept_back
    # If all images are train rows, the watched ones are no validation set and are not reported.
    validation = rest[n_train:] if kept_back else rest[-5000:]
    return {"train": rest[:n_train], "validation": validation, "test": np.flatnonzero(is_test)}


def initialisers(name: str, seeds: tuple[int, ...] = SEEDS[:3]) -> list[float]:
    """Mean accuracy over three folds of the training images after 10 epochs."""
    from sklearn.model_selection import StratifiedKFold

    table = raw("mnist")
    rest = np.flatnonzero(~table[IS_TEST].to_numpy())
    y = table[TARGET].to_numpy()[rest]
    spec = MNIST_DEFAULT.model_copy(update={"initializer": name})
    splits = StratifiedKFold(3).split(rest, y)
    folds = [partial(known_split, {"train": rest[train], "validation": rest[held_out]}) for train, held_out in splits]
    return [
        float(np.mean([trained_score("mnist", fold, spec, 10, seed, "validation") for fold in folds])) for seed in seeds
    ]


def housing_split(table: Sized) -> Rows:
    """A quarter for test, then a quarter of the rest for validation, both with seed 42."""
    from sklearn.model_selection import train_test_split

    rest, test = train_test_split(np.arange(len(table)), random_state=42)
    fitted, validation = train_test_split(rest, random_state=42)
    return {"train": fitted, "validation": validation, "test": test}


def housing_scikit_learn() -> list[float]:
    """Validation RMSE of scikit-learn's MLP for five seeds, the material's seed 42 first."""
    from sklearn.neural_network import MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    table = raw("california_housing").to_pandas()
    x, y, rows = table.drop(columns=TARGET).to_numpy(), table[TARGET].to_numpy(), housing_split(table)
    fitted, validation = rows["train"], rows["validation"]

    def rmse(seed: int) -> float:
        model = make_pipeline(StandardScaler(), MLPRegressor(hidden_layer_sizes=(50, 50, 50), random_state=seed))
        return float(
            np.sqrt(np.mean(np.square(model.fit(x[fitted], y[fitted]).predict(x[validation]) - y[validation])))
        )

    return [rmse(seed) for seed in (42, *SEEDS[:4])]


def housing_keras() -> list[float]:
    """Validation RMSE of the same network in Keras for each seed."""
    housing = partial(trained_score, "california_housing", housing_split, HOUSING, 20)
    return [housing(seed, "validation", "rmse") for seed in SEEDS]


# (system, what, the material's figure) → a function that measures it for each seed
SYSTEMS: dict[tuple[str, str, str], Callable[[], list[float]]] = {
    ("S1", "Perceptron, iris petals, setosa or not: error", "0"): perceptron,
    ("S3", "iris 4-128-3, 20 epochs: test accuracy", "0.70"): partial(iris, 20),
    ("S3", "iris 4-128-3, 100 epochs: test accuracy", "0.90"): partial(iris, 100),
    ("S4", "Fashion-MNIST 300-100, SGD, 30 epochs: validation accuracy", "0.8884"): partial(
        images, "fashion_mnist", FASHION, 30, 5000, "validation"
    ),
    ("S4", "the same: test accuracy", "0.8811"): partial(images, "fashion_mnist", FASHION, 30, 5000, "test"),
    ("S5", "MNIST 64-64, SGD with momentum and decay, 60 epochs: test accuracy", "0.9757"): partial(
        images, "mnist", MNIST_SGD, 60, 0, "test"
    ),
    ("S5", "MNIST 64-64, RMSprop, 20 epochs: test accuracy", "0.9759"): partial(
        images, "mnist", MNIST_RMSPROP, 20, 0, "test"
    ),
    ("S6", "California housing, scikit-learn's MLP 50-50-50: validation RMSE", "0.505"): housing_scikit_learn,
    ("S6", "California housing, Keras 50-50-50, 20 epochs: validation RMSE", "—"): housing_keras,
    **{
        ("S15", f"MNIST, initialiser {name}, 3 folds, 10 epochs: accuracy", figure): partial(initialisers, name)
        for name in INITIALIZERS
        for figure in [{"zero": "0.112", "glorot_uniform": "0.94897"}.get(name, "0.946–0.949")]
    },
}
NOTES = (
    "S3 splits the rows anew for each seed, so its spread includes that of the split. One validation row of S6 is a",
    "district with 1,243 people per household; the prediction for it decides the mean, so read the median (the",
    "material's seed, 42, gives 0.5053). S6 in Keras learns the standardised target. The material's table does not",
    "name the optimizer and the batch size of S15. We use Keras' defaults (SGD 0.01, batches of 32) with the network",
    "of S5.",
)
