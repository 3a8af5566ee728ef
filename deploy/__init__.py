"""How does it ship? Parity of an exported file, one packager per target, the bundle, its verification.

| module | holds |
|---|---|
| `deploy.parity` | `check_parity`: the exported file against PyTorch, in figures |
| `deploy.manifest` | `Manifest`: what a bundle holds and how each of its numbers was obtained |
| `deploy.bundle` | `BundleContents` in, `Bundle` out: a folder and a reproducible .zip |
| `deploy.packagers` | `PACKAGERS` and `pack`: android, server-cpu |
| `deploy.verify` | `verify`: checksums, golden inputs and outputs |
"""
