import type { SharedMemory } from '../../sync/sharedMemory.js';
import { textBytes } from '../../sync/text.js';
import { EINVAL, SyscallError } from '../errno.js';
import { AF_UNIX } from './socketNumbers.js';

/** sizeof(struct sockaddr_un): the family, and 108 bytes of path. */
const MOST = 110;
const FAMILY_SIZE = 2;

/**
 * What a sockaddr_un says (man 7 unix): nothing, a name beginning with NUL that is in no file system, or a path. Byte strings;
 * `name` is what getsockname answers after the family.
 */
export type UnixAddress =
  | { readonly kind: 'unnamed' }
  | { readonly kind: 'abstract'; readonly name: string }
  | { readonly kind: 'path'; readonly path: string; readonly name: string };

/** Reads a sockaddr_un. Throws SyscallError(EINVAL). */
export function parseUnixAddress(bytes: Uint8Array): UnixAddress {
  if (bytes.length < FAMILY_SIZE || bytes.length > MOST) throw new SyscallError(EINVAL);
  if ((bytes[0] | (bytes[1] << 8)) !== AF_UNIX) throw new SyscallError(EINVAL);
  if (bytes.length === FAMILY_SIZE) return { kind: 'unnamed' };
  const name = Buffer.from(bytes.subarray(FAMILY_SIZE)).toString('latin1');
  if (name[0] === '\0') return { kind: 'abstract', name };
  const end = name.indexOf('\0');
  const path = end < 0 ? name : name.slice(0, end);
  return { kind: 'path', path, name: `${path}\0` };
}

/** The sockaddr_un of a socket's name (a Text, or 0: unnamed). */
export function packUnixAddress(mem: SharedMemory, name: number): Uint8Array {
  const text = textBytes(mem, name);
  const bytes = new Uint8Array(FAMILY_SIZE + text.length);
  bytes[0] = AF_UNIX;
  bytes.set(text, FAMILY_SIZE);
  return bytes;
}
