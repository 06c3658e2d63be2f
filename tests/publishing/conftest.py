"""The finished miniature run of lineage's tests, to be exported."""

from tests.lineage.conftest import World, empty_registry, own_world, shared, world

__all__ = ["empty_registry", "own_world", "shared", "world"]


def commit_stale(world: World, stage: str, path: str) -> None:
    """Commit a lock in which a stage read other bytes of `path` than were made."""
    lock = world.folder / "dvc.lock"
    before, after = lock.read_text().split(f"  {stage}:", 1)
    md5 = world.repository.workspace_lock().md5(path)
    lock.write_text(f"{before}  {stage}:{after.replace(md5, 'f' * 32, 1)}")
    world.commit(f"{stage} is stale")
