"""How long does the live page take from a slider's move to the new skeleton?

    python -m tests.benchmarks.live                # after `make book`, half a minute

Opens the built page in the headless Chromium of the tests, without a GPU, and moves a slider for
each network. Prints a table and the same as JSON: milliseconds from the event of the slider to the
new skeleton and error on the page, of which the network alone. The numbers are the median of the
moves, the time within which 95 % of them are answered, and the fastest. A busy machine slows median
and 95 %, hardly the fastest.

Stated, on two idle cores: a median of at most 50 ms for the networks that see images.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median, quantiles

import torch
from playwright.sync_api import Page

from handpose_lib import evaluation, paths
from pipeline.site import browser

STATED_MS, MOVES = 50, 60
PLACE = Path("html") / "book" / "training" / "live_hand.html"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("page", type=Path, nargs="?", default=paths.build() / PLACE)
    path = parser.parse_args().page
    if not (program := browser.find()):
        print(f"The live page is not measured: {browser.MISSING}")
        return 0
    if not path.exists():
        sys.exit(f"There is no live page at {path}: make book builds it")
    with browser.opened(program) as chromium:
        page = chromium.new_context(viewport={"width": 1280, "height": 900}).new_page()
        page.goto(path.resolve().as_uri())
        page.wait_for_selector(".hand-live[data-loaded]", timeout=300_000)
        networks = page.evaluate("handLive.networks")
        times = {network["title"]: measured(page, network["name"]) for network in networks}
    found = {
        "device": evaluation.device_facts(torch.device("cpu")),
        "stated_ms": STATED_MS,
        "ms": times,
    }
    print(table(found, {network["title"]: network["kind"] for network in networks}))
    print(json.dumps(found, indent=1))
    return 0


def measured(page: Page, name: str) -> dict[str, float]:
    """Return the times of one network, ms."""
    moves = page.evaluate(
        """async ([name, moves]) => {
          const root = document.querySelector(".hand-live");
          const number = handLive.networks.findIndex(network => network.name === name);
          root.querySelectorAll(".hl-networks button")[number].click();
          const slider = [...root.querySelectorAll("input[type=range]")]
            .find(one => one.labels[0].textContent === "Yaw");
          const found = [];
          for (let move = 0; move < moves + 3; move++) {
            slider.value = 2 * (move % 20);
            slider.dispatchEvent(new Event("input", {bubbles: true}));
            do await new Promise(done => setTimeout(done, 5)); while (!handLive.now().fresh);
            found.push([Number(root.dataset.ms), Number(root.dataset.network)]);
            await new Promise(done => setTimeout(done, 20));
          }
          return found.slice(3);  // the first moves warm up
        }""",
        [name, MOVES],
    )
    whole, alone = zip(*moves, strict=True)
    return {**spread(whole), **{f"network_{name}": ms for name, ms in spread(alone).items()}}


def spread(times: Sequence[float]) -> dict[str, float]:
    """Return the median, the time that 95 % of the times do not exceed, and the fastest."""
    return {
        "median": median(times),
        "percentile_95": quantiles(times, n=20, method="inclusive")[-1],
        "fastest": min(times),
    }


def table(found: dict, kinds: dict[str, str]) -> str:
    """Return the times as lines of text."""
    columns = {"median": "median", "percentile_95": "95 %", "fastest": "fastest"}
    whole, alone = ("slider to skeleton, ms", "network alone, ms")
    lines = [
        f"{'':29} {whole:>26} {alone:>26}",
        f"{'network':20} {'input':8} " + " ".join(f"{word:>8}" for word in 2 * [*columns.values()]),
    ]
    for title, each in found["ms"].items():
        times = [each[prefix + name] for prefix in ("", "network_") for name in columns]
        lines.append(f"{title:20} {kinds[title]:8} " + " ".join(f"{ms:8.0f}" for ms in times))
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
