"""The released code of MultiMix (Haque et al., 2021) where it differs from the paper, one file per component."""
