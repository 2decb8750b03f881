"""All figures, by name. Each takes the points and returns a Figure, or raises
Skip with the reason why the data cannot give it."""

from plots import compared, phases, roofline, scaling
from plots.skip import Skip

__all__ = ["FIGURES", "Skip", "make"]

# name: (title, what it shows, how it is made)
FIGURES = {
    "strong": ("Strong scaling",
               "Speed-up over the fewest ranks, one problem on more and more "
               "ranks. Dashed: as many times as fast as there are ranks.",
               scaling.strong),
    "weak": ("Weak scaling",
             "Time of an execution, the rows grow with the ranks. Dashed: "
             "every rank keeps the FLOP/s that it has on the fewest ranks.",
             scaling.weak),
    "efficiency": ("Efficiency",
                   "FLOP/s of a rank over those on the fewest ranks; "
                   "projections count.",
                   scaling.efficiency),
    "phases": ("Phases",
               "Medians of the slowest rank's phases, as shares of their sum; "
               "on the right the time of the execution.",
               phases.breakdown),
    "roofline": ("Roofline",
                 "FLOP/s while attending, under the peak of the kernel's "
                 "multiply-adds and the rate of reading memory, both measured "
                 "beside it. Bytes: q and the output once, k and v once for "
                 "each sequence shard.",
                 roofline.roofline),
    "predicted": ("Predicted against measured",
                  "Each point's time as predicted and as measured. Shaded: "
                  "within 15 %.",
                  compared.predicted),
    "memory": ("Memory per token",
               "What all ranks together plan to hold, over the tokens.",
               compared.memory),
}


def make(name, points):
    return FIGURES[name][2](points)
