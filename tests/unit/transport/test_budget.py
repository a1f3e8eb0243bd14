from gproc.transport.budget import Budget


def test_a_budget_is_spent_and_refills_with_time() -> None:
    budget = Budget(10, 5.0, now=0.0)
    assert all(budget.spend(now=0.0) for _ in range(10))
    assert not budget.spend(now=0.0)
    assert budget.spend(now=1.0)  # two came back, one was owed
    assert not budget.spend(now=1.0)


def test_a_budget_never_holds_more_than_its_size() -> None:
    budget = Budget(2, 1.0, now=0.0)
    assert [budget.spend(now=1000.0) for _ in range(3)] == [True, True, False]


def test_what_was_earned_is_spent_first() -> None:
    budget = Budget(1, 1000.0, now=0.0)
    budget.earn(3)
    assert [budget.spend(now=0.0) for _ in range(5)] == [True] * 4 + [False]
