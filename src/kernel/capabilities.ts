import { Cred } from '../sync/records/cred.js';
import { Guest } from '../sync/records/guest.js';
import type { SharedMemory } from '../sync/sharedMemory.js';
import { SIGCONT } from './signals/signalNumbers.js';

/**
 * capabilities(7): the sets of a Cred, which follow its user ids. Files have none.
 */

/** Low and high word of a set. CAP_LAST_CAP is 40. */
export type CapabilitySet = readonly [low: number, high: number];
export const NO_CAPABILITIES: CapabilitySet = [0, 0];
export const ALL_CAPABILITIES: CapabilitySet = [0xffff_ffff, 0x1ff];

export const CAP_CHOWN = 0;
export const CAP_DAC_OVERRIDE = 1;
export const CAP_DAC_READ_SEARCH = 2;
export const CAP_FOWNER = 3;
export const CAP_FSETID = 4;
export const CAP_KILL = 5;
export const CAP_SETGID = 6;
export const CAP_SETUID = 7;
export const CAP_SETPCAP = 8;
export const CAP_NET_BIND_SERVICE = 10;
export const CAP_NET_ADMIN = 12;
export const CAP_IPC_LOCK = 14;
export const CAP_IPC_OWNER = 15;
export const CAP_SYS_CHROOT = 18;
export const CAP_SYS_PTRACE = 19;
export const CAP_SYS_ADMIN = 21;
export const CAP_SYS_NICE = 23;
export const CAP_SYS_RESOURCE = 24;
export const CAP_SYS_TTY_CONFIG = 26;
export const CAP_MKNOD = 27;
export const CAP_LEASE = 28;
export const CAP_CHECKPOINT_RESTORE = 40;
export const CAP_LAST_CAP = 40;

/** Those that setfsuid takes away and gives back (CAP_FS_SET): CHOWN to FSETID, LINUX_IMMUTABLE, MKNOD; MAC_OVERRIDE. */
const FILE_CAPABILITIES: CapabilitySet = [(0x1f | (1 << 9) | (1 << CAP_MKNOD)) >>> 0, 1];

export interface Capabilities {
  readonly effective: CapabilitySet;
  readonly permitted: CapabilitySet;
  readonly inheritable: CapabilitySet;
}

/** Says whether the caller has a capability in effect. */
export function capable(
  t: { readonly mem: SharedMemory; readonly cred: number },
  capability: number,
): boolean {
  const word = t.mem.getU32(t.cred + Cred.capabilities + (capability >>> 5) * 4);
  return ((word >>> (capability & 31)) & 1) !== 0;
}

/** Says whether the caller may send `signal` to a guest (kill(2)). */
export function maySignal(
  t: { readonly mem: SharedMemory; readonly guest: number; readonly cred: number },
  guest: number,
  signal: number,
): boolean {
  if (guest === t.guest || capable(t, CAP_KILL)) return true;
  const id = (cred: number, which: number): number => t.mem.getU32(cred + Cred.uids + 4 * which);
  const theirs = [id(guest + Guest.cred, 0), id(guest + Guest.cred, 2)];
  if (theirs.includes(id(t.cred, 0)) || theirs.includes(id(t.cred, 1))) return true;
  return signal === SIGCONT && t.mem.getU32(guest + Guest.sid) === t.mem.getU32(t.guest + Guest.sid);
}

/** The sets of a Cred. */
export function capabilitiesOf(mem: SharedMemory, cred: number): Capabilities {
  const set = (index: number): CapabilitySet => [
    mem.getU32(cred + Cred.capabilities + index * 8),
    mem.getU32(cred + Cred.capabilities + index * 8 + 4),
  ];
  return { effective: set(0), permitted: set(1), inheritable: set(2) };
}

export function setCapabilities(mem: SharedMemory, cred: number, sets: Capabilities): void {
  const { effective, permitted, inheritable } = sets;
  const to = (cred + Cred.capabilities) >>> 2;
  mem.u32[to] = effective[0];
  mem.u32[to + 1] = effective[1];
  mem.u32[to + 2] = permitted[0];
  mem.u32[to + 3] = permitted[1];
  mem.u32[to + 4] = inheritable[0];
  mem.u32[to + 5] = inheritable[1];
}

/** Says whether every capability of `a` is in `b`. */
export function isSubset(a: CapabilitySet, b: CapabilitySet): boolean {
  return (a[0] & ~b[0]) === 0 && (a[1] & ~b[1]) === 0;
}

export function unionOf(a: CapabilitySet, b: CapabilitySet): CapabilitySet {
  return [(a[0] | b[0]) >>> 0, (a[1] | b[1]) >>> 0];
}

export function intersectionOf(a: CapabilitySet, b: CapabilitySet): CapabilitySet {
  return [(a[0] & b[0]) >>> 0, (a[1] & b[1]) >>> 0];
}

export function without(a: CapabilitySet, b: CapabilitySet): CapabilitySet {
  return [(a[0] & ~b[0]) >>> 0, (a[1] & ~b[1]) >>> 0];
}

/** The set of one capability. */
export function setOf(capability: number): CapabilitySet {
  return capability < 32 ? [(1 << capability) >>> 0, 0] : [0, 1 << (capability - 32)];
}

/** The bounding or the ambient set of a Cred: `field` is Cred.boundingSet or Cred.ambientSet. */
export function singleSet(mem: SharedMemory, cred: number, field: number): CapabilitySet {
  return [mem.getU32(cred + field), mem.getU32(cred + field + 4)];
}

export function storeSingleSet(mem: SharedMemory, cred: number, field: number, set: CapabilitySet): void {
  mem.setU32(cred + field, set[0]);
  mem.setU32(cred + field + 4, set[1]);
}

/** SECBIT_*; each has a lock in the bit above. */
export const SECBIT_NOROOT = 1;
export const SECBIT_NO_SETUID_FIXUP = 4;
export const SECBIT_KEEP_CAPS = 16;
export const SECBIT_NO_CAP_AMBIENT_RAISE = 64;

/** The user ids (real, effective, saved) of a Cred have changed from `before` (cap_emulate_setxuid). */
export function followUserIds(mem: SharedMemory, cred: number, before: readonly number[]): void {
  const bits = mem.getU32(cred + Cred.secureBits);
  if (bits & SECBIT_NO_SETUID_FIXUP) return;
  const now = [0, 1, 2].map((which) => mem.getU32(cred + Cred.uids + which * 4));
  const sets = capabilitiesOf(mem, cred);
  let { effective, permitted } = sets;
  if (before.includes(0) && !now.includes(0)) {
    if ((bits & SECBIT_KEEP_CAPS) === 0) effective = permitted = NO_CAPABILITIES;
    storeSingleSet(mem, cred, Cred.ambientSet, NO_CAPABILITIES);
  }
  if (before[1] === 0 && now[1] !== 0) effective = NO_CAPABILITIES;
  if (before[1] !== 0 && now[1] === 0) effective = permitted;
  setCapabilities(mem, cred, { ...sets, effective, permitted });
}

/** The filesystem user id has changed from `before` (cap_task_fix_setuid, LSM_SETID_FS). */
export function followFileUserId(mem: SharedMemory, cred: number, before: number): void {
  if (mem.getU32(cred + Cred.secureBits) & SECBIT_NO_SETUID_FIXUP) return;
  const now = mem.getU32(cred + Cred.uids + 12);
  const sets = capabilitiesOf(mem, cred);
  let { effective } = sets;
  if (before === 0 && now !== 0) effective = without(effective, FILE_CAPABILITIES);
  if (before !== 0 && now === 0)
    effective = unionOf(effective, intersectionOf(sets.permitted, FILE_CAPABILITIES));
  setCapabilities(mem, cred, { ...sets, effective });
}

/**
 * What execve makes of the sets (cap_bprm_creds_from_file), for a program that has none of its own: all that the bounding set
 * allows for root, what is ambient for others. `changed`: a set-id bit has given the process another id.
 */
export function capabilitiesForExec(mem: SharedMemory, cred: number, changed: boolean): void {
  const { inheritable } = capabilitiesOf(mem, cred);
  const bits = mem.getU32(cred + Cred.secureBits);
  const real = mem.getU32(cred + Cred.uids);
  const effectiveUser = mem.getU32(cred + Cred.uids + 4);
  const asRoot = (bits & SECBIT_NOROOT) === 0 && (real === 0 || effectiveUser === 0);
  const ambient = changed ? NO_CAPABILITIES : singleSet(mem, cred, Cred.ambientSet);
  const bounding = singleSet(mem, cred, Cred.boundingSet);
  const permitted = unionOf(asRoot ? unionOf(bounding, inheritable) : NO_CAPABILITIES, ambient);
  setCapabilities(mem, cred, {
    effective: asRoot && effectiveUser === 0 ? permitted : ambient,
    permitted,
    inheritable,
  });
  storeSingleSet(mem, cred, Cred.ambientSet, ambient);
  mem.setU32(cred + Cred.secureBits, bits & ~SECBIT_KEEP_CAPS);
}
