import { allocateBlock, freeBlock } from '../sync/heap.js';
import { withMutex } from '../sync/mutex.js';
import { Guest } from '../sync/records/guest.js';
import type { SharedMemory } from '../sync/sharedMemory.js';

/** Supplementary groups of a guest. */

/** The most there may be. */
export const NGROUPS_MAX = 65536;

/** The groups, as getgroups(2) lists them; Guest.threadsLock is held, or the guest is the caller's own. */
export function groupsOf(mem: SharedMemory, guest: number): number[] {
  const block = mem.getU32(guest + Guest.groups);
  if (block === 0) return [0];
  return Array.from({ length: mem.getU32(block) }, (_, i) => mem.getU32(block + 4 + i * 4));
}

/** Sets them; they are kept in ascending order (groups_sort). */
export function setGroups(mem: SharedMemory, guest: number, groups: readonly number[], owner: number): void {
  const block = allocateBlock(mem, 4 + groups.length * 4, owner);
  mem.setU32(block, groups.length);
  [...groups]
    .sort((a, b) => a - b)
    .forEach((group, i) => {
      mem.setU32(block + 4 + i * 4, group);
    });
  const before = withMutex(mem, guest + Guest.threadsLock, owner, () => {
    const old = mem.getU32(guest + Guest.groups);
    mem.setU32(guest + Guest.groups, block);
    return old;
  });
  if (before !== 0) freeBlock(mem, before, owner);
}

/** A child begins with its parent's groups. */
export function copyGroups(mem: SharedMemory, parent: number, child: number, owner: number): void {
  if (mem.getU32(parent + Guest.groups) !== 0) setGroups(mem, child, groupsOf(mem, parent), owner);
}

/** Whether the guest is in a group, its effective one included (in_egroup_p). */
export function isInGroup(mem: SharedMemory, guest: number, group: number): boolean {
  return mem.getU32(guest + Guest.gids + 4) === group || groupsOf(mem, guest).includes(group);
}
