import { Guest } from '../sync/records/guest.js';
import type { SharedMemory } from '../sync/sharedMemory.js';
import { SIGCONT } from './signals/signalNumbers.js';

/**
 * capabilities(7) as far as they can be seen: three sets of a process, which follow its user ids as Linux has them do without
 * secure bits. Nothing here asks for one: privilege is effective user 0.
 */

/** Low and high word of a set. CAP_LAST_CAP is 40. */
export type CapabilitySet = readonly [low: number, high: number];
export const NO_CAPABILITIES: CapabilitySet = [0, 0];
export const ALL_CAPABILITIES: CapabilitySet = [0xffff_ffff, 0x1ff];

export interface Capabilities {
  readonly effective: CapabilitySet;
  readonly permitted: CapabilitySet;
  readonly inheritable: CapabilitySet;
}

/** Says whether a guest may do what takes privileges: its effective user is 0. */
export function privileged(t: { readonly mem: SharedMemory; readonly guest: number }): boolean {
  return t.mem.getU32(t.guest + Guest.uids + 4) === 0;
}

/** Says whether the caller may send `signal` to a guest (kill(2)). */
export function maySignal(
  t: { readonly mem: SharedMemory; readonly guest: number },
  guest: number,
  signal: number,
): boolean {
  if (guest === t.guest || privileged(t)) return true;
  const id = (of: number, which: number): number => t.mem.getU32(of + Guest.uids + 4 * which);
  const theirs = [id(guest, 0), id(guest, 2)];
  if (theirs.includes(id(t.guest, 0)) || theirs.includes(id(t.guest, 1))) return true;
  return signal === SIGCONT && t.mem.getU32(guest + Guest.sid) === t.mem.getU32(t.guest + Guest.sid);
}

/** The sets of a guest. */
export function capabilitiesOf(mem: SharedMemory, guest: number): Capabilities {
  const set = (index: number): CapabilitySet => [
    mem.getU32(guest + Guest.capabilities + index * 8),
    mem.getU32(guest + Guest.capabilities + index * 8 + 4),
  ];
  return { effective: set(0), permitted: set(1), inheritable: set(2) };
}

export function setCapabilities(mem: SharedMemory, guest: number, sets: Capabilities): void {
  [sets.effective, sets.permitted, sets.inheritable].forEach(([low, high], index) => {
    mem.setU32(guest + Guest.capabilities + index * 8, low);
    mem.setU32(guest + Guest.capabilities + index * 8 + 4, high);
  });
}

/** Says whether every capability of `a` is in `b`. */
export function isSubset(a: CapabilitySet, b: CapabilitySet): boolean {
  return (a[0] & ~b[0]) === 0 && (a[1] & ~b[1]) === 0;
}

export function unionOf(a: CapabilitySet, b: CapabilitySet): CapabilitySet {
  return [(a[0] | b[0]) >>> 0, (a[1] | b[1]) >>> 0];
}

/** The user ids (real, effective, saved) of a guest have changed from `before` (cap_emulate_setxuid). */
export function followUserIds(mem: SharedMemory, guest: number, before: readonly number[]): void {
  const now = [0, 1, 2].map((which) => mem.getU32(guest + Guest.uids + which * 4));
  const sets = capabilitiesOf(mem, guest);
  let { effective, permitted } = sets;
  if (before.includes(0) && !now.includes(0)) effective = permitted = NO_CAPABILITIES;
  if (before[1] === 0 && now[1] !== 0) effective = NO_CAPABILITIES;
  if (before[1] !== 0 && now[1] === 0) effective = permitted;
  setCapabilities(mem, guest, { ...sets, effective, permitted });
}

/** What execve makes of them: everything for root, otherwise what is inheritable is kept as such only. */
export function capabilitiesForExec(mem: SharedMemory, guest: number): void {
  const { inheritable } = capabilitiesOf(mem, guest);
  const real = mem.getU32(guest + Guest.uids);
  const effectiveUser = mem.getU32(guest + Guest.uids + 4);
  const permitted = real === 0 || effectiveUser === 0 ? ALL_CAPABILITIES : NO_CAPABILITIES;
  setCapabilities(mem, guest, {
    effective: effectiveUser === 0 ? permitted : NO_CAPABILITIES,
    permitted,
    inheritable,
  });
}
