import { allocateBlock } from '../sync/heap.js';
import {
  MOST_REGIONS,
  READY_QUICK,
  RegionEntry,
  RegionProfile,
  Translation,
} from '../sync/records/translation.js';
import type { SharedMemory } from '../sync/sharedMemory.js';
import { textString } from '../sync/text.js';
import { translationOf } from '../sync/translationQueue.js';

/** What regions have done: RegionProfile, which is there when a log or a perf map is wanted. */

/** A translated region and what it has done. Addresses are the guest's. */
export interface RegionStatistics {
  readonly index: number;
  /** Symbol of its entry, with the file it is from; empty when neither is known. */
  readonly name: string;
  readonly pc: number;
  /** Its lowest instruction, and the end of its highest. */
  readonly lowest: number;
  readonly end: number;
  /** 1 when V8's baseline compiler has made its code, 2 when the optimising one has. */
  readonly tier: 1 | 2;
  /** Instructions that were translated. */
  readonly instructions: number;
  readonly entries: number;
  /** Instructions done in it, without those of regions that it called. */
  readonly executed: number;
}

/** Has the machine log LOG_* items of its regions, and, unless that is all, has each count what it does. Before anything is translated. */
export function observeRegions(mem: SharedMemory, logged: number, profile: boolean, owner: number): void {
  const translation = translationOf(mem);
  mem.setU32(translation + Translation.logged, logged);
  if (!profile) return;
  const profiles = allocateBlock(mem, MOST_REGIONS * RegionProfile.SIZE, owner);
  mem.setU32(translation + Translation.profile, profiles);
}

const profileOf = (mem: SharedMemory, index: number): number =>
  mem.getU32(translationOf(mem) + Translation.profile) + index * RegionProfile.SIZE;

/** The name of a region; '' when it has none. */
export function regionName(mem: SharedMemory, index: number): string {
  return textString(mem, mem.getU32(profileOf(mem, index) + RegionProfile.name));
}

/** All regions of the machine; none unless they are observed. */
export function regionStatistics(mem: SharedMemory): RegionStatistics[] {
  const translation = translationOf(mem);
  if (mem.getU32(translation + Translation.profile) === 0) return [];
  const regions = mem.getU32(translation + Translation.regions);
  return Array.from({ length: mem.atomicLoad(translation + Translation.regionCount) }, (_, index) => {
    const profile = profileOf(mem, index);
    return {
      index,
      name: regionName(mem, index),
      pc: mem.getU64(profile + RegionProfile.pc),
      lowest: mem.getU64(profile + RegionProfile.lowest),
      end: mem.getU64(profile + RegionProfile.end),
      tier: mem.getU32(regions + index * RegionEntry.SIZE + RegionEntry.ready) === READY_QUICK ? 1 : 2,
      instructions: mem.getU32(profile + RegionProfile.instructions),
      entries: mem.getU64(profile + RegionProfile.entries),
      executed: mem.getU64(profile + RegionProfile.executed),
    };
  });
}

/**
 * The text of a perf map: a line a region, those that did most first. `total` is the number of instructions that guests have
 * done in all, in the interpreter too.
 */
export function formatPerfMap(regions: readonly RegionStatistics[], total: number): string {
  const hottest = [...regions].sort((a, b) => b.executed - a.executed || a.index - b.index);
  const translated = regions.reduce((sum, { executed }) => sum + executed, 0);
  const share = (part: number): string => (total > 0 ? `${((part / total) * 100).toFixed(2)}%` : '-');
  const hex = (address: number): string => address.toString(16);
  const rows = hottest.map(({ index, name, pc, lowest, end, instructions, entries, executed, tier }) => [
    share(executed),
    String(executed),
    String(entries),
    entries > 0 ? (executed / entries).toFixed(1) : '-',
    String(index),
    String(tier),
    `${hex(pc)} [${hex(lowest)}, ${hex(end)})`,
    String(instructions),
    name === '' ? '?' : name,
  ]);
  const heads = [
    'share',
    'instructions',
    'entries',
    'per-entry',
    'region',
    'tier',
    'entry [range)',
    'size',
    'symbol',
  ];
  const widths = heads.map((head, i) => Math.max(head.length, ...rows.map((row) => row[i].length)));
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, i) =>
        i === 5 || i === 7 ? cell.padEnd(i === 7 ? 0 : widths[i]) : cell.padStart(widths[i]),
      )
      .join('  ');
  return [
    `# Translated regions by the instructions done in them (those of regions they called not counted).`,
    `# ${total} instructions in all, ${translated} (${share(translated)}) in ${regions.length} regions.`,
    `# size: instructions that the region was made from. Addresses are the guest's, in hexadecimal.`,
    line(heads),
    ...rows.map(line),
    '',
  ].join('\n');
}
