"""What an audit finds wrong with a model version and with the data it was trained on."""

from compeffdist.lineage.checkout import open_auditor
from compeffdist.lineage.versions import find_version


def version_problems(version: int) -> list[str]:
    """One line each; empty if the version is sound. Raises UserError if there is no such version."""
    auditor = open_auditor()
    audit = auditor.version_audit(find_version(auditor.versions, str(version)))
    return [f"{link.check} {link.subject}: {link.detail}" for link in audit.failures]
