"""Horizontally fused training: K models of one structure as one stack of tensors [K, ...] (HFTA, Wang et al. 2021)."""
