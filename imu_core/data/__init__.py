"""The datasets, by name. `load("fashion")` comes from `assets/`; larger ones are fetched on request."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from imu_core.data import cifar, faces, fashion, folder, market, people
from imu_core.data.vectors import drawn, points, tables
from imu_core.errors import ClosedError, DataError, shown
from imu_core.records.data import FOR_VECTORS, Dataset, Source

DATASETS: dict[str, Source] = {
    "fashion": Source("Fashion-MNIST, 15,000 images (ships with the project)", fashion.load_embedded),
    "fashion-full": Source(
        "Fashion-MNIST, all 70,000 images (about 30 MB to download)",
        fashion.load_full,
        fashion.full_is_here,
        fashion.download_full,
    ),
    "cifar10": Source(
        "CIFAR-10, 60,000 colour images in 10 classes (170 MB to download)",
        cifar.load_cifar10,
        cifar.cifar10_is_here,
        cifar.download_cifar10,
        channels=3,
        class_names=cifar.CLASS_NAMES,
    ),
    "cifar100": Source(
        "CIFAR-100, 60,000 colour images in 100 classes (170 MB to download)",
        cifar.load_cifar100,
        cifar.cifar100_is_here,
        cifar.download_cifar100,
        channels=3,
        class_names=tuple(sorted(name for group in cifar.SUPERCLASSES.values() for name in group)),
        superclasses=cifar.SUPERCLASSES,
    ),
    "cifar20": Source(
        "CIFAR-100 by its 20 superclasses (the files of cifar100)",
        cifar.load_cifar20,
        cifar.cifar100_is_here,
        cifar.download_cifar100,
        channels=3,
        class_names=tuple(cifar.SUPERCLASSES),
        superclasses=cifar.SUPERCLASSES,
    ),
    "people": Source(
        "People, 225 made-up pedestrians (drawn from a seed)",
        people.load,
        people.is_here,
        people.draw_all,
        channels=3,
        verb="Draw",
        people=True,
        free=True,
    ),
    "faces": Source("AT&T faces, 40 real people (4 MB to download)", faces.load, faces.is_here, faces.download, people=True),
}
MARKET = "market:"  # a dataset called market:FOLDER is read from that folder
FOLDER = folder.PREFIX  # one called folder:PATH@SIDE is a folder of one's own images
FOR_FOLDERS = ("small_resnet", "resnet20", "lenet5")  # networks that take images of any size
_TENTH = "random:10%,seed=0"  # a forget request for any data


def _market(name: str, title: str, path: str = "") -> Source:
    return Source(
        title,
        lambda: market.load(name, path),
        lambda: market.is_here(path),
        lambda: market.fetch(path),
        verb="Read",
        people=True,
        free=True,
        asks=True,
        channels=3,
        check=lambda: market.find(path),
        state=lambda: market.cache(path),
    )


DATASETS["market"] = _market("market", "Market-1501, 1,501 real people (given out by its makers)")


def _folder(name: str) -> Source:
    text = name.removeprefix(FOLDER)
    return Source(
        f"Images in {shown(text, 200)}",
        lambda: folder.load(name),
        lambda: folder.is_here(text),
        lambda: folder.fetch(text),
        verb="Read",
        free=True,
        asks=True,
        channels=3,
        models=FOR_FOLDERS,
        brought=True,
        check=lambda: folder.find(folder.parse(text).path),
        state=lambda: folder.cache(text),
    )


def _points(kind: str) -> Source:
    about = points.KINDS[kind]
    return Source(
        about.title,
        lambda: points.load(kind),
        models=tuple(sorted(FOR_VECTORS, key=lambda model: model != about.model)),
        requests=about.requests,
        vectors=True,
    )


def _drawn(kind: str) -> Source:
    return Source(
        "Points of your own",
        lambda: drawn.load(kind),
        models=FOR_VECTORS,
        requests=(_TENTH,),
        vectors=True,
        check=lambda: drawn.find(kind),
    )


def _table(name: str) -> Source:
    title = tables.SHIPPED[name][0] if name in tables.SHIPPED else f"Table {shown(name, 200)}"
    check = (lambda: None) if name in tables.SHIPPED else (lambda: tables.find(name))
    return Source(
        title,
        lambda: tables.load(name),
        models=FOR_VECTORS,
        requests=(_TENTH,),
        vectors=True,
        check=check,
        state=lambda: tables.state(name),
    )


DATASETS |= {points.PREFIX + kind: _points(kind) for kind in points.KINDS}
DATASETS |= {tables.PREFIX + name: _table(name) for name in tables.SHIPPED}


def source(name: str) -> Source:
    """The registry entry of dataset `name`, or a DataError that lists the names there are."""
    if name in DATASETS:
        return DATASETS[name]
    if name.startswith(FOLDER):
        return _folder(name)
    if name.startswith(MARKET):
        return _market(name, f"People in {shown(name[len(MARKET) :], 200)}", name[len(MARKET) :])
    if name.startswith(tables.PREFIX):
        return _table(name.removeprefix(tables.PREFIX))
    if name.startswith(points.PREFIX) and drawn.is_name(name.removeprefix(points.PREFIX)):
        return _drawn(name.removeprefix(points.PREFIX))
    raise DataError(
        f"There is no dataset called {name[:60]!r}. Known datasets: {', '.join(DATASETS)}, {MARKET}FOLDER, {FOLDER}PATH, "
        f"{tables.PREFIX}FILE.csv."
    )


def check_folder(name: str) -> None:
    """Raise an error where dataset `name` is a folder that is missing or closed to pages; else do nothing.

    DataError: there is no such folder or dataset. ClosedError: pages may not read the folder, whether it is there or not.
    """
    source(name).check()


def is_open(name: str) -> bool:
    """Whether pages may read dataset `name`: False for a folder of this machine that its owner has closed to them.

    True also for a folder that is missing. See `imu_core.access.rules`.
    """
    try:
        check_folder(name)
    except ClosedError:
        return False
    except DataError:  # reading it will say why
        return True
    return True


def is_here(name: str) -> bool:
    """Whether `load(name)` can start without a download."""
    return source(name).is_here()


def class_names(name: str) -> tuple[str, ...]:
    """The class names of dataset `name`, told without reading its images.

    Fashion-MNIST's names where only the images would tell; () for an image folder, which is not opened before it is to be read,
    and for points and tables.
    """
    known = source(name)
    return known.class_names or (() if known.brought or known.vectors else fashion.CLASS_NAMES)


def part_requests(name: str) -> tuple[str, ...]:
    """A forget request for each subclass of dataset `name`, superclass by superclass; () where it has none."""
    groups = DATASETS[name].superclasses if name in DATASETS else {}
    return tuple(f"subclass:{above}/{part}" for above, group in groups.items() for part in group)


def usual(name: str) -> tuple[str, str]:
    """The model and the forget request that dataset `name` begins with, where nobody says another."""
    about = source(name)
    return (*about.models, "small_resnet")[0], (*about.requests, "class:Sandal")[0]


def shows_people(name: str) -> bool:
    """Whether the classes of dataset `name` are people; False for an unknown name."""
    try:
        return source(name).people
    except DataError:
        return False


def download(name: str) -> Iterator[tuple[float, str]]:
    """Fetch dataset `name`, yielding (fraction done, what is being fetched); a DataError says why it could not."""
    yield from source(name).download()


def load(name: str) -> Dataset:
    """Dataset `name`, read once and shared by everybody; nothing may change its tensors.

    A folder is read again once images joined or left it. `load.cache_clear()` forgets every dataset read so far.
    """
    return _loaded(name, _state(name))


@lru_cache(maxsize=4)
def _loaded(name: str, _: str) -> Dataset:
    return source(name).load()


load.cache_clear = _loaded.cache_clear


def _state(name: str) -> str:
    """What changes once a folder of images does; ClosedError where pages may not read that folder, read before or not."""
    try:
        return str(source(name).state())
    except ClosedError:
        raise
    except DataError:  # reading it will say why
        return ""
