"""What those who answer for a model hand over: bills of materials (SPDX 3, CycloneDX) and the EU's public summary."""
