"""English function words, which say nothing about the subject of a text: pronouns, prepositions, and so on.

The closed word classes of Quirk et al., "A Comprehensive Grammar of the English Language" (1985), in the forms that
texts spell. Words of other languages are not listed.
"""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt
import pyarrow as pa

STOP_WORDS = frozenset(
    """
    a about above across after again against all almost also although always am among an and another any anybody anyone
    anything are aren't around as at away be because been before being below beneath beside besides between beyond both
    but by can can't cannot could couldn't did didn't do does doesn't doing don't done down during each either else
    enough etc even ever every everybody everyone everything except few for from further had hadn't has hasn't have
    haven't having he he'd he'll he's hence her here here's hers herself him himself his how however i i'd i'll i'm i've
    if in indeed inside instead into is isn't it it'd it'll it's its itself just least less let let's many may maybe me
    might mine more moreover most much must mustn't my myself near neither never no nobody none nor not nothing now
    nowhere of off often on once one one's ones only onto or other others otherwise ought our ours ourselves out outside
    over own per perhaps please quite rather really same shall shan't she she'd she'll she's should shouldn't since so
    some somebody someone something sometimes somewhere still such than that that's the their theirs them themselves
    then there there's therefore these they they'd they'll they're they've this those though through throughout thus to
    together too toward towards under unless until up upon us very via was wasn't we we'd we'll we're we've well were
    weren't what what's whatever when whenever where where's wherever whether which whichever while who who's whoever
    whole whom whose why will with within without won't would wouldn't yes yet you you'd you'll you're you've your yours
    yourself yourselves
    """.split()
)


@functools.cache
def stop_word_hashes() -> npt.NDArray[np.uint64]:
    """The hashes of the words, as `kernels.overlap` computes them."""
    from spark_jobs.kernels.overlap import words_of

    return np.sort(words_of(pa.array(sorted(STOP_WORDS)), folding=True).hashes)
