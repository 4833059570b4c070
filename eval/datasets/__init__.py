"""Multi-hop datasets: a file each, from the published format to `GoldQuestion`."""

from eval.datasets.bamboogle import BAMBOOGLE
from eval.datasets.base import Dataset
from eval.datasets.counterfact import COUNTERFACT
from eval.datasets.hopfix import HOPFIX
from eval.datasets.hopping import HOPPING
from eval.datasets.hotpotqa import HOTPOTQA
from eval.datasets.lre import LRE
from eval.datasets.mquake import MQUAKE
from eval.datasets.musique import MUSIQUE
from eval.datasets.patchscopes import PATCHSCOPES
from eval.datasets.popqa import POPQA
from eval.datasets.reading import Reading
from eval.datasets.twohopfact import SOCRATES, TWOHOPFACT
from eval.datasets.wikimultihop import WIKIMULTIHOP

DATASETS = {
    dataset.name: dataset
    for dataset in (
        HOPFIX,
        MQUAKE,
        WIKIMULTIHOP,
        MUSIQUE,
        HOTPOTQA,
        BAMBOOGLE,
        POPQA,
        TWOHOPFACT,
        SOCRATES,
        HOPPING,
        PATCHSCOPES,
        LRE,
        COUNTERFACT,
    )
}

__all__ = ["DATASETS", "Dataset", "Reading"]
