"""Models, patches, mappings, engines, profiles and the corrector. Knows nothing of datasets, gold answers or HTTP."""
