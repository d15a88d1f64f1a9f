"""The live page in a browser, opened from disk and without a network."""

import io
import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from handpose_lib import prepare, synth
from handpose_lib.camera import Camera
from pipeline.live import DETECTOR, build, detector, networks
from pipeline.site import browser

PROGRAM = browser.find()
pytestmark = pytest.mark.skipif(PROGRAM is None, reason=browser.MISSING)
SHOWN = ("jgr_p2o", "structure_aware_hourglass")
"""One network that sees a crop, and one that sees voxels."""
HTML = """<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>Live</title>
<link rel="stylesheet" href="live/live.css"></head><body><div class="hand-live">
<img class="hl-still" src="still.png" alt="a picture without scripts"></div>
<script src="live/hand.js"></script><script src="live/live.js"></script></body></html>"""
SOON = 60_000


@pytest.fixture(scope="module")
def site(tmp_path_factory, exported, exported_detector):
    root = tmp_path_factory.mktemp("a site, with spaces")
    build.page(root / "live", SHOWN)
    for name in SHOWN:
        build.write(
            root / "live" / "networks" / f"{name}.js",
            build.models({name: exported(name).read_bytes()}),
        )
    scripts = build.models(
        {f"{DETECTOR}_{part}": path.read_bytes() for part, path in exported_detector.items()}
    )
    build.write(root / "live" / "networks" / f"{DETECTOR}.js", scripts)
    Image.new("RGB", (8, 8)).save(root / "still.png")
    (root / "index.html").write_text(HTML, encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def chromium():
    assert PROGRAM is not None
    with browser.opened(PROGRAM) as opened:
        yield opened


class Opened:
    """Opens the page, and notes its errors and every request that leaves its folder."""

    def __init__(self, chromium, site):
        self.chromium, self.site = chromium, site
        self.problems, self.contexts = [], []

    def __call__(self, address: str = "", **options):
        context = self.chromium.new_context(**options)
        context.set_offline(True)
        context.set_default_timeout(SOON)
        self.contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: self.problems.append(error.message))
        page.on("console", self._console)
        inside = (self.site.as_uri(), "data:", "blob:")
        page.on("request", lambda r: r.url.startswith(inside) or self.problems.append(r.url))
        page.goto((self.site / "index.html").as_uri() + address)
        return page

    def _console(self, message):
        if message.type == "error":
            self.problems.append(message.text)

    def close(self):
        for context in self.contexts:
            context.close()
        assert self.problems == []


@pytest.fixture
def opened(chromium, site):
    found = Opened(chromium, site)
    yield found
    found.close()


@pytest.fixture(scope="module")
def loaded(chromium, site):
    """The page with all its networks, opened once for all tests of this module."""
    found = Opened(chromium, site)
    page = found()
    page.wait_for_selector(".hand-live[data-loaded]")
    yield page
    found.close()


@pytest.fixture
def page(loaded):
    """The loaded page as it opens."""
    if loaded.locator(".hl-tour").is_visible():
        loaded.get_by_role("button", name="End the tour").click()
    loaded.locator(".hl-networks button").first.click()
    loaded.get_by_role("button", name="Start again").click()
    loaded.evaluate("document.querySelector('.hl-status').textContent = ''")
    return loaded


def now(page) -> dict:
    """Return what the page shows, once its answer is that of the newest scene."""
    page.wait_for_function("handLive.now().fresh", timeout=SOON)
    return page.evaluate("handLive.now()")


def slide(page, label: str, value: float) -> None:
    """Move a slider as a reader does: by an event of the input."""
    page.get_by_label(label, exact=True).evaluate(
        "(slider, value) => { slider.value = value;"
        " slider.dispatchEvent(new Event('input', {bubbles: true})); }",
        value,
    )


def error(shown: dict) -> float:
    apart = np.array(shown["joints"]) - np.array(shown["answer"])
    return float(np.linalg.norm(apart, axis=1).mean())


@torch.no_grad()
def library_answer(shown: dict, side: str = "right") -> np.ndarray:
    """Return what the library answers to the depth image of the page."""
    view, live = shown["view"], networks.open(shown["network"])
    camera = Camera(**view["camera"])
    depth = torch.tensor(shown["depth"], dtype=torch.float32).reshape(
        1, camera.height, camera.width
    )
    crops = prepare.crop(
        depth, camera, torch.tensor([view["centre"]]), float(view["cube"]), hands=[side]
    )
    return live.method.decode(live.method(live.method.encode(crops)), crops)[0].numpy()


def test_the_first_picture_needs_no_runtime_and_its_lack_is_told(chromium, site, tmp_path):
    for name in ("live/hand.js", "live/live.js", "live/live.css", "index.html"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(site / name, tmp_path / name)
    page = chromium.new_page()
    page.goto((tmp_path / "index.html").as_uri())
    page.wait_for_function("document.querySelector('.hl-status')?.textContent.includes('reload')")
    assert page.locator(".hl-status").text_content() == (
        "runtime.js cannot be loaded: reload the page to try again."
    )
    assert page.evaluate("handLive.now().depth.some(z => z > 0)")
    colours = page.evaluate(
        """(() => { const canvas = document.querySelector('.hl-depth');
        const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
        return new Set(new Uint32Array(data.buffer)).size; })()"""
    )
    assert colours > 20
    page.close()


def test_progress_is_told_until_all_networks_are_loaded(opened):
    page = opened()
    told = page.evaluate(
        """async () => {
          const root = document.querySelector(".hand-live");
          const status = document.querySelector(".hl-status");
          const told = new Set([status.textContent]);
          while (!root.dataset.loaded) {
            await new Promise(done => setTimeout(done));
            told.add(status.textContent);
          }
          return [...told];
        }"""
    )
    assert told[-1] == "" and {text.partition(":")[0] for text in told[:-1]} >= {
        "Loading network 1 of 2",
        "Loading network 2 of 2",
    }


@pytest.mark.parametrize("number", range(len(SHOWN)))
@pytest.mark.parametrize("side", ["right", "left"])
def test_the_page_answers_as_the_library_does(page, number, side):
    page.locator(".hl-networks button").nth(number).click()
    page.get_by_label("Hand", exact=True).select_option(label=side)
    slide(page, "Reference, right", 14)
    shown = now(page)
    assert shown["network"] == SHOWN[number]
    # A crop's pixel on the border between two pixels of the image may take either.
    apart = np.abs(np.array(shown["answer"]) - library_answer(shown, side))
    assert np.median(apart) < 0.05 and apart.max() < 1.0


def test_the_network_finds_the_hand_and_loses_it_in_a_wrong_cube(page):
    good = error(now(page))
    assert good < 15
    slide(page, "Reference, down", 80)
    assert error(now(page)) > 2 * good


def test_dragging_on_never_queues_work(page):
    now(page)
    first = int(page.evaluate("document.querySelector('.hand-live').dataset.version"))
    answers = page.evaluate(
        """async () => {
          const slider = [...document.querySelectorAll('.hand-live input[type=range]')]
            .find(one => one.labels[0].textContent === 'Yaw');
          let answers = 0;
          const root = document.querySelector('.hand-live');
          new MutationObserver(() => answers++)
            .observe(root, {attributeFilter: ['data-version']});
          for (let move = 0; move < 300; move++) {
            slider.value = move % 60;
            slider.dispatchEvent(new Event('input', {bubbles: true}));
            if (move % 10 === 0) await new Promise(requestAnimationFrame);
          }
          while (!handLive.now().fresh) await new Promise(requestAnimationFrame);
          return answers;
        }"""
    )
    last = int(page.evaluate("document.querySelector('.hand-live').dataset.version"))
    assert last - first == 300, "the answer shown is that of the last move"
    assert answers <= 31, "at most one answer for each drawn frame"
    shown = now(page)
    assert shown["state"]["yaw"] == 60  # the last move is to 59, and the steps are 2 degrees
    assert np.abs(np.array(shown["answer"]) - library_answer(shown)).max() < 1.0


def test_a_joint_follows_the_pointer_and_the_hand_follows_the_wrist(page):
    shown = now(page)
    camera, box = shown["view"]["camera"], page.locator(".hl-depth").bounding_box()

    def place(joint):
        x, y, z = joint
        u, v = camera["u0"] + camera["fx"] * x / z, camera["v0"] + camera["fy"] * y / z
        return (
            box["x"] + (u + 0.5) * box["width"] / camera["width"],
            box["y"] + (v + 0.5) * box["height"] / camera["height"],
        )

    names = page.evaluate("handLive.model.joints.map(joint => joint.name)")
    tip, wrist = names.index("index tip"), names.index("wrist")
    start = place(shown["joints"][tip])
    page.mouse.move(*start)
    page.mouse.down()
    target = (start[0] - 8, start[1] + 25)
    for share in (0.25, 0.5, 0.75, 1):
        page.mouse.move(*(a + share * (b - a) for a, b in zip(start, target, strict=True)))
    page.mouse.up()
    after = now(page)
    assert np.hypot(*np.subtract(place(after["joints"][tip]), target)) < 6
    others = [names.index(name) for name in ("wrist", "little tip", "ring mcp")]
    moved = np.array(after["joints"])[others] - np.array(shown["joints"])[others]
    assert np.abs(moved).max() < 1, "the rest of the hand stays"

    start = place(after["joints"][wrist])
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(start[0] + 30, start[1])
    page.mouse.up()
    assert now(page)["state"]["x"] > after["state"]["x"] + 20


def test_a_link_opens_the_same_hand_and_holds_settings_alone(page, opened):
    page.get_by_label("Pose", exact=True).select_option("fist")
    slide(page, "Yaw", 44)
    slide(page, "Side of the cube", 220)
    shown = now(page)
    page.get_by_role("button", name="Share this hand").click()
    address = page.get_by_label("Link to this hand").input_value()
    page.evaluate("history.replaceState(null, '', location.pathname)")
    assert address.partition("#")[0] == page.url
    assert {pair.partition("=")[0] for pair in address.partition("#")[2].split("&")} == {
        "angles",
        "yaw",
        "cube",
    }
    again = opened("#" + address.partition("#")[2])
    again.wait_for_selector(".hand-live[data-answered]")
    assert now(again)["state"] == shown["state"]


def test_the_tour_has_eight_steps_and_notices_a_solution(page):
    page.get_by_role("button", name="Start the tour").click()
    for number in range(1, 9):
        tour = page.get_by_role("region", name="Guided tour")
        assert tour.get_by_role("heading").text_content().startswith(f"{number} of 8")
        now(page)
        if number == 4:
            assert page.locator(".hl-why").is_hidden()
            slide(page, "Reference, down", 80)
            now(page)
            page.wait_for_selector(".hl-why:not([hidden])")
            assert page.locator(".hl-why a").get_attribute("href") == (
                "../foundations/crop_and_normalise.html"
            )
        page.locator(".hl-tour").get_by_role("button", name="Next step").or_(
            page.locator(".hl-tour").get_by_role("button", name="Finish")
        ).click()
    assert page.locator(".hl-tour").is_hidden()


def test_heat_maps_are_drawn_over_the_crop(page):
    now(page)
    before = page.evaluate("document.querySelector('.hl-seen').toDataURL()")
    page.get_by_label("Inside of the network").select_option(label="thumb tip")
    page.wait_for_function(
        "before => document.querySelector('.hl-seen').toDataURL() !== before", arg=before
    )


def test_offsets_are_drawn_where_a_network_predicts_them(page):
    now(page)
    page.get_by_label("Inside of the network").select_option(label="thumb tip")
    drawn = page.get_by_label("Drawn of it")
    drawn.select_option(label="the map")
    now(page)
    picture = "document.querySelector('.hl-seen').toDataURL()"
    before = page.evaluate(f"new Promise(done => requestAnimationFrame(() => done({picture})))")
    drawn.select_option(label="the offsets")
    page.wait_for_function(f"before => {picture} !== before", arg=before)
    told = page.locator(".hl-note", has_text="Red:")
    assert told.text_content().startswith("Red: the offset to the joint that each")
    page.locator(".hl-networks button").nth(1).click()
    now(page)
    assert drawn.is_hidden() and "heat map" in told.text_content()
    page.locator(".hl-networks button").first.click()
    drawn.select_option(label="the map")
    page.get_by_label("Inside of the network").select_option(label="not shown")


def test_every_control_has_a_name_and_the_keyboard_moves_it(page):
    page.evaluate("document.querySelectorAll('details').forEach(fold => { fold.open = true; })")
    unnamed = page.evaluate(
        """[...document.querySelectorAll('.hand-live :is(input, select, button, canvas)')]
          .filter(one => !(one.ariaLabel || one.labels?.[0]?.textContent || one.textContent).trim())
          .map(one => one.outerHTML)"""
    )
    assert unnamed == []
    assert page.locator(".hand-live input[type=range]").count() == 20 + 6 + 4 + 4
    first = now(page)["state"]
    page.get_by_label("Pitch", exact=True).press("ArrowRight")
    page.locator(".hl-depth").press("ArrowDown")
    second = now(page)["state"]
    assert (second["pitch"], second["y"]) == (first["pitch"] + 2, first["y"] + 5)
    before = page.evaluate("document.querySelector('.hl-space').toDataURL()")
    page.locator(".hl-space").press("ArrowLeft")
    page.wait_for_function(
        "before => document.querySelector('.hl-space').toDataURL() !== before", arg=before
    )


def test_the_page_fits_a_phone_and_stands_still_without_scripts(opened):
    page = opened(viewport={"width": 390, "height": 844})
    page.wait_for_selector("canvas")
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 390
    assert not page.locator(".hl-still").is_visible()
    page.emulate_media(media="print")
    assert page.locator(".hl-still").is_visible() and not page.locator("canvas").first.is_visible()
    still = opened(java_script_enabled=False)
    assert still.locator(".hl-still").is_visible()


# --- depth images of one's own -------------------------------------------------


@pytest.fixture(scope="module")
def image():
    """One rendered frame of a camera of the presets, in whole mm."""
    return synth.frames([3], seed=2, setup="msra", distribution="msra_like")


def png(values: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(values.astype(np.uint16)).save(file, "PNG")
    return file.getvalue()


def tiff(values: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(values.astype(np.float32)).save(file, "TIFF", compression="tiff_lzw")
    return file.getvalue()


def npy(values: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


def choose(page, name: str, content: bytes) -> str:
    """Choose a file in the page, and return what the page says."""
    page.get_by_label("File").set_input_files(
        {"name": name, "mimeType": "application/octet-stream", "buffer": content}
    )
    page.wait_for_function(
        "(text => text !== '' && !text.endsWith('…'))"
        "(document.querySelector('.hl-status').textContent)"
    )
    return page.locator(".hl-status").text_content()


def state_camera(page, camera: Camera) -> None:
    page.get_by_label("Camera", exact=True).select_option("")
    for name in ("fx", "fy", "u0", "v0"):
        page.get_by_label(f"{name} in pixels").fill(str(getattr(camera, name)))


@pytest.mark.parametrize(
    "name, written",
    [
        ("hand.png", lambda depth: png(depth.round())),
        ("hand.tif", tiff),
        ("hand.npy", lambda depth: npy(depth.round().astype(">u2"))),
        ("columns.npy", lambda depth: npy(np.asfortranarray(depth.astype(np.float32)))),
    ],
    ids=["png", "tiff", "npy", "npy, columns first"],
)
def test_an_image_of_ones_own_is_read_and_answered(page, image, name, written):
    state_camera(page, image.camera)
    depth = image.depth[0].numpy()
    said = choose(page, name, written(depth))
    read = torch.tensor(now(page)["depth"], dtype=torch.float32).reshape(1, *depth.shape)
    np.testing.assert_allclose(read[0].numpy(), depth, atol=0.51)
    # The page looks for the hand as the library does, and says where.
    cameras = image.camera.intrinsics(read)[None]
    finds = detector.open()
    centre = finds(read, cameras)
    sure = finds.odds(read, cameras, centre).sigmoid().item()
    assert said.startswith(f"{name}: the hand detector finds the hand at ")
    assert abs(int(said.split(" mm, ")[0].split()[-1]) - centre[0, 2].item()) < 1.6
    assert abs(float(said.split(" %")[0].split()[-1]) - 100 * sure) < 2.5
    shown = now(page)
    true = image.joints[0].numpy()
    assert np.linalg.norm(np.array(shown["view"]["centre"]) - true.mean(0)) < 50
    assert np.abs(np.array(shown["answer"]) - library_answer(shown)).max() < 1.0
    page.get_by_role("button", name="Back to the rendered hand").click()
    assert len(now(page)["joints"]) == 21


def test_an_image_without_a_hand_is_told(page):
    camera = Camera(241.42, 241.42, 160.0, 120.0, 320, 240)
    state_camera(page, camera)
    said = choose(page, "wall.tif", tiff(np.full((240, 320), 800.0)))
    assert said.startswith("wall.tif: the hand detector finds no hand, only a place with a")
    assert "The cube is at the nearest object, at 800 mm" in said
    assert float(said.split(" %")[0].split()[-1]) < 5
    now(page)
    page.get_by_role("button", name="Back to the rendered hand").click()


def test_without_its_detector_the_page_takes_the_nearest_object_and_says_so(
    chromium, site, image, tmp_path
):
    lacks = shutil.ignore_patterns(f"{DETECTOR}.js")
    place = shutil.copytree(site, tmp_path / "site", ignore=lacks)
    page = chromium.new_page()
    page.goto((place / "index.html").as_uri())
    page.wait_for_function(
        "document.querySelector('.hl-status')?.textContent.includes('cannot be loaded')"
    )
    state_camera(page, image.camera)
    page.evaluate("document.querySelector('.hl-status').textContent = ''")
    said = choose(page, "hand.png", png(image.depth[0].numpy().round()))
    assert said.startswith("hand.png: the hand detector does not work here (hand_detector.js can")
    assert "The cube is at the nearest object" in said
    # A cut-out hand is the nearest object: the guess is within a hand's half breadth.
    true = image.joints[0].numpy()
    assert np.linalg.norm(np.array(now(page)["view"]["centre"]) - true.mean(0)) < 50
    page.close()


@pytest.mark.parametrize(
    "name, content, words",
    [
        ("hand.jpg", b"\xff\xd8\xff\xe0 a photograph", "is no PNG, TIFF or NPY file"),
        ("cut.png", png(np.full((40, 40), 500))[:60], "cut.png is a damaged PNG file"),
        ("empty.npy", b"", "is no PNG, TIFF or NPY file"),
        ("cut.tif", tiff(np.full((40, 40), 500))[:120], "cut.tif is a damaged TIFF file"),
        ("cut.npy", npy(np.full((40, 40), 500, np.uint16))[:-9], "ends before its last pixel"),
        ("many.npy", npy(np.zeros((2, 40, 40), np.uint16)), "no array with two axes"),
        ("text.npy", npy(np.array([["a", "b"]])), "no array of numbers"),
        ("far.npy", npy(np.full((40, 40), 9000, np.uint16)), "nothing between 150 and 1500 mm"),
        ("small.npy", npy(np.full((4, 4), 500, np.uint16)), "4 × 4 pixels"),
        (
            "nan.npy",
            npy(np.full((40, 40), np.nan, np.float32)),
            "nothing between 150 and 1500 mm",
        ),
    ],
)
def test_a_bad_file_gets_one_sentence(page, name, content, words):
    state_camera(page, Camera(200.0, 200.0, 20.0, 20.0, 40, 40))
    said = choose(page, name, content)
    assert words in said and said.count(".") <= said.count(name) + 1 and name in said
    assert len(now(page)["joints"]) == 21, "the rendered hand stays"


def test_a_colour_picture_and_a_wrong_camera_are_explained(page):
    page.get_by_label("Camera", exact=True).select_option("d435")
    file = io.BytesIO()
    Image.new("RGB", (40, 40)).save(file, "PNG")
    assert "is a colour picture" in choose(page, "photo.png", file.getvalue())
    eight = io.BytesIO()
    Image.new("L", (40, 40), 90).save(eight, "PNG")
    page.get_by_label("File").set_input_files([])
    page.evaluate("document.querySelector('.hl-status').textContent = ''")
    assert "8 bits per pixel" in choose(page, "grey.png", eight.getvalue())
    page.evaluate("document.querySelector('.hl-status').textContent = ''")
    said = choose(page, "square.png", png(np.full((40, 40), 500)))
    assert "another shape than the images of Intel RealSense D435" in said
    page.get_by_label("Camera", exact=True).select_option("")
    page.evaluate("document.querySelector('.hl-status').textContent = ''")
    page.get_by_label("File").set_input_files([])
    page.get_by_label("fx in pixels").fill("")
    assert "needs fx, fy, u0 and v0" in choose(page, "square.png", png(np.full((40, 40), 500)))


def test_what_the_page_knows_is_json(site):
    text = (site / "live" / "hand.js").read_text(encoding="utf-8")
    known = json.loads(text.removeprefix("globalThis.handLive = ").removesuffix(";\n"))
    assert [network["name"] for network in known["networks"]] == list(SHOWN)
    licences = (site / "live" / "licences.txt").read_text(encoding="utf-8")
    for name in (*build.RUNTIME, "fast-png", "fflate", "geotiff", "pako", "zstddec"):
        assert f"{name} " in licences, name
