import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** One file of two folders that are to be the same. */
export interface ComparedFile {
  readonly name: string;
  readonly bytes: number;
  readonly same: boolean;
}

/** Compares two folders byte for byte; files that only one of them has differ. Sorted by name. */
export function compareFolders(left: string, right: string): ComparedFile[] {
  const files = (folder: string): Set<string> =>
    new Set(
      readdirSync(folder, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => join(entry.parentPath ?? entry.path, entry.name).slice(folder.length + 1)),
    );
  const inLeft = files(left);
  const inRight = files(right);
  return [...new Set([...inLeft, ...inRight])].sort().map((name) => {
    const a = inLeft.has(name) ? readFileSync(join(left, name)) : undefined;
    const b = inRight.has(name) ? readFileSync(join(right, name)) : undefined;
    return { name, bytes: (a ?? b)!.length, same: a !== undefined && b !== undefined && a.equals(b) };
  });
}
