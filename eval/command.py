"""The command of a benchmark: `python -m eval.NAME --ckpt C --data_root D`, alone or under torchrun."""

from dataclasses import dataclass, field
from pathlib import Path

from engine.command import NetworkOptions, parse
from eval import cross_check
from eval.benchmark import Benchmark
from eval.results import line, write_results
from eval.run import Subject, choose, network, oracle, run
from util.cores import MOST, cores_of_a_rank
from util.dist import World, joined
from util.files import check_writable
from util.parallel import one_line_errors


@dataclass(frozen=True)
class Options:
    """What the command line of a benchmark says."""

    ckpt: Path | None = None
    """weights: a checkpoint of a run, or the released .pth, or .safetensors"""
    data_root: tuple[Path, ...] = (Path("datasets"),)
    """data roots, searched in order"""
    prompt: str | None = None
    """name of a training pair, a prompt file (.safetensors), or random:SEED to draw a pair; by default the paper's"""
    out_dir: Path | None = None
    """folder of this run's results; by default results/NAME"""
    batch_size: int = 8
    """queries painted at once"""
    limit: int | None = None
    """evaluate only the first so many queries"""
    save_images: bool = False
    """write every prediction below OUT_DIR/images, in the data set's own format"""
    cross_check: bool = False
    """measure the saved predictions once more with the official tool, where it is installed"""
    oracle: bool = False
    """paint the truth instead of asking a network: the best that any could reach"""
    oracle_noise: float = 0.0
    """standard deviation of the noise on an oracle's paintings, in levels of 255"""
    num_workers: int | None = None
    """processes of each rank that read queries; by default one a core, at most 8"""
    network: NetworkOptions = field(default_factory=lambda: NetworkOptions(precision="fp32"))

    def check(self) -> None:
        """ValueError on what does not go together."""
        if self.oracle == (self.ckpt is not None):
            raise ValueError("give either --ckpt FILE, the weights to evaluate, or --oracle")
        if self.oracle_noise < 0 or (self.oracle_noise and not self.oracle):
            raise ValueError(f"--oracle_noise {self.oracle_noise} must be 0 or more, and belongs to --oracle")
        if self.oracle and (self.prompt or self.network.model or self.network.precision != "fp32"):
            raise ValueError("an oracle asks no network; leave --prompt, --model and --precision out")
        if self.num_workers is not None and self.num_workers < 0:
            raise ValueError(f"--num_workers {self.num_workers} must be 0 or more; 0 reads in this process")
        if any(number is not None and number < 1 for number in (self.limit, self.batch_size)):
            raise ValueError("--limit and --batch_size must be 1 or more")
        self.network.check()
        for root in self.data_root or (Path("--data_root"),):
            if not root.is_dir():
                raise ValueError(f"{root} is not a folder; give --data_root the folders that hold the data")
        if self.cross_check and not self.save_images:
            raise ValueError("--cross_check measures saved predictions; add --save_images")

    def folder(self, name: str) -> Path:
        """Where the results go."""
        if self.out_dir:
            return self.out_dir
        if self.oracle:
            return Path("results", f"{name}_oracle_{self.oracle_noise:g}")
        return Path("results", f"{name}_{self.prompt.replace('/', '_')}" if self.prompt else name)


def main(benchmark: Benchmark, description: str | None) -> None:
    """Evaluate as the command line says; the exit status is 0 only if results have been written."""
    with one_line_errors("stopped; the same command goes on where it was"):
        options = parse(Options, f"python -m eval.{benchmark.name}", description)
        options.check()
        with joined(options.network.device) as world:
            evaluate(benchmark, options, world)


def evaluate(benchmark: Benchmark, options: Options, world: World) -> None:
    """The run, as one rank sees it."""
    folder, workers = options.folder(benchmark.name), options.num_workers
    check = cross_check.find_check(benchmark.name) if options.cross_check else None
    check_writable(folder, "--out_dir")
    there = choose(benchmark, options.data_root)
    queries = there[: options.limit]
    found = run(
        benchmark,
        subject(benchmark, options, world),
        queries,
        folder,
        world,
        options.batch_size,
        min(MOST, cores_of_a_rank(world)) if workers is None else workers,
        options.save_images,
        len(there),
    )
    if world.is_main:
        print(f"{line(benchmark, found)} -> {folder / 'results.json'}")
        if check:
            official = cross_check.measure(check, folder / "images", queries, options.data_root)
            write_results(folder, found | {"cross_check": official})
            print(cross_check.table(official["tool"], found["metrics"], official["metrics"]))


def subject(benchmark: Benchmark, options: Options, world: World) -> Subject:
    """Who paints."""
    if options.ckpt is None:
        return oracle(benchmark, options.network.size, options.oracle_noise)
    return network(
        benchmark,
        options.data_root,
        options.ckpt,
        options.prompt,
        options.network.model,
        options.network.size,
        options.network.precision_on(world.device),
        world.device,
    )
