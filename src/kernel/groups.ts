import { allocateBlock, freeBlock } from '../sync/heap.js';
import { withMutex } from '../sync/mutex.js';
import { Cred } from '../sync/records/cred.js';
import { Guest } from '../sync/records/guest.js';
import type { SharedMemory } from '../sync/sharedMemory.js';

/** Supplementary groups. */

/** The most there may be. */
export const NGROUPS_MAX = 65536;

/** The groups of a Cred, as getgroups(2) lists them; Guest.threadsLock is held, or it is the caller's own. */
export function groupsOf(mem: SharedMemory, cred: number): number[] {
  const block = mem.getU32(cred + Cred.groups);
  if (block === 0) return [0];
  return Array.from({ length: mem.getU32(block) }, (_, i) => mem.getU32(block + 4 + i * 4));
}

/** Sets those of one of the guest's Creds; they are kept in ascending order (groups_sort). */
export function setGroups(
  mem: SharedMemory,
  guest: number,
  cred: number,
  groups: readonly number[],
  owner: number,
): void {
  const block = makeGroups(mem, groups, owner);
  const before = withMutex(mem, guest + Guest.threadsLock, owner, () => {
    const old = mem.getU32(cred + Cred.groups);
    mem.setU32(cred + Cred.groups, block);
    return old;
  });
  if (before !== 0) freeBlock(mem, before, owner);
}

function makeGroups(mem: SharedMemory, groups: readonly number[], owner: number): number {
  const block = allocateBlock(mem, 4 + groups.length * 4, owner);
  mem.setU32(block, groups.length);
  [...groups]
    .sort((a, b) => a - b)
    .forEach((group, i) => {
      mem.setU32(block + 4 + i * 4, group);
    });
  return block;
}

/** What Cred.groups is to be in a copy of `cred`. */
export function copyGroups(mem: SharedMemory, cred: number, owner: number): number {
  return mem.getU32(cred + Cred.groups) === 0 ? 0 : makeGroups(mem, groupsOf(mem, cred), owner);
}

/** Whether one who acts by `cred` is in a group, its effective one included (in_egroup_p). */
export function isInGroup(mem: SharedMemory, cred: number, group: number): boolean {
  return mem.getU32(cred + Cred.gids + 4) === group || groupsOf(mem, cred).includes(group);
}
