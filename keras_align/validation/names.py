"""Names that differ."""


def unique_name(name: str, taken: set[str]) -> str:
    """The name, or with a number behind it if it is taken.

    Args:
        name: string.
        taken: set of strings, to which the result is added.
    """
    unique, number = name, 1
    while unique in taken:
        number += 1
        unique = f"{name}_{number}"
    taken.add(unique)
    return unique
