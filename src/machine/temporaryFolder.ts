import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** The machine's private folder on the host: its guests' /tmp and /dev/shm. Made when first wanted, removed at the end. */
export class TemporaryFolder {
  private path: string | undefined;

  /** The host folder for `name` ("tmp", "shm"), which anybody in the guest may write to. */
  folder(name: string): string {
    this.path ??= mkdtempSync(join(tmpdir(), 'guesthouse-'));
    const path = join(this.path, name);
    mkdirSync(path, { recursive: true, mode: 0o1777 });
    return path;
  }

  /** `remove` for a process that exits. */
  removeNow(): void {
    if (this.path !== undefined) rmSync(this.path, { recursive: true, force: true, maxRetries: 2 });
    this.path = undefined;
  }

  /** Removes it and all it holds. */
  async remove(): Promise<void> {
    const { path } = this;
    this.path = undefined;
    if (path !== undefined) await rm(path, { recursive: true, force: true, maxRetries: 2 });
  }
}
