import { UsageError } from './usageError.js';

const UNITS: Record<string, number> = { '': 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 };

/**
 * Parses a number of bytes: decimal or 0x hexadecimal, with an optional suffix K, M, G or T (powers of 1024; "MiB" and "MB"
 * mean the same). `option` names the option in the error. Throws UsageError.
 */
export function parseSize(text: string, option: string): number {
  const match = /^(0x[0-9a-f]+|[0-9]+)(?:([KMGT])(?:i?B)?)?$/i.exec(text.trim());
  const bytes = match ? Number(match[1]) * UNITS[(match[2] ?? '').toUpperCase()] : Number.NaN;
  if (!Number.isSafeInteger(bytes))
    throw new UsageError(`option ${option}: '${text}' is no size (examples: 65536, 0x10000, 64K, 1G)`);
  return bytes;
}
