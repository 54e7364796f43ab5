"""What an op says of an output, and how that is held against the reference's want."""
import numpy as np

from .numbers import ulp32


class Answer:
    """`value` in fp64, before it is rounded to the output's dtype, or bits as numbers.

    keep   where nothing may be written
    slack  beside an fp32 ulp: what terms that cancel leave of fp64 (or 0)
    bits   values are bits, and must be equal
    near   the reference says an interval, want +- bound: any value in it is the same answer, and
           so is what rounds there, `near` beyond it
    """

    def __init__(self, value, keep=None, slack=0.0, bits=False, near=None):
        self.value = np.asarray(value, np.float64)
        self.keep, self.slack, self.bits, self.near = keep, slack, bits, near

    def rows(self, rows, length):
        """Of a sample of rows: the last axis counts them off."""
        def some(x):
            return x.reshape(-1, length)[rows] if isinstance(x, np.ndarray) else x
        return Answer(some(self.value), some(self.keep), some(self.slack), self.bits, some(self.near))


class Difference:
    def __init__(self, output, index, want, mine, why):
        self.output, self.index, self.want, self.mine, self.why = output, index, want, mine, why

    def __str__(self):
        return "%s[%s]: reference %.17g, oracle %.17g: %s" % (
            self.output, ", ".join(map(str, self.index)), self.want, self.mine, self.why)


def wrong(answer, want, bound, kept):
    """Why elements differ: words by masks."""
    mine, any_value = answer.value, np.isposinf(bound)
    live = ~(kept | any_value)
    if answer.bits:
        return {"other bits": live & (want != mine)}
    nan, inf = np.isnan(mine), np.isinf(mine)
    finite = live & ~(nan | inf | np.isnan(want) | np.isinf(want))
    with np.errstate(invalid="ignore", over="ignore"):
        off = np.abs(want - mine)
        allowed = ulp32(np.where(finite, mine, 1)) + answer.slack
        if answer.near is not None:
            allowed = np.maximum(allowed, bound + answer.near)
        numbers = finite & ~(off <= allowed)
        zeros = finite & (want == 0) & (mine == 0) & (np.signbit(want) != np.signbit(mine))
    return {
        "NaN or not": live & (nan != np.isnan(want)),
        "infinite or not": live & ~nan & ~np.isnan(want) & (inf | np.isinf(want)) & (want != mine),
        "more than an fp32 ulp": numbers,
        "the sign of zero": zeros if answer.near is None else zeros & False,
    }


def compare(output, answer, want, bound):
    """Elements that were compared, and the differences: the first of each kind, and how many."""
    if answer.value.shape != want.shape:
        return 0, ["%s: shape %s, the oracle has %s" % (output, want.shape, answer.value.shape)]
    keep = np.zeros(want.shape, bool) if answer.keep is None else answer.keep
    kept = bound == -1
    masks = wrong(answer, want, bound, kept | keep)
    masks["to be kept or not"] = keep != kept
    found = []
    for why, mask in masks.items():
        places = np.argwhere(mask)
        if len(places):
            at = tuple(places[0])
            found.append(Difference(output, at, want[at], answer.value[at],
                                    "%s, %d elements" % (why, len(places))))
    compared = int(want.size - np.count_nonzero(np.isposinf(bound)))
    if want.size and not compared:
        found.append("%s: nothing was compared: each of its %d bounds is infinite" % (output, want.size))
    return compared, found
