"""Downloads 19 depth images of a hand from an Intel SR305 for the chapter on real depth images.

The images have 640×480 pixels of 16 bit in units of 0.125 mm, and no joints. They are by Ladislav
Ondris, under the MIT licence, which is downloaded with them. They go to real_frames/sr305 in the
data folder, about 0.9 MB.

    python -m data_scripts.fetch_sr305            # download what is missing or damaged
    python -m data_scripts.fetch_sr305 --check    # only verify
"""

import sys

from data_scripts.support.command import ended
from data_scripts.support.fetching import run, table

HAND_RECOGNITION = ("LadaOndris/hand-recognition", "5f8f9207f8cce3124cf92c60874691ebb8d0fe42")
FILES = [
    *table(
        *HAND_RECOGNITION,
        "datasets/custom/20210326-230536",
        "real_frames/sr305/20210326-230536",
        """
68e749f565a2789f8e5c09d0f8a69f9711e633feeb0aa607d7a664d755a5e9b1  30.png
69c33b2af1134c16dd3f0a48650a4f2271dacaeb37958ed51cb6fa86bb39a374  50.png
8ec1f5baee8b48c8707aab019772aa047874ac6578fd32217c76b7c1a1c2b9aa  70.png
91599ed36abe5e74b1e17d567866f1291552a11147074a093de3e46522669949  90.png
64ace41a0874e504a05b3a0d244be20ee543e999125cc69cfcc8e2460a5fd18b  110.png
c81fd1cbbbee1f0be153ebc9dce638226ac03f66c0d5ef5180f4437ae3f10075  130.png
193337eec8c6b3da2ec3fafb96d1714f14c3a68a687f0f3a807da64100b366ad  150.png
5195e621e3ddaa863bfecf1488d12ab3c73616b501e273c477674687f94bdc34  170.png
        """,
    ),
    *table(
        *HAND_RECOGNITION,
        "datasets/custom/20210326-231615",
        "real_frames/sr305/20210326-231615",
        """
fdff60a11fddab064f225975fcfb76eee0218582e6a7c137b2799a458e93e30b  0.png
7febf80793f53995e01d5a213842b70e7e35fa514418a0728506b70efcb82e41  20.png
10dea9f7a5450134feb55f9652301887e4949e24baddc9de53038849b367f880  40.png
27de01d22b613ea53682329c63ea5f47a399a040ea2c97b4d85afc89ac27c7a2  60.png
a5115bfdc408b7583e5a5d7343c37f0c1ba927466d52ce51e04f0ffb7f980adc  80.png
c40431f1a3fc7a360b0eb50e35e5fe4b181143c5209589814288623a2eb00534  100.png
73ae081f35a6203a53eb0bcd7e53ac0f2e71297f9d8dda306992d973db45ed6c  140.png
b5c4ccea25547b8477f9ba44db9211269465d78878f6cc7aad9b65b4a4c31e91  160.png
7a9431a159f9785a4ea0b947220e38424c1d7c06450309ce95f1f15265ddad16  180.png
6959fe63ed6970c45f4af252be9e30aafa8085a30743798313b9feb5dd4c16a5  200.png
fefe7c5704595697ba78f6b78a1e5005da380b09581f78f42f1ee2623ce52db0  220.png
        """,
    ),
    *table(
        *HAND_RECOGNITION,
        "",
        "real_frames/sr305",
        """
a5fcd0722d2fcd340faa97b2c93289180821a8e980ea6bd1c53cf131232f68ba  LICENSE
        """,
    ),
    *table(
        *HAND_RECOGNITION,
        "datasets/custom",
        "real_frames/sr305",
        """
d4de19ebb5b8fce0fd6c59f5b4f6215838369fa7f0bfb69101f3badd1c71a4d6  annotations.txt
        """,
    ),
]

if __name__ == "__main__":
    sys.exit(ended(lambda: run(__doc__, FILES)))
