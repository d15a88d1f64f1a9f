"""Downloads published predictions and labels of NYU, ICVL and ITOP for the book's re-scoring.

The files hold predictions of several methods for the test sets, one frame per line. They come from
the repositories that publish them: xinghaochen/awesome-hand-pose-estimation (its author's own work
CC0, the prediction files by the methods' authors) and zhangboshen/A2J (MIT licence). They go to
published/ in the data folder, about 32 MB, and are not redistributed here.

    python -m data_scripts.fetch_published            # download what is missing or damaged
    python -m data_scripts.fetch_published --check    # only verify
"""

import sys

from data_scripts.support.command import ended
from data_scripts.support.fetching import run, table

AWESOME = (
    "xinghaochen/awesome-hand-pose-estimation",
    "e297a6ea7fd557bd5701c97a3437c551c4b4fbce",
)
A2J = ("zhangboshen/A2J", "4c332f0ebff159d384af162a90b64ce89ea8d4b4")
FILES = [
    *table(
        *AWESOME,
        "evaluation/results/icvl",
        "published/icvl",
        """
60da3bae67d3c0c0c41626e47b7e3ed2c2d02919b32d288d32f74bb652626528  CVPR18_ICVL_HandPointNet.txt
9111fc27e662fa51392a31a0d78f5b315b8caa4ed2731e9ba375d7eea304aa38  CVPR18_ICVL_V2V_PoseNet.txt
1a36dced6a053ee4ad810632026328b91c3bd771252800eef274d4bce74f6966  CVPR18_ICVL_denseReg.txt
bc4d9192c2de212c4a77350390d6553b798fdbd0ca0ba63739c4b4b611528a06  CVPR18_ICVL_denseReg_ori.txt
002ee4e0a91fea8aa02dbca39e1863784d56e768980789b7e1499d0763c4a77d  JVCI18_ICVL_REN_9x6x6.txt
dc78c3fc3f86effd591caca070d5d4cb19de09e53e0d5459d7e2a035c4780fe1  NEUCOM18_ICVL_Pose_REN.txt
        """,
    ),
    *table(
        *AWESOME,
        "evaluation/groundtruth/icvl",
        "published/icvl",
        """
4b4e037af9dd9ff3dabdb50faa0f92fc2eda13606799a90a983de8bf71be4eb3  icvl_test_groundtruth_label.txt
f484871cecedd16824a7641ed2484da0b83b2f3fabda298b48b6daab4e6b5acb  icvl_test_list.txt
94b75b3117f52741c077a89c87f3c96010d8acb48c8983feebf32cb7c2956a1f  test_seq_1.txt
003d47328cb98743f1a4ee21af105d3a51d3fc10517bd4a2482f0307ee4ce949  test_seq_2.txt
        """,
    ),
    *table(
        *AWESOME,
        "evaluation/results/nyu",
        "published/nyu",
        """
cdf8030e1aac9b850a060fe0406302abd2a0230f913577d81cc98f4d39ea1229  CVPR18_NYU_HandPointNet.txt
b97029a3636c6be5a532867d366dafa5b9a02f14f9dea4cdb26d66388d3589f9  CVPR18_NYU_V2V_PoseNet.txt
1b60eb2bbb338acc66b88ab919186cc9fe03d510f7c66189354745443600b8a9  CVPR18_NYU_denseReg.txt
856ca15d6e859264579b1538d3789655fe003da6b4890c7ed424700d6a6d44fa  CVPR18_NYU_denseReg_ori.txt
cb8651724adb4a1071aafc6baf30638f5641e6320747d149fadee12e4148f891  ICCVW17_NYU_DeepPrior++.txt
90355c61f1c0912f8dfcaa7fbcb4864d3bd5888e8e271ffb74323f74b8a3084b  NEUCOM18_NYU_Pose_REN.txt
        """,
    ),
    *table(
        *AWESOME,
        "evaluation/groundtruth/nyu",
        "published/nyu",
        """
ffd64a0b6c2040231d91334a5b08ac4d7f0fc40fecf4f4a32deb7370c7db3707  nyu_test_groundtruth_label.txt
d26ab014da5fb7ba7da6ddb67eaae5f9f99da67c305f06f00be3b60305033244  nyu_test_list.txt
        """,
    ),
    *table(
        *A2J,
        "result_nyu_icvl",
        "published/icvl",
        """
c53f68b993e677db535bb4493f23cc14ca93216d80e31764d93217fede85bd55  icvl_646_epoch12_UVD.txt
        """,
    ),
    *table(
        *A2J,
        "src_train/results",
        "published/itop",
        """
a7055bf4f5136019affd4cede99d550aa932c3fd52338d0129ccf7787973f10e  ITOP_side_results.zip
        """,
    ),
    *table(
        *A2J,
        "data/itop_side",
        "published/itop",
        """
85898b2243464bc23b5355ff727928ba09d8302106fcd1d90bad878ced47b307  itop_side_keypoints3D_test.mat
        """,
    ),
    *table(
        *A2J,
        "result_nyu_icvl",
        "published/nyu",
        """
4fa2e6cdc1d71a07bb86428ddc2b187d3ca5998aee24244c8298dedd4ed4c5e9  nyu_861_epoch32_UVD.txt
        """,
    ),
]

if __name__ == "__main__":
    sys.exit(ended(lambda: run(__doc__, FILES)))
