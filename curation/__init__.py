"""The craft: pure text work, usable in a notebook. No Beam, no run folders."""
