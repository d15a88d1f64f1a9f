"""The skeletons of the data sets: joint names, parents, colours, the palm and left-right pairs.

Sources: the loaders and drawing codes of the data sets; see the chapter on the hand. Each data set
keeps its own joint order: MSRA finger by finger with the thumb last, NYU tip first, ICVL and DexYCB
finger by finger with the thumb first, HANDS2017 level by level.
"""

from dataclasses import dataclass

from handpose_lib.errors import one_of

FINGERS = THUMB, INDEX, MIDDLE, RING, LITTLE = "thumb", "index", "middle", "ring", "little"

# From root to tip, light to full; a bone has the colour of its child joint.
SHADES: dict[str, tuple[tuple[int, int, int], ...]] = {
    THUMB: ((255, 153, 153), (255, 102, 102), (255, 51, 51), (255, 0, 0)),
    INDEX: ((153, 255, 153), (102, 255, 102), (51, 255, 51), (0, 255, 0)),
    MIDDLE: ((255, 204, 153), (255, 178, 102), (255, 153, 51), (255, 128, 0)),
    RING: ((153, 204, 255), (102, 178, 255), (51, 153, 255), (0, 128, 255)),
    LITTLE: ((255, 153, 255), (255, 102, 255), (255, 51, 255), (255, 0, 255)),
}
PALM_COLOUR: tuple[int, int, int] = (230, 230, 0)
WRIST_COLOUR: tuple[int, int, int] = (153, 255, 204)


@dataclass(frozen=True)
class Skeleton:
    """Joints in a data set's order. `parents[j]` is the index of joint j's parent, −1 for the root.

    palm    joints that are fixed to the palm: its end at the wrist, and the knuckles from the index
            to the little finger; empty where the labels have no knuckles
    centre  the joint by which DeepPrior++ places its cube; None for a body
    pairs   indices of left and right joints of a body
    """

    name: str
    joints: tuple[str, ...]
    parents: tuple[int, ...]
    colours: tuple[tuple[int, int, int], ...]
    pairs: tuple[tuple[int, int], ...] = ()
    palm: tuple[str, ...] = ()
    centre: str | None = None

    def __len__(self) -> int:
        return len(self.joints)

    @property
    def root(self) -> int:
        """Index of the joint that has no parent."""
        return self.parents.index(-1)

    @property
    def bones(self) -> tuple[tuple[int, int], ...]:
        """(child, parent) of every bone, in the order of the children."""
        return tuple((child, parent) for child, parent in enumerate(self.parents) if parent >= 0)

    @property
    def fingers(self) -> dict[str, tuple[int, ...]]:
        """Joint indices of each finger from root to tip; empty for a body."""
        found = {}
        for finger in SHADES:
            members = [j for j, joint in enumerate(self.joints) if joint.split()[0] == finger]
            if members:
                found[finger] = tuple(sorted(members, key=self._distance_to_root))
        return found

    def index(self, joint: str) -> int:
        """Return the index of a joint by name. Errors: `HandPoseError` for an unknown name."""
        return self.joints.index(one_of(f"joint of {self.name}", joint, self.joints))

    def _distance_to_root(self, joint: int) -> int:
        return 0 if self.parents[joint] < 0 else 1 + self._distance_to_root(self.parents[joint])


def get(name: str) -> Skeleton:
    """Return the skeleton of that name. Errors: `HandPoseError` for an unknown name."""
    return SKELETONS[one_of("skeleton", name, SKELETONS)]


def _finger_by_finger(
    name: str, root: str, fingers: tuple[str, ...], parts: tuple[str, ...], centre: str
) -> Skeleton:
    joints, parents, colours = [root], [-1], [PALM_COLOUR]
    for finger in fingers:
        for level, part in enumerate(parts):
            parents.append(0 if level == 0 else len(joints) - 1)
            joints.append(f"{finger} {part}")
            colours.append(SHADES[finger][level])
    palm = (root, *(f"{finger} {parts[0]}" for finger in (INDEX, MIDDLE, RING, LITTLE)))
    return Skeleton(name, tuple(joints), tuple(parents), tuple(colours), palm=palm, centre=centre)


def _msra21() -> Skeleton:
    fingers, parts = (INDEX, MIDDLE, RING, LITTLE, THUMB), ("mcp", "pip", "dip", "tip")
    return _finger_by_finger("msra21", "wrist", fingers, parts, "middle mcp")


def _icvl16() -> Skeleton:
    # Its root is the middle of the palm, which lies on the line from the wrist to the knuckles.
    return _finger_by_finger("icvl16", "palm", FINGERS, ("root", "mid", "tip"), "palm")


def _dexycb21() -> Skeleton:
    parts = ("mcp", "pip", "dip", "tip")
    return _finger_by_finger("dexycb21", "wrist", FINGERS, parts, "middle mcp")


def _hands17_21() -> Skeleton:
    joints = ["wrist"] + [f"{finger} mcp" for finger in FINGERS]
    parents = [-1] + [0] * 5
    colours = [PALM_COLOUR] + [SHADES[finger][0] for finger in FINGERS]
    palm = ("wrist", *joints[2:])
    for number, finger in enumerate(FINGERS):
        for level, part in enumerate(("pip", "dip", "tip"), start=1):
            parents.append(1 + number if level == 1 else len(joints) - 1)
            joints.append(f"{finger} {part}")
            colours.append(SHADES[finger][level])
    return Skeleton(
        "hands17_21", tuple(joints), tuple(parents), tuple(colours), palm=palm, centre="middle mcp"
    )


# NYU's 36 points: six per finger from the tip down (F1 is the little finger), then the palm.
NYU_NAMES = tuple(
    f"{finger}_{part}"
    for finger in ("F1", "F2", "F3", "F4", "TH")
    for part in ("KNU3_A", "KNU3_B", "KNU2_A", "KNU2_B", "KNU1_A", "KNU1_B")
) + tuple(f"PALM_{number}" for number in range(1, 7))
NYU_EVALUATED = (0, 3, 6, 9, 12, 15, 18, 21, 24, 25, 27, 30, 31, 32)
"""Indices of the 14 joints that papers evaluate on NYU, among its 36."""


def _nyu36() -> Skeleton:
    fingers = (LITTLE, RING, MIDDLE, INDEX, THUMB)
    palm = NYU_NAMES.index("PALM_3")
    joints, parents, colours = [], [], []
    for finger in fingers:
        for level in range(6):
            last = level == 5
            parents.append(palm if last else len(joints) + 1)
            joints.append(f"{finger} {NYU_NAMES[len(joints)].split('_', 1)[1]}")
            colours.append(SHADES[finger][3 - level // 2])
    for name in NYU_NAMES[30:]:
        parents.append(-1 if name == "PALM_3" else palm)
        joints.append(name)
        colours.append(PALM_COLOUR if name == "PALM_3" else WRIST_COLOUR)
    return Skeleton("nyu36", tuple(joints), tuple(parents), tuple(colours))


def _nyu14() -> Skeleton:
    joints, parents, colours = [], [], []
    for finger in (LITTLE, RING, MIDDLE, INDEX):
        joints += [f"{finger} tip", f"{finger} mid"]
        parents += [len(parents) + 1, 13]
        colours += [SHADES[finger][1], SHADES[finger][0]]
    joints += ["thumb tip", "thumb mid", "thumb root", "wrist back", "wrist", "palm"]
    parents += [9, 10, 13, 13, 13, -1]
    colours += [*SHADES[THUMB][2::-1], WRIST_COLOUR, WRIST_COLOUR, PALM_COLOUR]
    return Skeleton("nyu14", tuple(joints), tuple(parents), tuple(colours), centre="palm")


def _itop15() -> Skeleton:
    joints = (
        "head",
        "neck",
        "right shoulder",
        "left shoulder",
        "right elbow",
        "left elbow",
        "right hand",
        "left hand",
        "torso",
        "right hip",
        "left hip",
        "right knee",
        "left knee",
        "right foot",
        "left foot",
    )
    parents = (1, -1, 1, 1, 2, 3, 4, 5, 1, 8, 8, 9, 10, 11, 12)
    arm, other_arm, leg, other_leg = SHADES[THUMB], SHADES[INDEX], SHADES[LITTLE], SHADES[RING]
    colours = (
        (255, 178, 102),
        PALM_COLOUR,
        arm[1],
        other_arm[1],
        arm[2],
        other_arm[2],
        arm[3],
        other_arm[3],
        PALM_COLOUR,
        leg[1],
        other_leg[1],
        leg[2],
        other_leg[2],
        leg[3],
        other_leg[3],
    )
    pairs = ((2, 3), (4, 5), (6, 7), (9, 10), (11, 12), (13, 14))
    return Skeleton("itop15", joints, parents, colours, pairs)


SKELETONS = {
    s.name: s
    for s in (_msra21(), _nyu14(), _nyu36(), _icvl16(), _hands17_21(), _itop15(), _dexycb21())
}
