"""A search of the space for tables begins with configurations that were good on other tables."""

import optuna
import pytest
from optuna.trial import TrialState

from contracts.settings.load import Choices, load_params
from contracts.spec import Spec
from models.search.portfolio import PORTFOLIO
from models.search.space import default_configuration, suggest
from models.search.study import open_study
from tests.models.instant import plan_of
from tests.settings_files import copy_settings, override


@pytest.fixture
def begins_with(tmp_path):
    """The space of settings, and the configurations that a new study is to try first."""

    def planned(target_scale: Choices | None = None, **search) -> tuple[dict, list[dict]]:
        path = copy_settings(tmp_path)
        override(path, "diabetes", search=search)
        params = load_params(path, "diabetes")
        space = {**params.search.space, **({"target_scale": target_scale} if target_scale else {})}
        plan = plan_of(params.model_copy(update={"search": params.search.model_copy(update={"space": space})}))
        study = open_study(plan, optuna.storages.InMemoryStorage())
        waiting = study.get_trials(states=(TrialState.WAITING,))
        return plan.search.space, [trial.system_attrs["fixed_params"] for trial in waiting]

    return planned


def scale(default: str) -> Choices:
    return Choices(type="categorical", choices=("log", "plain"), default=default)


def test_the_first_configuration_is_followed_by_what_was_good_on_other_tables(begins_with) -> None:
    space, configurations = begins_with(scale(default="plain"), space="auto")
    first = default_configuration(space)
    assert configurations == [first, *({**first, **changes} for changes in PORTFOLIO)]
    networks = [suggest(optuna.trial.FixedTrial(one), space) for one in configurations]
    assert len({Spec(**network) for network in networks}) == len(PORTFOLIO) + 1


def test_the_logarithm_is_tried_where_it_is_searched_and_only_once(begins_with) -> None:
    without = begins_with(space="auto")[1]
    assert len(without) == len(PORTFOLIO)
    assert begins_with(scale(default="log"), space="auto")[1] == [{**one, "target_scale": "log"} for one in without]


def test_a_space_that_does_not_search_what_the_portfolio_changes_has_none(begins_with) -> None:
    assert len(begins_with()[1]) == 1
    assert len(begins_with(space={"numeric": "standardise"})[1]) == 1
