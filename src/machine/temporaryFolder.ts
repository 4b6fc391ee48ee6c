import { chmodSync, mkdirSync, mkdtempSync, rmdirSync, rmSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** The machine's private folder on the host: its guests' /tmp and /dev/shm. Made when first wanted, removed at the end. */
export class TemporaryFolder {
  private path: string | undefined;
  private readonly names = new Set<string>();

  /** The host folder for `name` ("tmp", "shm"), which anybody in the guest may write to. */
  folder(name: string): string {
    this.path ??= mkdtempSync(join(tmpdir(), 'guesthouse-'));
    const path = join(this.path, name);
    this.names.add(name);
    mkdirSync(path, { recursive: true });
    // Whatever the umask takes away.
    chmodSync(path, 0o1777);
    return path;
  }

  /** `remove` for a process that exits. */
  removeNow(): void {
    const { path } = this;
    this.path = undefined;
    if (path !== undefined && !this.removedEmpty(path))
      rmSync(path, { recursive: true, force: true, maxRetries: 2 });
  }

  /** The way that most go: nothing was written in there. Much cheaper than looking. */
  private removedEmpty(path: string): boolean {
    try {
      for (const name of this.names) rmdirSync(join(path, name));
      rmdirSync(path);
      return true;
    } catch {
      return false;
    }
  }

  /** Removes it and all it holds. */
  async remove(): Promise<void> {
    const { path } = this;
    this.path = undefined;
    if (path !== undefined) await rm(path, { recursive: true, force: true, maxRetries: 2 });
  }
}
