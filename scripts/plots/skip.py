"""Why a figure is not made."""


class Skip(Exception):
    """The data cannot give the figure; the message says what is missing."""


def need(points, *names):
    """The points that have all these figures; Skip where none has."""
    for name in names:
        if all(point.median(name) is None for point in points):
            raise Skip(f"no sample has {name}")
    chosen = [point for point in points
              if all(point.median(name) is not None for name in names)]
    if not chosen:
        raise Skip(f"no sample has all of {', '.join(names)}")
    return chosen
