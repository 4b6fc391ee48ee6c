import { resolve } from 'node:path';
import type { DirectoryMount } from '../machine/options.js';
import { UsageError } from './usageError.js';

/**
 * Parses `--dir HOST[:GUEST][:ro]`. Without GUEST the directory appears in the guest at its own absolute path.
 * Throws UsageError.
 */
export function parseDirectory(text: string): DirectoryMount {
  const parts = text.split(':');
  let readOnly = false;
  if (parts.length > 1 && (parts.at(-1) === 'ro' || parts.at(-1) === 'rw')) readOnly = parts.pop() === 'ro';
  if (parts.length > 2 || parts[0] === '')
    throw new UsageError(`option --dir: '${text}' is not of the form HOST[:GUEST][:ro]`);
  const host = resolve(parts[0]);
  const guest = parts[1] ?? host;
  if (!guest.startsWith('/'))
    throw new UsageError(`option --dir: the guest's path in '${text}' must start with /`);
  return { host, guest, readOnly };
}
