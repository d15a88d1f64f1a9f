"""Laws of the synthetic hand: kinematics, subjects, surface, self-contact and poses."""

import math

import pytest
import torch

from handpose_lib import skeleton
from handpose_lib.camera import xyz_to_uvd
from handpose_lib.dataset_specs import preset as camera_preset
from handpose_lib.errors import HandPoseError
from handpose_lib.synth.hands import contact, hand, poses
from handpose_lib.synth.scene import raycast

MSRA = skeleton.get("msra21")


def uniforms(*shape, seed=0, dtype=torch.float64):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def free_poses(count, seed=0, dtype=torch.float64):
    """Poses uniform in all limits."""
    low, high = hand.LIMITS.unbind(-1)
    return (low + uniforms(count, 26, seed=seed) * (high - low)).to(dtype)


def pose(**entries):
    """One pose, all zero but for `entries`, written index_mcp_flexion=0.3."""
    found = torch.zeros(1, 26, dtype=torch.float64)
    for name, value in entries.items():
        found[0, hand.DOF.index(name.replace("_", " "))] = value
    return found


def joint(posed, name, kind="msra21"):
    return posed.joints(kind)[:, skeleton.get(kind).index(name)]


def norm(v):
    return torch.linalg.vector_norm(v, dim=-1)


# --- degrees of freedom -------------------------------------------------------


def test_there_are_26_named_degrees_of_freedom_in_groups():
    assert len(hand.DOF) == len(set(hand.DOF)) == 26
    assert [name for group in hand.GROUPS.values() for name in group] == list(hand.DOF)
    assert hand.LIMITS.shape == (26, 2) and (hand.LIMITS[:, 0] < hand.LIMITS[:, 1]).all()


def test_clamp_moves_every_entry_into_its_limits_and_no_other():
    inside = free_poses(50)
    assert torch.equal(hand.clamp(inside), inside)
    outside = hand.clamp(inside * 100)
    assert (outside >= hand.LIMITS[:, 0]).all() and (outside <= hand.LIMITS[:, 1]).all()


@pytest.mark.parametrize("finger", hand.FINGERS[1:])
@pytest.mark.parametrize("level", ["mcp", "pip", "dip"])
def test_flexing_a_finger_moves_its_tip_to_the_palm(finger, level):
    still, bent = (
        hand.posed(hand.subject(0), pose(**{f"{finger}_{level}_flexion": a})) for a in (0.0, 0.5)
    )
    assert joint(bent, f"{finger} tip")[0, 2] < joint(still, f"{finger} tip")[0, 2] - 5


def test_abduction_spreads_the_fingers_and_lifts_the_thumb():
    still = hand.posed(hand.subject(0), pose())
    for finger, sign in (("index", 1), ("middle", 1), ("ring", -1), ("little", -1)):
        moved = hand.posed(hand.subject(0), pose(**{f"{finger}_mcp_abduction": 0.2}))
        assert sign * (joint(moved, f"{finger} tip") - joint(still, f"{finger} tip"))[0, 0] > 5
    lifted = hand.posed(hand.subject(0), pose(thumb_cmc_abduction=0.5))
    across = hand.posed(hand.subject(0), pose(thumb_cmc_flexion=0.5))
    assert joint(lifted, "thumb tip")[0, 2] < joint(still, "thumb tip")[0, 2] - 20
    assert joint(across, "thumb tip")[0, 0] < joint(still, "thumb tip")[0, 0] - 20


def test_a_fist_hides_its_tips_in_front_of_the_palm():
    # Each tip comes to lie between knuckle and wrist, on the side of the palm.
    posed = hand.posed(
        hand.subject(0), torch.cat([torch.zeros(6).double(), poses.preset("fist")])[None]
    )
    for finger in hand.FINGERS[1:]:
        tip, knuckle = joint(posed, f"{finger} tip")[0], joint(posed, f"{finger} mcp")[0]
        assert knuckle[1] < tip[1] < 0 and tip[2] < knuckle[2] - 5


# --- kinematics ---------------------------------------------------------------


def test_bones_keep_the_length_that_the_subject_has():
    subject = hand.subject(3).to(torch.float64)
    posed = hand.posed(subject, free_poses(64))
    for finger in hand.FINGERS:
        chain = posed.joints("msra21")[:, list(MSRA.fingers[finger])]
        lengths = norm(chain[:, 1:] - chain[:, :-1])
        torch.testing.assert_close(
            lengths, subject.bones[hand.FINGERS.index(finger)].expand_as(lengths)
        )
        root = norm(chain[:, 0] - posed.joints("msra21")[:, 0])
        torch.testing.assert_close(root, root[:1].expand_as(root))


def test_position_and_orientation_move_the_hand_rigidly():
    full = free_poses(16)
    still = torch.cat([torch.zeros(16, 6).double(), full[:, 6:]], dim=1)
    turn = hand.rotation(*full[:, 3:6].unbind(-1))
    for which in (lambda h: h.keypoints, lambda h: h.spheres[..., :3]):
        before, after = (which(hand.posed(hand.subject(2), p, forearm=90.0)) for p in (still, full))
        torch.testing.assert_close(after, before @ turn.mT + full[:, None, :3])


def test_rotation_is_proper_and_inverted_by_orientation():
    angles = (uniforms(200, 3) - 0.5) * torch.tensor(
        [2 * math.pi, 0.999 * math.pi, 2 * math.pi]
    ).double()
    turn = hand.rotation(*angles.unbind(-1))
    torch.testing.assert_close(turn @ turn.mT, torch.eye(3).double().expand_as(turn))
    assert (torch.linalg.det(turn) > 0).all()
    # asin loses half of the digits near a pitch of 90 degrees.
    torch.testing.assert_close(hand.orientation(turn), angles, rtol=0, atol=1e-6)


def test_half_a_yaw_shows_the_back_pitch_points_to_the_camera_and_roll_turns_the_picture():
    fingers, back = torch.tensor([0.0, -1.0, 0.0]), torch.tensor([0.0, 0.0, 1.0])
    zero = torch.tensor(0.0)
    assert (hand.rotation(torch.tensor(math.pi), zero, zero) @ back)[2] == -1
    assert (hand.rotation(zero, torch.tensor(0.5), zero) @ fingers)[2] < 0
    rolled = hand.rotation(zero, zero, torch.tensor(math.pi / 2)) @ fingers
    torch.testing.assert_close(rolled, torch.tensor([1.0, 0.0, 0.0]))


def test_a_left_hand_is_the_mirror_image_of_the_right_one():
    # Seen in a mirror, a pose has its x, yaw and roll reversed.
    right, sign = free_poses(8), torch.ones(26).double()
    sign[[0, 3, 5]] = -1
    mirrored = torch.tensor([-1.0, 1.0, 1.0]).double()
    one = hand.posed(hand.subject(1), right, 100.0).joints() * mirrored
    other = hand.posed(hand.subject(1), right * sign, 100.0, hand="left").joints()
    torch.testing.assert_close(one, other)
    both = hand.posed(
        hand.subject(1), torch.cat([right, right * sign]), hand=torch.tensor([1.0] * 8 + [-1.0] * 8)
    )
    torch.testing.assert_close(both.joints()[:8] * mirrored, both.joints()[8:])


def test_kinematics_is_differentiable():
    subject = hand.subject(0).to(torch.float64)
    start = free_poses(1).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda p: hand.posed(subject, p, 50.0).joints("msra21")[:, ::4], start
    )


def test_a_row_has_the_same_bits_alone_and_in_a_batch():
    count = 70
    who, where = (
        hand.subjects([i % 9 for i in range(count)]),
        free_poses(count, dtype=torch.float32),
    )
    length = uniforms(count, dtype=torch.float32) * 200
    all_rows = hand.posed(who, where, length)
    for i in (0, 1, 33, count - 1):
        row = slice(i, i + 1)
        alone = hand.posed(who.index(row), where[row], length[row])
        assert torch.equal(alone.spheres[0], all_rows.spheres[i])
        assert torch.equal(alone.keypoints[0], all_rows.keypoints[i])
        one, every = alone.solids().triangles, all_rows.solids().triangles
        assert one is not None and every is not None
        assert torch.equal(one[0], every[i])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_dtype_of_the_pose_is_kept(dtype):
    posed = hand.posed(hand.subject(0), free_poses(2, dtype=dtype), 50.0)
    assert posed.joints().dtype == posed.solids().cones.dtype == dtype


def test_a_moved_hand_is_the_hand_posed_elsewhere():
    poses_ = free_poses(8)
    shift = torch.tensor([30.0, -20.0, 100.0], dtype=torch.float64) * torch.arange(8)[:, None]
    elsewhere = torch.cat([poses_[:, :3] + shift, poses_[:, 3:]], 1)
    moved = hand.posed(hand.subject(1), poses_).moved(shift)
    expected = hand.posed(hand.subject(1), elsewhere)
    torch.testing.assert_close(moved.spheres, expected.spheres)
    torch.testing.assert_close(moved.keypoints, expected.keypoints)


def test_a_rigid_motion_of_a_hand_keeps_its_radii():
    posed = hand.posed(hand.subject(1), free_poses(8))
    turn = hand.rotation(*torch.tensor([0.3, -0.2, 0.5]).double()[:, None])[0]
    there = posed.mapped(lambda points: points @ turn.mT)
    back = there.mapped(lambda points: points @ turn)
    assert torch.equal(there.spheres[..., 3], posed.spheres[..., 3])
    torch.testing.assert_close(back.spheres, posed.spheres)
    torch.testing.assert_close(there.joints(), posed.joints() @ turn.mT)


# --- subjects -----------------------------------------------------------------


def test_a_subject_is_a_pure_function_of_its_number_and_seed():
    for name in ("palm", "bones", "radii"):
        assert torch.equal(getattr(hand.subject(5), name), getattr(hand.subject(5), name))
        assert not torch.equal(getattr(hand.subject(5), name), getattr(hand.subject(6), name))
        assert not torch.equal(
            getattr(hand.subject(5), name), getattr(hand.subject(5, seed=1), name)
        )
        assert torch.equal(getattr(hand.subjects([7, 5]), name)[1], getattr(hand.subject(5), name))


def test_subjects_have_the_length_of_adult_hands():
    lengths = torch.stack([hand.subject(i, seed).length for i in range(9) for seed in range(5)])
    assert lengths.min() > 155 and lengths.max() < 205
    assert lengths[::5].max() - lengths[::5].min() > 15


@pytest.mark.parametrize("seed", range(5))
def test_subject_8_lies_outside_the_range_of_the_others_in_its_proportions(seed):
    def proportions(subject):
        fingers, breadth = subject.bones[1:].sum(), subject.palm[1, 0] - subject.palm[4, 0]
        length = -subject.palm[1:5, 1].sum()
        return {
            "palm": length,
            "fingers against palm": fingers / length,
            "breadth against fingers": breadth / fingers,
            "slenderness": fingers / subject.radii[1:].sum(),
            "thumb against fingers": subject.bones[0].sum() / fingers,
        }

    others = [proportions(hand.subject(i, seed)) for i in range(8)]
    for name, value in proportions(hand.subject(8, seed)).items():
        values = [other[name] for other in others]
        assert value < min(values) or value > max(values), name


# --- joints and surface -------------------------------------------------------


@pytest.mark.parametrize("name", hand.SKELETONS)
def test_joints_come_in_the_order_of_the_skeleton(name):
    posed, kind = hand.posed(hand.subject(0), free_poses(4)), skeleton.get(name)
    assert posed.joints(name).shape == (4, len(kind), 3)
    for finger in hand.FINGERS:
        assert torch.equal(joint(posed, f"{finger} tip", name), joint(posed, f"{finger} tip"))
    second = "pip" if "ring pip" in kind.joints else "mid"
    assert torch.equal(joint(posed, f"ring {second}", name), joint(posed, "ring pip"))


def test_no_two_joints_of_a_skeleton_coincide():
    posed = hand.posed(hand.subject(0), free_poses(4))
    for name in hand.SKELETONS:
        apart = torch.cdist(posed.joints(name), posed.joints(name)) + 1e3 * torch.eye(
            len(skeleton.get(name))
        )
        assert apart.min() > 0.5


def test_tips_lie_just_under_the_skin():
    posed = hand.posed(hand.subjects(range(9)), free_poses(9))
    for finger in hand.FINGERS:
        sphere = posed.spheres[:, hand.SPHERES.index(f"{finger} 3")]
        depth = sphere[:, 3] - norm(joint(posed, f"{finger} tip") - sphere[:, :3])
        torch.testing.assert_close(depth, 0.15 * sphere[:, 3])


def test_no_tip_lies_in_front_of_the_rendered_surface_by_more_than_its_radius():
    count, camera = 64, camera_preset("msra")
    full = free_poses(count, seed=3)
    full[:, :3] = torch.tensor([0.0, 0.0, 450.0])
    posed = hand.posed(hand.subjects([i % 9 for i in range(count)]), full, 100.0)
    depth = raycast.depth(posed.solids(), camera)
    tips = posed.joints()[:, [MSRA.index(f"{finger} tip") for finger in hand.FINGERS]]
    radius = posed.spheres[:, [hand.SPHERES.index(f"{finger} 3") for finger in hand.FINGERS], 3]
    u, v = xyz_to_uvd(tips, camera)[..., :2].round().long().unbind(-1)
    inside = (u >= 0) & (v >= 0) & (u < camera.width) & (v < camera.height)
    seen = depth[
        torch.arange(count)[:, None], v.clamp(0, camera.height - 1), u.clamp(0, camera.width - 1)
    ]
    hit = inside & (seen > 0)
    assert hit.sum() > 0.95 * inside.sum()
    assert (seen - tips[..., 2] <= radius)[hit].all()


def test_every_edge_of_a_wedge_is_one_cone_but_for_the_seams():
    pairs, triples, labels = hand.mesh(torch.device("cpu"))
    cones = [frozenset(pair) for pair in pairs.tolist()]
    edges = {frozenset(edge) for a, b, c in triples.tolist() for edge in ((a, b), (b, c), (a, c))}
    seams = {frozenset(hand.SPHERES.index(name) for name in seam) for seam in hand._SEAMS}
    assert len(set(cones)) == len(cones) <= 48
    assert edges - set(cones) == seams
    assert len(labels) == len(cones) + 2 * len(triples)
    assert set(labels.tolist()) == set(range(len(hand.PARTS)))


def test_a_seam_needs_no_cone():
    """The picture stays the same when the cones that the seams leave out are drawn as well."""
    full = free_poses(24, seed=5)
    full[:, :3] = torch.tensor([0.0, 0.0, 500.0])
    low, high = hand.WRIST_LIMITS.unbind(-1)
    bend = low + uniforms(24, 2) * (high - low)
    posed = hand.posed(hand.subject(4), full, 120.0, wrist=bend)
    solids = posed.solids()
    ends = [[hand.SPHERES.index(name) for name in seam] for seam in hand._SEAMS]
    closed = raycast.join([solids, raycast.Solids(posed.spheres[:, ends].flatten(2))])
    open_, shut = (raycast.depth(s, camera_preset("msra")) for s in (solids, closed))
    assert torch.equal(open_ > 0, shut > 0)
    assert (open_ - shut).abs().max() < 1e-6


def test_the_forearm_has_any_length_and_moves_no_joint():
    length = torch.tensor([0.0, 40.0, 250.0]).double()
    posed = hand.posed(hand.subject(0), pose().expand(3, -1), length)
    end = posed.spheres[:, hand.SPHERES.index("elbow radial")]
    none = posed.spheres[0, hand.SPHERES.index("wrist radial")]
    torch.testing.assert_close(end[0], none)
    torch.testing.assert_close(end[:, 1] - end[0, 1], length)
    assert end[0, 3] < end[1, 3] < end[2, 3]
    bent = hand.posed(
        hand.subject(0), pose().expand(3, -1), length, girth=1.2, wrist=torch.full((3, 2), 0.4)
    )
    assert torch.equal(bent.joints(), posed.joints())
    # Palm and elbow close in on each other when the wrist flexes; deviation to the thumb sends the
    # elbow away from it.
    elbow = bent.spheres[2, hand.SPHERES.index("elbow radial")] - end[2]
    assert elbow[2] < -50 and elbow[0] < -50


# --- self-penetration ---------------------------------------------------------


def test_overlap_of_capsules_agrees_with_a_search_over_their_axes():
    a, b, c, d = (
        uniforms(40, 4, seed=s) * torch.tensor([50.0, 50.0, 50.0, 0.0]).double() for s in range(4)
    )
    for ends, radius in ((a, 8.0), (b, 8.0), (c, 5.0), (d, 5.0)):
        ends[:, 3] = radius
    steps = torch.linspace(0, 1, 401).double()
    one, other = (p[:, None] + steps[:, None] * (q - p)[:, None] for p, q in ((a, b), (c, d)))
    nearest = torch.cdist(one[..., :3], other[..., :3]).amin((1, 2))
    # The search misses the closest points by at most half a step on each axis, sqrt(3) 50 / 400 in
    # all.
    missed = (13.0 - nearest) - contact.overlap(a, b, c, d)
    assert missed.max() < 1e-9 and missed.min() > -math.sqrt(3) * 50 / 400


def test_crossing_fingers_penetrate_and_spread_ones_do_not():
    spread = poses.preset("spread")[None]
    crossed = spread.clone()
    crossed[:, hand.DOF.index("index mcp abduction") - 6] = math.radians(-30)
    assert poses.self_penetration(spread, hand.subject(0)) < 0
    assert poses.self_penetration(crossed, hand.subject(0)) > 8


# --- poses --------------------------------------------------------------------


def test_the_gestures_have_the_names_of_msra_and_lie_in_the_limits():
    assert sorted(poses.GESTURES) == sorted(
        ["1", "2", "3", "4", "5", "6", "7", "8", "9", "I", "IP", "L", "MP", "RP", "T", "TIP", "Y"]
    )
    for name, angles in poses.POSES.items():
        assert (angles >= hand.LIMITS[6:, 0]).all() and (angles <= hand.LIMITS[6:, 1]).all(), name


@pytest.mark.parametrize(
    "name, stretched",
    [
        ("1", "index"),
        ("2", "index middle"),
        ("3", "thumb index middle"),
        ("4", "index middle ring little"),
        ("5", "thumb index middle ring little"),
        ("I", "little"),
        ("IP", "index little"),
        ("L", "thumb index"),
        ("MP", "middle little"),
        ("RP", "ring little"),
        ("T", "thumb"),
        ("TIP", "thumb index little"),
        ("Y", "thumb little"),
    ],
)
def test_a_gesture_stretches_its_fingers_and_no_others(name, stretched):
    posed = hand.posed(
        hand.subject(0), torch.cat([torch.zeros(6).double(), poses.preset(name)])[None]
    )
    for finger in hand.FINGERS:
        chain = posed.joints()[0, list(MSRA.fingers[finger])]
        straight = norm(chain[3] - chain[0]) / norm(chain[1:] - chain[:-1]).sum()
        # A bent thumb keeps more of its length than a curled finger.
        assert (straight > 0.985) == (finger in stretched.split()), (finger, straight)


@pytest.mark.parametrize(
    "name, finger", [("6", "little"), ("7", "ring"), ("8", "middle"), ("9", "index")]
)
def test_the_thumb_meets_a_finger_in_6_to_9(name, finger):
    def gap(subject):
        posed = hand.posed(subject, torch.cat([torch.zeros(6).double(), poses.preset(name)])[None])
        one, other = (posed.spheres[0, hand.SPHERES.index(f"{f} 3")] for f in ("thumb", finger))
        return norm(one[:3] - other[:3]) - one[3] - other[3]

    # On the average hand skin presses on skin; the angles are whole degrees, half of which moves a
    # tip by 1 mm.
    average = hand.Subject(
        *(torch.tensor(t).double() for t in (hand._PALM, hand._BONES, hand._RADII))
    )
    assert -2 < gap(average) < 0
    # Other proportions leave a gap or an overlap, of the order of the difference of their bones.
    for number in range(9):
        assert abs(gap(hand.subject(number))) < 0.12 * average.bones[0].sum()


def test_fingers_held_together_touch_without_running_into_each_other():
    for number in range(9):
        subject = hand.subject(number)
        angles = poses.together(poses.preset("flat").float()[None], subject)
        posed = hand.posed(subject, torch.cat([torch.zeros(1, 6), angles], dim=1))
        for one, other in (("index", "middle"), ("ring", "middle"), ("little", "ring")):
            last = posed.spheres[0, hand.SPHERES.index(f"{one} 2")]
            chain = posed.spheres[
                0,
                [hand.SPHERES.index(n) for n in (other, f"{other} 1", f"{other} 2", f"{other} 3")],
            ]
            overlap = contact.overlap(
                last.expand(3, 4), last.expand(3, 4), chain[:-1], chain[1:]
            ).max()
            assert -0.5 < overlap < 2, (number, one)
        assert contact.penetration(posed.spheres) < poses.TOLERANCE_MM


def test_samples_stay_in_the_limits_and_out_of_the_hand():
    count = 900
    who = hand.subjects([i % 9 for i in range(count)])
    angles = poses.sample(uniforms(count, poses.UNIFORMS, dtype=torch.float32), who)
    low, high = hand.LIMITS[6:].float().unbind(-1)
    assert (angles >= low).all() and (angles <= high).all()
    deep = poses.self_penetration(angles, who)
    assert (deep <= poses.TOLERANCE_MM).float().mean() > 0.99
    # A row that finds nothing better in its last attempt keeps the shallowest.
    assert deep.max() < 3 * poses.TOLERANCE_MM


def test_a_sample_has_the_same_bits_alone_and_in_a_batch():
    count = 130
    who, u = (
        hand.subjects([i % 9 for i in range(count)]),
        uniforms(count, poses.UNIFORMS, dtype=torch.float32),
    )
    angles = poses.sample(u, who)
    for i in range(0, count, 13):
        assert torch.equal(poses.sample(u[i : i + 1], who.index(slice(i, i + 1)))[0], angles[i])


def test_the_mix_chooses_the_family():
    count = 400
    who, u = hand.subjects([0] * count), uniforms(count, poses.UNIFORMS)
    abductions = [hand.DOF.index(f"{finger} mcp abduction") - 6 for finger in hand.FINGERS[1:]]
    spread = {name: poses.sample(u, who, {name: 1.0})[:, abductions].sum(-1) for name in poses.MIX}
    assert spread["together"].max() < spread["everyday"].median()
    uniform = poses.sample(u, who, {"uniform": 1.0}, tolerance=math.inf)
    share = (uniform - hand.LIMITS[6:, 0]) / (hand.LIMITS[6:, 1] - hand.LIMITS[6:, 0])
    # The mean of n uniforms lies within five standard errors of a half.
    torch.testing.assert_close(
        share.mean(0), torch.full((20,), 0.5).double(), rtol=0, atol=5 / math.sqrt(12 * count)
    )


def test_a_gesture_can_be_asked_for():
    count = 60
    who, u = hand.subjects([i % 9 for i in range(count)]), uniforms(count, poses.UNIFORMS)
    places = torch.arange(count) % 17
    angles = poses.sample(u, who, gesture=places)
    meant = torch.stack(list(poses.GESTURES.values()))[places]
    # Noise, and the lift of the thumb that grows with the attempts.
    assert (angles - meant).abs()[:, 1:].max() <= poses._GESTURE_NOISE + 1e-9
    assert (angles - meant).abs()[:, 0].max() <= poses._GESTURE_NOISE + poses.TRIES * poses._LIFT
    assert torch.equal(poses.sample(u, who, gesture="T")[places == 14], angles[places == 14])


# --- errors -------------------------------------------------------------------


@pytest.mark.parametrize(
    "call, says",
    [
        (lambda: hand.subject(-1), "subject -1"),
        (lambda: hand.subjects([]), "no subjects"),
        (
            lambda: hand.posed(hand.subject(0), torch.zeros(1, 25)),
            r"accepted is a float tensor \(B, 26\)",
        ),
        (lambda: hand.posed(hand.subject(0), torch.zeros(1, 26, dtype=torch.int64)), "int64"),
        (lambda: hand.posed(hand.subjects([0, 1]), torch.zeros(3, 26)), "2 subjects for 3 poses"),
        (lambda: hand.posed(hand.subject(0), torch.zeros(3, 26), torch.ones(2)), "forearm length"),
        (lambda: hand.posed(hand.subject(0), torch.zeros(3, 26), girth=torch.ones(2)), "girth"),
        (lambda: hand.posed(hand.subject(0), torch.zeros(3, 26), wrist=torch.ones(3)), "wrist"),
        (
            lambda: hand.posed(hand.subject(0), torch.zeros(3, 26), hand="both"),
            "accepted are right, left",
        ),
        (
            lambda: hand.posed(hand.subject(0), torch.zeros(3, 26), hand=torch.ones(2)),
            "hand has shape",
        ),
        (
            lambda: hand.posed(hand.subject(0), torch.zeros(1, 26)).joints("itop15"),
            "accepted are msra21",
        ),
        (lambda: poses.preset("wave"), "unknown pose 'wave'"),
        (lambda: poses.sample(torch.zeros(2, 7), hand.subjects([0, 1])), "uniforms have shape"),
        (
            lambda: poses.sample(torch.zeros(2, poses.UNIFORMS), hand.subject(0)),
            "subjects of shape",
        ),
        (
            lambda: poses.sample(torch.zeros(1, poses.UNIFORMS), hand.subjects([0]), {"dance": 1}),
            "unknown family",
        ),
        (
            lambda: poses.sample(
                torch.zeros(1, poses.UNIFORMS), hand.subjects([0]), {"gesture": 0}
            ),
            "sum above 0",
        ),
        (
            lambda: poses.sample(torch.zeros(1, poses.UNIFORMS), hand.subjects([0]), gesture="0"),
            "unknown gesture",
        ),
        (
            lambda: poses.sample(
                torch.zeros(1, poses.UNIFORMS), hand.subjects([0]), gesture=torch.ones(1)
            ),
            "gesture is",
        ),
    ],
)
def test_bad_input_is_named(call, says):
    with pytest.raises(HandPoseError, match=says):
        call()
