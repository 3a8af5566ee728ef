"""Recurrent cells of DARTS and ENAS in language models: counted at each step, the embedding tied to the decoder."""

from __future__ import annotations

from pipeline.published.network import Figure, PublishedNetwork

_V1 = "relu<0 relu<1 tanh<2 relu<3 relu<4 identity<1 relu<5 relu<1"
_V2 = "sigmoid<0 relu<1 relu<1 identity<1 tanh<2 sigmoid<5 tanh<3 relu<5"
_TIED = "the decoder's weights are the embedding's too, and count once"

RECURRENT: dict[str, PublishedNetwork] = {
    "darts-rnn-v1-ptb": PublishedNetwork(
        title="DARTS's recurrent cell, first order, for Penn Treebank",
        paper="arXiv:1806.09055",
        space="darts-rnn?hidden=850&vocab=10000",
        labels=_V1,
        params=Figure("23M"),
        counted=_TIED,
    ),
    "darts-rnn-v2-ptb": PublishedNetwork(
        title="DARTS's recurrent cell, second order, for Penn Treebank",
        paper="arXiv:1806.09055",
        space="darts-rnn?hidden=850&vocab=10000",
        labels=_V2,
        params=Figure("23M"),
        counted=_TIED,
    ),
    "darts-rnn-v2-wt2": PublishedNetwork(
        title="DARTS's recurrent cell, second order, for WikiText-2",
        paper="arXiv:1806.09055",
        space="darts-rnn?hidden=700&vocab=33278",
        labels=_V2,
        params=Figure("33M"),
        counted=_TIED,
    ),
    "enas-rnn-ptb": PublishedNetwork(
        title="ENAS's recurrent cell for Penn Treebank, as large as DARTS's",
        paper="arXiv:1802.03268",
        space="darts-rnn?hidden=850&vocab=10000&nodes=11&mean=2,5,6,9,10,11",
        labels="tanh<0 tanh<1 relu<1 tanh<3 tanh<3 relu<3 relu<4 relu<7 relu<8 relu<8 relu<8",
        params=Figure("24M", "printed for a smaller hidden state of its own"),
        counted=_TIED,
    ),
}
