"""A table of the shape of the Titanic's passenger list: whole-number classes, ids, names, codes, gaps."""

import random


def titanic_like(n: int, seed: int = 0) -> str:
    chance = random.Random(seed)
    lines = ["PassengerId,Survived,Pclass,Name,Sex,Age,SibSp,Parch,Ticket,Fare,Cabin,Embarked"]
    for number in range(1, n + 1):
        sex, pclass = chance.choice(["male", "female"]), chance.choice([1, 2, 3])
        survived = int(chance.random() < (0.75 if sex == "female" else 0.2) - 0.1 * (pclass - 2))
        age = "" if chance.random() < 0.2 else f"{chance.uniform(1, 75):.0f}"
        cabin = f"{chance.choice('ABCDE')}{chance.randrange(10, 150)}" if chance.random() < 0.25 else ""
        name = f'"Family{chance.randrange(999)}, {chance.choice(["Mr", "Mrs"])}. First{number} Second"'
        port = chance.choice(["S", "C", "Q", ""]) if chance.random() < 0.1 else chance.choice("SCQ")
        lines.append(
            f"{number},{survived},{pclass},{name},{sex},{age},{chance.randrange(4)},{chance.randrange(3)},"
            f"PC {chance.randrange(10**5, 10**6)},{chance.uniform(5, 300) / pclass:.2f},{cabin},{port}"
        )
    return "\n".join(lines) + "\n"
